/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether KVM runs guests here. That /dev/kvm is there says little: on some machines it interprets
 * every instruction, a thousand times slower than the processor. So a tiny guest counts for a
 * moment, and what is found is kept for this boot.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum kvm_use { KVM_RUNS, KVM_MISSING, KVM_DENIED, KVM_SLOW };

/*
 * ATOLL_MICROVM=kvm or tcg decides without a look; anything else but "auto" is INVALID. cache_fd: a
 * directory for what was found, or FD_NONE: found anew, in a few milliseconds.
 */
[[nodiscard]] int kvm_probe(int cache_fd, enum kvm_use *ret_use, struct err *e);
[[nodiscard]] int kvm_open(int *ret_fd, struct err *e);
const char *kvm_why(enum kvm_use use); /* for people: "" when it runs */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls each kind of thread may make once the guest runs: the processors' hardly
 * more than KVM_RUN, a disk's and its hands' their file, the loop's what the other devices need.
 * Any other call ends the machine.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum filter_kind { FILTER_VCPU, FILTER_DISK, FILTER_HAND, FILTER_LOOP };

/* For the calling thread, which may gain no privileges any more; nothing when not `on`. */
[[nodiscard]] int filter_enter(enum filter_kind kind, bool on, struct err *e);

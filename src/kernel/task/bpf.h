/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF as seccomp(2) has it: a program of jumps forwards, of one accumulator, one index and
 * 16 cells, that looks at a struct seccomp_data and gives a number. Nothing of sockets' filters.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "kernel/core/types.h"

/*
 * Whether it may run: known instructions, jumps within it, an end behind all of them, no cell read
 * before it is written. -EINVAL, -ENOMEM. *ret_place: it looks at where the call was made.
 */
[[nodiscard]] int bpf_check(const struct sock_filter *code, size_t n, bool *ret_place);
/* What one that was checked gives. *looked becomes true when it has looked at more than the call's
 * number and architecture: else the same number gives the same again. */
uint32_t bpf_run(const struct sock_filter *code, const struct seccomp_data *d, bool *looked);

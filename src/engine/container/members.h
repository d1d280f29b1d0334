/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a container that has no cgroup to ask: those in the pid namespace of its init.
 * Needs one of its own; costs a look at every process of the machine.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* As groups_pids: at most max in the array, *ret_n counts all. UNSUPPORTED: not to be told. */
[[nodiscard]] int members_of(pid_t init, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock (Linux 5.13): what a process can never do again, whatever becomes of it. */
#pragma once

#include "base/err.h"

/*
 * No file by name, no TCP port, no socket or signal out of the process and its children: all that
 * this kernel's Landlock knows. It has no_new_privs already. A kernel without it changes nothing.
 */
[[nodiscard]] int landlock_nothing(struct err *e);

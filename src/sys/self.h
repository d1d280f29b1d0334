/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's own file, out of reach of what it runs. A container's process may come to execute
 * it (a script whose interpreter is /proc/self/exe) and then finds the host's file in its
 * /proc/PID/exe, to be written as soon as no one runs it any more (CVE-2019-5736).
 */
#pragma once

#include <limits.h>

/*
 * Make sure that this process runs from a read-only mount: executes itself anew from a read-only
 * clone of the mount its file is on, if it is not so yet. An ordinary user cannot make one: a file
 * that he may write is executed from a sealed copy in memory, another is protected by its owner.
 * Returns when it is so, or when it cannot be had. Gives the descriptor that the clone came by, or
 * FD_NONE: to close it takes the kernel a moment, for which there may be a better time than now.
 */
[[nodiscard]] int self_protect(char *const *argv);

/*
 * The path of another of our programs: beside this one (the build tree), else in ../libexec/atoll
 * of it (installed). Also for a program that self_protect() has executed anew. 0 or -ENOENT.
 */
[[nodiscard]] int self_sibling(const char *name, char ret_path[static PATH_MAX]);

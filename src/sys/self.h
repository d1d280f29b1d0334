/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's own file, out of reach of what it runs. A container's process may come to execute
 * it (a script whose interpreter is /proc/self/exe) and then finds the host's file in its
 * /proc/PID/exe, to be written as soon as no one runs it any more (CVE-2019-5736).
 */
#pragma once

/*
 * Make sure that this process runs from a read-only mount: executes itself anew from a read-only
 * clone of the mount its file is on, if it is not so yet. Returns when it is so, or when it cannot
 * be had; without CAP_SYS_ADMIN it cannot, and then the file is protected by its owner.
 */
void self_protect(char *const *argv);

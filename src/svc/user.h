/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary users. All that one has lives in one user namespace, with the ids that /etc/subuid and
 * /etc/subgid grant him, and its mount namespace: there he is root, and everything else works as
 * root's does. A process keeps the two, from the first command on until neither a command nor a
 * shim is left. Not the user namespaces of workloads (--userns).
 */
#pragma once

#include "base/err.h"
#include "store/paths.h"

/*
 * The calling process, of an ordinary user and with one thread, goes in and becomes root there.
 * Gives a descriptor that holds the namespaces; to be kept to the end. DENIED, NOT_FOUND: what the
 * machine does not give this user, and how it would.
 */
[[nodiscard]] int user_enter(const struct paths *p, int *ret_hold_fd, struct err *e);

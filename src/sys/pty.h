/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo terminals, by descriptor. Results: >= 0 or -errno. */
#pragma once

#include <stdbool.h>

/*
 * A new pair from the devpts instance whose ptmx is `ptmx` in dirfd (AT_FDCWD and "/dev/ptmx": the
 * host's). Gives both ends; the slave comes from TIOCGPTPEER, not from a path (CVE-2025-52565).
 */
[[nodiscard]] int pty_open(int dirfd, const char *ptmx, int *ret_master, int *ret_slave);
[[nodiscard]] int pty_resize(int fd, unsigned rows, unsigned columns);
[[nodiscard]] int pty_size(int fd, unsigned *ret_rows, unsigned *ret_columns);
/* Output newlines as they are (no CR added), as callers of runc expect of a container's pty. */
[[nodiscard]] int pty_no_onlcr(int fd);
/* Make the slave this session leader's controlling terminal and its fds 0, 1, 2. */
[[nodiscard]] int pty_take(int slave);

/* SPDX-License-Identifier: Apache-2.0 */
/* The slave's end of a pty of the host, which a terminal of the guest's (terminal.h) is joined to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct host_tty_size {
	uint16_t rows, columns, x_pixels, y_pixels;
};

/* Whether fd can be used so: a terminal, open for both, non-blocking. INVALID, with words. */
[[nodiscard]] int host_tty_check(int fd, struct err *e);
/* What is written there goes as it is, and so does what is read: the line discipline is the
 * guest's. -errno. */
[[nodiscard]] int host_tty_raw(int fd);
/* -errno. */
[[nodiscard]] int host_tty_size(int fd, struct host_tty_size *ret);
/*
 * Makes it the controlling terminal of this process, so that its changes of size are told by
 * SIGWINCH: gives a descriptor that becomes readable then, or FD_NONE where it controls a session
 * already, or this process cannot lead one. Once, before threads and filters.
 */
int host_tty_claim(int fd);
/* Takes from such a descriptor what it has told. */
void host_tty_told(int fd);

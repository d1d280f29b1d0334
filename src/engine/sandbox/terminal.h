/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair of the host's pseudo terminals for a process of a sandbox: the slave end is the sandbox's,
 * which gives the process a terminal of its own over it; the master goes to who asked for it.
 */
#pragma once

#include "base/auto.h"
#include "base/err.h"

struct spec_process;

struct terminal {
	int master, slave; /* owned */
};
#define TERMINAL_INIT ((struct terminal){ .master = FD_NONE, .slave = FD_NONE })

/* With the size that the process asks for. */
[[nodiscard]] int terminal_open(struct terminal *t, const struct spec_process *p, struct err *e);
/* The master to the console socket, or with FD_NONE kept: given in *ret_kept. */
[[nodiscard]] int terminal_give(struct terminal *t, int console_socket, int *ret_kept,
				struct err *e);
void terminal_fini(struct terminal *t);

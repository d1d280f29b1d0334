/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's checkpoint as a file: a page that says what it is, the pages of the guest's memory,
 * those of zeros as holes, and behind them what its kernel knows (kernel/state/state.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sandbox;
struct tty;

/* Mapped for good; NULL: there is none. */
struct checkpoint {
	const unsigned char *bytes;
	size_t size;
	uint64_t pages;
};

/* Before there is a filter. INVALID: it is none; UNSUPPORTED: of another kernel of the host. */
[[nodiscard]] int checkpoint_map(int fd, struct checkpoint *ret, struct err *e);
/* What the tree of mounts is when nobody has changed it. */
void checkpoint_begin(struct sandbox *s);
/*
 * In a fiber: all guests stand still from then on, and are in the file; until tasks_let_go().
 * UNSUPPORTED: what cannot be saved; nobody stands still after a failure.
 */
[[nodiscard]] int checkpoint_write(struct sandbox *s, int fd, struct err *e);
/* The processes of s->from, which have not begun. console: their terminal; NULL: they have none. */
[[nodiscard]] int checkpoint_load(struct sandbox *s, struct tty *console, struct err *e);

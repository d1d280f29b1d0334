/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's terminal: its size, raw mode that is undone on every way out, and the keys that
 * detach from a workload without ending it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "base/err.h"

struct terminal {
	int fd; /* borrowed; FD_NONE: not raw */
	struct termios saved;
};
#define TERMINAL_INIT ((struct terminal){ .fd = FD_NONE })

/* Raw, so that the workload's terminal does the editing. 0 or -errno. */
[[nodiscard]] int terminal_raw(struct terminal *t, int fd);
void terminal_restore(struct terminal *t); /* as it was; nothing when not raw */
#define auto_terminal __attribute__((cleanup(terminal_restore)))

/* 0, 0 when fd is no terminal. */
void terminal_size(int fd, unsigned *ret_rows, unsigned *ret_cols);

#define DETACH_KEYS_MAX	    16
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

/* A sequence of keys, and how much of it has been typed. */
struct detach_keys {
	unsigned char keys[DETACH_KEYS_MAX];
	size_t n; /* 0: none */
	size_t at;
};

/* "ctrl-p,ctrl-q", "a", "ctrl-@"; "" is none. ERR_INVALID. */
[[nodiscard]] int detach_keys_parse(struct detach_keys *k, const char *text, struct err *e);

/*
 * Pass typed bytes through: what does not belong to the sequence is written to `to`, which has
 * room for n + DETACH_KEYS_MAX bytes, and counted in *ret_n. Gives whether the sequence is
 * complete; what was typed behind it is dropped.
 */
bool detach_keys_filter(struct detach_keys *k, const char *typed, size_t n, char *to,
			size_t *ret_n);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a checkpoint: numbers of eight bytes (little endian), texts with their length, and
 * pages by their number, which stand elsewhere. Both ends remember their first failure and do
 * nothing more; whoever writes or reads looks at it where it matters. What is read is believed in
 * nothing: each number has its most, and what is behind the end is zero and an error.
 */
#pragma once

#include "kernel/core/types.h"

struct state_out {
	/* Whoever embeds it keeps the bytes, and the page of this number. 0, -errno. */
	int (*write)(struct state_out *o, const void *bytes, size_t n);
	int (*page)(struct state_out *o, uint64_t nr, const void *page);
	uint64_t pages; /* so many were written: the next one's number */
	int error;
};

void out_bytes(struct state_out *o, const void *bytes, size_t n);
void out_number(struct state_out *o, uint64_t v);
void out_text(struct state_out *o, const char *text, size_t n);
/* Gives its number. */
uint64_t out_page(struct state_out *o, const void *page);

struct state_in {
	const unsigned char *at; /* borrowed */
	size_t left;
	uint64_t pages; /* so many there are */
	/* Into `page`. 0, -errno. */
	int (*page)(struct state_in *in, uint64_t nr, void *page);
	int error;
};

void in_bytes(struct state_in *in, void *to, size_t n);
/* At most `most`, else 0 and -EBADMSG. */
uint64_t in_number(struct state_in *in, uint64_t most);
static inline bool in_flag(struct state_in *in)
{
	return in_number(in, 1);
}
/* Into to[0, room) with an end; its length, which is below room. */
size_t in_text(struct state_in *in, char *to, size_t room);
void in_page(struct state_in *in, uint64_t nr, void *page);
/* The first failure counts. */
void in_fail(struct state_in *in, int error);

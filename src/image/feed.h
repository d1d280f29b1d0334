/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source in a process of its own, so that inflating and unpacking run on two processors: the
 * reader fills a ring of shared memory, the unpacker empties it, one small message per piece each
 * way. The reader holds no directory, the unpacker not the archive.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "image/hash.h"
#include "image/source.h"
#include "image/worker.h"

#define FEED_SLOTS 8u
#define FEED_SLOT  (256u << 10) /* bytes of a slot */

struct feed {
	/* Without a reader: the source itself. */
	struct source source;
	unsigned char *ring; /* owned mapping, or NULL without a reader */
	int sock;	     /* owned */
	unsigned held;	     /* slot given out and not yet returned, or FEED_SLOTS */
	bool ended;
	struct hash diff;
	struct unpack_result result;
};

/* A feed in this process. */
[[nodiscard]] int feed_init(struct feed *f, const struct unpack_request *r, struct err *e);

/* Map the ring and make the socket; before the fork. *ret_reader_sock: owned by the caller. */
[[nodiscard]] int feed_init_split(struct feed *f, int *ret_reader_sock, struct err *e);
/* In the reader: to the end. 0, or 1 when the other side went away. */
int feed_read(const struct feed *f, int sock, const struct unpack_request *r);
void feed_fini(struct feed *f);

/* As source_next and source_result. */
[[nodiscard]] int feed_next(struct feed *f, struct str *ret_data, struct err *e);
void feed_result(struct feed *f, struct unpack_result *ret_result);

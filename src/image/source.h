/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an archive in one pass: read, hashed as they came, copied to a blob if asked,
 * inflated (gzip of any number of members by ISA-L, zstd of any number of frames), hashed again.
 * For the confined worker only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "image/hash.h"
#include "image/worker.h"

struct inflate_state;
struct ZSTD_DCtx_s;

struct source {
	int fd;	     /* borrowed */
	int copy_fd; /* borrowed, or FD_NONE */
	bool range;
	uint64_t off, left; /* of the range */
	uint64_t bytes_max; /* inflated */
	enum unpack_format format;
	bool begun, ended;
	bool no_diff;		     /* the inflated bytes are hashed by somebody else */
	unsigned char *in, *own_out; /* owned */
	unsigned char *out;	     /* own_out, or the caller's: source_target */
	size_t in_n, in_pos;	     /* bytes in `in`; the first not yet used */
	bool in_ended;
	bool in_frame;		  /* inside a gzip member or zstd frame: the end here is a cut */
	struct inflate_state *gz; /* owned */
	struct ZSTD_DCtx_s *zs;	  /* owned */
	struct hash packed, diff;
	uint64_t packed_bytes, tar_bytes;
	uint64_t unwritten; /* bytes of the copy since write-back was last begun */
};

[[nodiscard]] int source_init(struct source *s, const struct unpack_request *r, struct err *e);
void source_fini(struct source *s);

#define SOURCE_OUT (256u << 10) /* bytes of a piece: stays in the second-level cache */
/* Inflate into the caller's SOURCE_OUT bytes from now on; NULL: into its own. */
void source_target(struct source *s, unsigned char *out);

/*
 * The next inflated bytes, valid until the next call; n 0 at the end.
 * Fails: INVALID damaged or cut short; EXHAUSTED past bytes_max or an absurd ratio.
 */
[[nodiscard]] int source_next(struct source *s, struct str *ret_data, struct err *e);

/* After the end: digests and sizes. */
void source_result(struct source *s, struct unpack_result *ret_result);

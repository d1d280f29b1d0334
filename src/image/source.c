/* SPDX-License-Identifier: Apache-2.0 */
#include "image/source.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/auto.h"
#include "base/file.h"

#define IN_BYTES  (256u << 10)
#define OUT_BYTES SOURCE_OUT

#define WRITEBACK_BYTES ((uint64_t) 16 << 20)

#define RATIO_FREE ((uint64_t) 64 << 20) /* inflated bytes before the ratio counts */

int source_init(struct source *s, const struct unpack_request *r, struct err *e)
{
	*s = (struct source){ .fd = r->in_fd,
			      .copy_fd = r->copy_fd,
			      .range = r->in_range,
			      .off = r->in_off,
			      .left = r->in_size };
	s->bytes_max = r->bytes_max ? r->bytes_max : UNPACK_BYTES_MAX;
	s->in = malloc(IN_BYTES);
	s->out = s->own_out = malloc(OUT_BYTES);
	hash_init(&s->packed);
	hash_init(&s->diff);
	if (!s->in || !s->out)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
	return 0;
}

void source_fini(struct source *s)
{
	free(s->in);
	free(s->own_out);
	free(s->gz);
	(void) ZSTD_freeDCtx(s->zs); /* NULL is fine */
	*s = (struct source){ .fd = FD_NONE, .copy_fd = FD_NONE };
}

void source_target(struct source *s, unsigned char *out)
{
	s->out = out ? out : s->own_out;
}

static ssize_t read_some(struct source *s, unsigned char *to, size_t max)
{
	ssize_t n;

	if (s->range && max > s->left)
		max = (size_t) s->left;
	if (max == 0)
		return 0;
	do
		n = s->range ? pread(s->fd, to, max, (off_t) s->off) : read(s->fd, to, max);
	while (n < 0 && errno == EINTR);
	if (n > 0 && s->range) {
		s->off += (uint64_t) n;
		s->left -= (uint64_t) n;
	}
	return n;
}

/*
 * The blob goes to the disk while the rest of it is read, not all of it in the sync at the end. A
 * file system that cannot is no matter.
 */
static void start_writeback(struct source *s, uint64_t n)
{
	s->unwritten += n;
	if (s->unwritten < WRITEBACK_BYTES)
		return;
	(void) sync_file_range(s->copy_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	s->unwritten = 0;
}

/* More packed bytes, after what is left; hashed and copied as they come. */
static int fill(struct source *s, struct err *e)
{
	ssize_t n;

	if (s->in_pos) {
		memmove(s->in, s->in + s->in_pos, s->in_n - s->in_pos);
		s->in_n -= s->in_pos;
		s->in_pos = 0;
	}
	n = read_some(s, s->in + s->in_n, IN_BYTES - s->in_n);
	if (n < 0)
		return err_sys(e, errno, "read the archive");
	if (n == 0 && s->range && s->left)
		return err_set(e, ERR_INVALID, EBADMSG, "the archive is cut short");
	if (n == 0) {
		s->in_ended = true;
		return 0;
	}
	hash_add(&s->packed, s->in + s->in_n, (size_t) n);
	if (s->copy_fd >= 0) {
		int r = fd_write_all(s->copy_fd, s->in + s->in_n, (size_t) n);

		if (r < 0)
			return err_sys(e, -r, "write the blob");
		start_writeback(s, (uint64_t) n);
	}
	s->in_n += (size_t) n;
	s->packed_bytes += (uint64_t) n;
	return 0;
}

static size_t in_left(const struct source *s)
{
	return s->in_n - s->in_pos;
}

static bool begins(const struct source *s, const char *magic, size_t n)
{
	return in_left(s) >= n && memcmp(s->in + s->in_pos, magic, n) == 0;
}

static bool is_zstd(const struct source *s)
{
	const unsigned char *p = s->in + s->in_pos;

	return begins(s, "\x28\xb5\x2f\xfd", 4) ||
	       (in_left(s) >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d &&
		p[3] == 0x18); /* a skippable frame: RFC 8878, 3.1.2 */
}

static int begin(struct source *s, struct err *e)
{
	while (in_left(s) < 512 && !s->in_ended) {
		int r = fill(s, e);

		if (r < 0)
			return r;
	}
	s->begun = true;
	if (begins(s, "\x1f\x8b", 2)) {
		s->format = UNPACK_GZIP;
		s->gz = malloc(sizeof(*s->gz));
		if (!s->gz)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
		isal_inflate_init(s->gz);
		s->gz->crc_flag = ISAL_GZIP;
		s->in_frame = true;
		return 0;
	}
	if (is_zstd(s)) {
		s->format = UNPACK_ZSTD;
		s->zs = ZSTD_createDCtx();
		return s->zs ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
	}
	if (begins(s,
		   "\xfd"
		   "7zXZ",
		   5) ||
	    begins(s, "BZh", 3))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the archive is packed by xz or bzip2; gzip, zstd and plain tar are "
			       "understood: unpack it first (xz -d, bzip2 -d)");
	s->format = UNPACK_TAR;
	return 0;
}

static int damaged(struct err *e, const char *how)
{
	return err_set(e, ERR_INVALID, EBADMSG, "the archive is damaged: %s", how);
}

/* After a gzip member: another one, padding of zeros, or nothing. */
static int next_member(struct source *s, struct err *e)
{
	s->in_frame = false;
	while (in_left(s) < 2 && !s->in_ended) {
		int r = fill(s, e);

		if (r < 0)
			return r;
	}
	if (begins(s, "\x1f\x8b", 2)) {
		isal_inflate_reset(s->gz);
		s->gz->crc_flag = ISAL_GZIP;
		s->in_frame = true;
		return 0;
	}
	for (;;) {
		int r;

		for (; s->in_pos < s->in_n; s->in_pos++)
			if (s->in[s->in_pos])
				return damaged(e, "rubbish after the end of its gzip data");
		if (s->in_ended)
			break;
		r = fill(s, e);
		if (r < 0)
			return r;
	}
	s->ended = true;
	return 0;
}

static int next_gzip(struct source *s, size_t *ret_n, struct err *e)
{
	struct inflate_state *z = s->gz;
	int r;

	z->next_out = s->out;
	z->avail_out = OUT_BYTES;
	while (z->avail_out == OUT_BYTES && !s->ended) {
		if (in_left(s) == 0 && !s->in_ended) {
			r = fill(s, e);
			if (r < 0)
				return r;
		}
		z->next_in = s->in + s->in_pos;
		z->avail_in = (uint32_t) in_left(s);
		r = isal_inflate(z);
		s->in_pos = s->in_n - z->avail_in;
		if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT && r != ISAL_OUT_OVERFLOW)
			return damaged(e, r == ISAL_INCORRECT_CHECKSUM
						  ? "the checksum of its gzip data is wrong"
						  : "its gzip data cannot be inflated");
		if (z->block_state == ISAL_BLOCK_FINISH) {
			unsigned char *out = z->next_out;
			uint32_t room = z->avail_out;

			r = next_member(s, e);
			if (r < 0)
				return r;
			z->next_out = out;
			z->avail_out = room;
		} else if (s->in_ended && in_left(s) == 0 && z->avail_out == OUT_BYTES) {
			return damaged(e, "its gzip data is cut short");
		}
	}
	*ret_n = OUT_BYTES - z->avail_out;
	return 0;
}

static int next_zstd(struct source *s, size_t *ret_n, struct err *e)
{
	ZSTD_outBuffer out = { s->out, OUT_BYTES, 0 };

	while (out.pos == 0 && !s->ended) {
		ZSTD_inBuffer in;
		size_t r;

		if (in_left(s) == 0 && !s->in_ended) {
			int f = fill(s, e);

			if (f < 0)
				return f;
		}
		if (in_left(s) == 0 && !s->in_frame) {
			s->ended = true;
			break;
		}
		in = (ZSTD_inBuffer){ s->in + s->in_pos, in_left(s), 0 };
		r = ZSTD_decompressStream(s->zs, &out, &in);
		s->in_pos += in.pos;
		if (ZSTD_isError(r))
			return damaged(e, ZSTD_getErrorName(r));
		s->in_frame = r != 0;
		if (s->in_frame && in.size == 0 && out.pos == 0)
			return damaged(e, "its zstd data is cut short");
	}
	*ret_n = out.pos;
	return 0;
}

static int next_plain(struct source *s, struct str *ret_data, struct err *e)
{
	if (in_left(s) == 0 && !s->in_ended) {
		int r = fill(s, e);

		if (r < 0)
			return r;
	}
	*ret_data = (struct str){ (const char *) s->in + s->in_pos, in_left(s) };
	s->in_pos = s->in_n;
	s->ended = ret_data->n == 0;
	return 0;
}

static int check_limits(const struct source *s, struct err *e)
{
	if (s->tar_bytes > s->bytes_max)
		return err_set(e, ERR_EXHAUSTED, EFBIG,
			       "the archive unpacks to more than %llu bytes, which is the limit",
			       (unsigned long long) s->bytes_max);
	if (s->format != UNPACK_TAR && s->tar_bytes > RATIO_FREE &&
	    s->tar_bytes / UNPACK_RATIO_MAX > s->packed_bytes)
		return err_set(
			e, ERR_EXHAUSTED, EFBIG,
			"the archive is a decompression bomb: %llu bytes from %llu, more than "
			"%u times as many",
			(unsigned long long) s->tar_bytes, (unsigned long long) s->packed_bytes,
			UNPACK_RATIO_MAX);
	return 0;
}

int source_next(struct source *s, struct str *ret_data, struct err *e)
{
	struct str data = { (const char *) s->out, 0 };
	int r = 0;

	if (!s->begun)
		r = begin(s, e);
	if (r == 0 && !s->ended) {
		switch (s->format) {
		case UNPACK_TAR:
			r = next_plain(s, &data, e);
			break;
		case UNPACK_GZIP:
			r = next_gzip(s, &data.n, e);
			break;
		case UNPACK_ZSTD:
			r = next_zstd(s, &data.n, e);
			break;
		}
	}
	if (r < 0)
		return r;
	if (s->format != UNPACK_TAR && !s->no_diff)
		hash_add(&s->diff, data.p, data.n);
	s->tar_bytes += data.n;
	r = check_limits(s, e);
	if (r == 0)
		*ret_data = data;
	return r;
}

void source_result(struct source *s, struct unpack_result *ret_result)
{
	hash_end(&s->packed, &ret_result->packed);
	if (s->format == UNPACK_TAR)
		ret_result->diff = ret_result->packed; /* the same bytes, hashed once */
	else
		hash_end(&s->diff, &ret_result->diff);
	ret_result->packed_bytes = s->packed_bytes;
	ret_result->tar_bytes = s->tar_bytes;
	ret_result->format = s->format;
}

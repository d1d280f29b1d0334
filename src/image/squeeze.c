/* SPDX-License-Identifier: Apache-2.0 */
#include "image/squeeze.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "image/hash.h"

#define PIECE_BYTES (1u << 20)

struct squeeze {
	struct isal_zstream z;
	struct hash tar, packed;
	struct unpack_result result;
	uint8_t work[ISAL_DEF_LVL1_DEFAULT];
	uint8_t in[PIECE_BYTES], out[PIECE_BYTES];
};

/* What is in `in`, as far as it goes. */
static int put(struct squeeze *q, int fd, struct err *e)
{
	do {
		size_t n;
		int r;

		q->z.next_out = q->out;
		q->z.avail_out = sizeof(q->out);
		if (isal_deflate(&q->z) != COMP_OK)
			return err_set(e, ERR_INTERNAL, EIO, "gzip refuses to compress a layer");
		n = sizeof(q->out) - q->z.avail_out;
		hash_add(&q->packed, q->out, n);
		q->result.packed_bytes += n;
		r = fd_write_all(fd, q->out, n);
		if (r < 0)
			return err_sys(e, -r, "write a compressed layer");
	} while (q->z.avail_out == 0);
	return 0;
}

static int squeeze_all(struct squeeze *q, int in_fd, int out_fd, struct err *e)
{
	int r = 0;

	while (r == 0 && !q->z.end_of_stream) {
		ssize_t n = read(in_fd, q->in, sizeof(q->in));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read a layer");
		hash_add(&q->tar, q->in, (size_t) n);
		q->result.tar_bytes += (uint64_t) n;
		q->z.next_in = q->in;
		q->z.avail_in = (uint32_t) n;
		q->z.end_of_stream = n == 0;
		r = put(q, out_fd, e);
	}
	return r;
}

int squeeze_run(int in_fd, int out_fd, struct unpack_result *ret_result, struct err *e)
{
	struct squeeze *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to compress");
	isal_deflate_init(&q->z);
	q->z.level = 1;
	q->z.level_buf = q->work;
	q->z.level_buf_size = sizeof(q->work);
	q->z.gzip_flag = IGZIP_GZIP;
	q->z.flush = NO_FLUSH;
	hash_init(&q->tar);
	hash_init(&q->packed);
	r = squeeze_all(q, in_fd, out_fd, e);
	if (r == 0) {
		q->result.format = UNPACK_GZIP;
		hash_end(&q->tar, &q->result.diff);
		hash_end(&q->packed, &q->result.packed);
		*ret_result = q->result;
	}
	free(q);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/feed.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"

/* From the reader: a full slot, the end, or why there is none. */
struct feed_msg {
	uint32_t slot, n; /* n 0: the end */
	bool hashed;	  /* the bytes are the packed ones, whose hash the result brings */
	struct unpack_result result;
	struct err err;
};

int feed_init(struct feed *f, const struct unpack_request *r, struct err *e)
{
	*f = (struct feed){ .sock = FD_NONE };
	return source_init(&f->source, r, e);
}

int feed_init_split(struct feed *f, int *ret_reader_sock, struct err *e)
{
	void *ring = mmap(NULL, (size_t) FEED_SLOTS * FEED_SLOT, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pair[2];

	if (ring == MAP_FAILED)
		return err_sys(e, errno, "map memory to unpack with");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int r = err_sys(e, errno, "make a socket");

		(void) munmap(ring, (size_t) FEED_SLOTS * FEED_SLOT);
		return r;
	}
	*f = (struct feed){ .ring = ring, .sock = pair[0], .held = FEED_SLOTS };
	hash_init(&f->diff);
	*ret_reader_sock = pair[1];
	return 0;
}

void feed_fini(struct feed *f)
{
	if (f->ring)
		(void) munmap(f->ring, (size_t) FEED_SLOTS * FEED_SLOT);
	else
		source_fini(&f->source);
	close_fd(&f->sock);
}

/* The number of a slot that is free again; the first round needs no word from the other side. */
static int free_slot(int sock, uint32_t *count, uint32_t *ret_slot)
{
	unsigned char slot;

	if (*count < FEED_SLOTS) {
		*ret_slot = (*count)++;
		return 0;
	}
	for (;;) {
		ssize_t n = recv(sock, &slot, 1, 0);

		if (n == 1 && slot < FEED_SLOTS) {
			*ret_slot = slot;
			return 0;
		}
		if (n >= 0 || errno != EINTR)
			return -EPIPE;
	}
}

int feed_read(const struct feed *f, int sock, const struct unpack_request *req)
{
	struct source s;
	struct feed_msg m = {};
	uint32_t count = 0;
	int r = source_init(&s, req, &m.err);

	s.no_diff = true; /* the other side hashes what it gets */
	do {
		struct str data = {};

		m.n = 0;
		if (free_slot(sock, &count, &m.slot) < 0) {
			source_fini(&s);
			return 1;
		}
		if (r == 0) {
			source_target(&s, f->ring + (size_t) m.slot * FEED_SLOT);
			r = source_next(&s, &data, &m.err);
		}
		if (r == 0) {
			m.n = (uint32_t) data.n;
			m.hashed = s.format == UNPACK_TAR;
			if (m.hashed)
				memcpy(f->ring + (size_t) m.slot * FEED_SLOT, data.p, data.n);
			if (data.n == 0)
				source_result(&s, &m.result);
		}
		if (send(sock, &m, sizeof(m), MSG_NOSIGNAL) < 0)
			break;
	} while (r == 0 && m.n);
	source_target(&s, NULL);
	source_fini(&s);
	/* A unix socket closed with messages unread breaks its peer, which has some still to read.
	 */
	while (recv(sock, &m, sizeof(m), 0) > 0)
		;
	return 0;
}

int feed_next(struct feed *f, struct str *ret_data, struct err *e)
{
	struct feed_msg m;
	ssize_t n;

	if (!f->ring)
		return source_next(&f->source, ret_data, e);
	if (f->held < FEED_SLOTS) {
		const unsigned char slot = (unsigned char) f->held;

		f->held = FEED_SLOTS;
		/* A reader that has said its last word is gone: recv tells of all else. */
		(void) send(f->sock, &slot, 1, MSG_NOSIGNAL);
	}
	if (f->ended) {
		*ret_data = (struct str){};
		return 0;
	}
	do
		n = recv(f->sock, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(m) || m.slot >= FEED_SLOTS || m.n > FEED_SLOT ||
	    !memchr(m.err.msg, '\0', sizeof(m.err.msg)))
		return err_set(e, ERR_INTERNAL, EPIPE,
			       "the process that inflates the archive died; nothing was kept");
	if (m.err.kind != ERR_NONE) {
		*e = m.err;
		return e->sys > 0 ? -e->sys : -EIO;
	}
	*ret_data = (struct str){ (const char *) f->ring + (size_t) m.slot * FEED_SLOT, m.n };
	if (m.n == 0) {
		f->ended = true;
		f->result = m.result;
		if (f->result.format != UNPACK_TAR)
			hash_end(&f->diff, &f->result.diff);
		return 0;
	}
	f->held = m.slot;
	if (!m.hashed)
		hash_add(&f->diff, ret_data->p, ret_data->n);
	return 0;
}

void feed_result(struct feed *f, struct unpack_result *ret_result)
{
	if (!f->ring) {
		source_result(&f->source, ret_result);
		return;
	}
	f->result.file_bytes = ret_result->file_bytes;
	f->result.entries = ret_result->entries;
	*ret_result = f->result;
}

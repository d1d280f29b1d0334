/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/vmm.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/le.h"
#include "sys/fdpass.h"

/*
 * request = version:u16 type:u16 which:u32 value:u64
 * reply   = version:u16 type:u16 error:u32 words:u32 zero:u32, then words of u64; with an error:
 *           a sentence, filled up with zeros
 */
#define WIRE_VERSION	1
#define HEADER_BYTES	16
#define INFO_WORDS	4
#define STATS_WORDS	2
#define DEVICE_WORDS	7
#define WRITTEN_WORDS	2
#define WORDS_MAX	((VMM_REPLY_MAX - HEADER_BYTES) / 8)
#define STATS_WORDS_ALL (STATS_WORDS + VMM_DEVICES_MAX * DEVICE_WORDS)
#define ERROR_MAX	4095

static_assert(STATS_WORDS_ALL <= WORDS_MAX, "a reply has room for all devices");
static_assert(VMM_REASON_MAX % 8 == 0 && VMM_REASON_MAX / 8 <= WORDS_MAX, "and for a sentence");

static bool known(uint16_t type)
{
	return type >= VMM_INFO && type <= VMM_SNAPSHOT;
}

void vmm_encode_request(const struct vmm_request *r, uint8_t ret_bytes[static VMM_REQUEST_BYTES])
{
	memset(ret_bytes, 0, VMM_REQUEST_BYTES);
	store_le16(ret_bytes, WIRE_VERSION);
	store_le16(ret_bytes + 2, (uint16_t) r->type);
	store_le32(ret_bytes + 4, r->which);
	store_le64(ret_bytes + 8, r->value);
}

int vmm_decode_request(const uint8_t bytes[static VMM_REQUEST_BYTES], struct vmm_request *ret_r)
{
	if (load_le16(bytes) != WIRE_VERSION)
		return -EPROTO;
	if (!known(load_le16(bytes + 2)) ||
	    load_le32(bytes + 4) >=
		    (load_le16(bytes + 2) == VMM_LIMIT ? VMM_DEVICES_MAX * VMM_LIMITS_N : 1u))
		return -EBADMSG;
	*ret_r = (struct vmm_request){ .type = (enum vmm_type) load_le16(bytes + 2),
				       .which = load_le32(bytes + 4),
				       .value = load_le64(bytes + 8) };
	return 0;
}

static size_t put(uint8_t *words, size_t n, uint64_t v)
{
	store_le64(words + n * 8, v);
	return n + 1;
}

static size_t put_stats(const struct vmm_stats *s, uint8_t *words)
{
	size_t n = put(words, 0, s->exits);

	n = put(words, n, s->balloon_bytes);
	for (size_t i = 0; i < s->devices_n && i < VMM_DEVICES_MAX; i++) {
		const struct vmm_device_stats *d = &s->devices[i];

		n = put(words, n, d->virtio_id);
		n = put(words, n, d->read_bytes);
		n = put(words, n, d->write_bytes);
		n = put(words, n, d->reads);
		n = put(words, n, d->writes);
		n = put(words, n, d->errors);
		n = put(words, n, d->interrupts);
	}
	return n;
}

static size_t put_reason(const char *reason, uint8_t *words)
{
	size_t length = strnlen(reason, VMM_REASON_MAX - 1), n = (length + 7) / 8;

	memset(words, 0, n * 8);
	memcpy(words, reason, length);
	return n;
}

size_t vmm_encode_reply(const struct vmm_reply *r, uint8_t ret_bytes[static VMM_REPLY_MAX])
{
	uint8_t *words = ret_bytes + HEADER_BYTES;
	size_t n = 0;

	memset(ret_bytes, 0, HEADER_BYTES);
	if (r->error == 0 && r->type == VMM_INFO) {
		n = put(words, n, r->info.pid);
		n = put(words, n, r->info.cpus);
		n = put(words, n, r->info.memory_bytes);
		n = put(words, n, r->info.paused);
	} else if (r->error == 0 && r->type == VMM_STATS) {
		n = put_stats(&r->stats, words);
	} else if (r->error == 0 && r->type == VMM_SNAPSHOT) {
		n = put(words, n, r->written.state_bytes);
		n = put(words, n, r->written.memory_bytes);
	} else if (r->error) {
		n = put_reason(r->reason, words);
	}
	store_le16(ret_bytes, WIRE_VERSION);
	store_le16(ret_bytes + 2, (uint16_t) r->type);
	store_le32(ret_bytes + 4, (uint32_t) r->error);
	store_le32(ret_bytes + 8, (uint32_t) n);
	return HEADER_BYTES + n * 8;
}

static int get_stats(const uint8_t *words, size_t n, struct vmm_stats *s)
{
	if (n < STATS_WORDS || (n - STATS_WORDS) % DEVICE_WORDS || n > STATS_WORDS_ALL)
		return -EBADMSG;
	s->exits = load_le64(words);
	s->balloon_bytes = load_le64(words + 8);
	s->devices_n = (n - STATS_WORDS) / DEVICE_WORDS;
	words += STATS_WORDS * 8;
	for (size_t i = 0; i < s->devices_n; i++, words += DEVICE_WORDS * 8)
		s->devices[i] = (struct vmm_device_stats){
			.virtio_id = load_le64(words),
			.read_bytes = load_le64(words + 8),
			.write_bytes = load_le64(words + 16),
			.reads = load_le64(words + 24),
			.writes = load_le64(words + 32),
			.errors = load_le64(words + 40),
			.interrupts = load_le64(words + 48),
		};
	return 1;
}

/* Text that ends where it says: what is to be shown is nothing else. */
static int get_reason(const uint8_t *words, size_t n, char to[static VMM_REASON_MAX])
{
	if (n * 8 > VMM_REASON_MAX)
		return -EBADMSG;
	memcpy(to, words, n * 8);
	to[n * 8 < VMM_REASON_MAX ? n * 8 : VMM_REASON_MAX - 1] = 0;
	for (size_t i = 0; to[i]; i++)
		if ((unsigned char) to[i] < ' ')
			return -EBADMSG;
	return 1;
}

static int get_body(const uint8_t *words, size_t n, struct vmm_reply *r)
{
	if (r->error)
		return get_reason(words, n, r->reason);
	if (r->type == VMM_SNAPSHOT) {
		if (n != WRITTEN_WORDS)
			return -EBADMSG;
		r->written = (struct vmm_written){ load_le64(words), load_le64(words + 8) };
		return 1;
	}
	if (r->type == VMM_STATS)
		return get_stats(words, n, &r->stats);
	if (r->type == VMM_INFO) {
		if (n != INFO_WORDS || load_le64(words + 24) > 1)
			return -EBADMSG;
		r->info = (struct vmm_info){
			.pid = load_le64(words),
			.cpus = load_le64(words + 8),
			.memory_bytes = load_le64(words + 16),
			.paused = load_le64(words + 24) == 1,
		};
		return 1;
	}
	return n ? -EBADMSG : 1;
}

int vmm_decode_reply(const uint8_t *bytes, size_t n, struct vmm_reply *ret_r)
{
	struct vmm_reply r = { 0 };
	uint32_t words, error;
	int done;

	if (n < HEADER_BYTES)
		return 0;
	if (load_le16(bytes) != WIRE_VERSION)
		return -EPROTO;
	error = load_le32(bytes + 4);
	words = load_le32(bytes + 8);
	if (!known(load_le16(bytes + 2)) || error > ERROR_MAX || words > WORDS_MAX ||
	    load_le32(bytes + 12))
		return -EBADMSG;
	if ((n - HEADER_BYTES) / 8 < words)
		return 0;
	r.type = (enum vmm_type) load_le16(bytes + 2);
	r.error = (int) error;
	done = get_body(bytes + HEADER_BYTES, words, &r);
	if (done == 1)
		*ret_r = r;
	return done;
}

static int wait_readable(int socket, nsec_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = socket, .events = POLLIN };
		int r = poll(&p, 1, clock_poll_ms(deadline));

		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* An answer of this type, also one that refuses. */
static int await_reply(int socket, enum vmm_type type, nsec_t deadline, struct vmm_reply *ret_r)
{
	uint8_t bytes[VMM_REPLY_MAX];
	struct vmm_reply reply;
	size_t n = 0;
	int r;

	do {
		ssize_t got;

		r = wait_readable(socket, deadline);
		if (r < 0)
			return r;
		got = recv(socket, bytes + n, sizeof(bytes) - n, MSG_DONTWAIT);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		n += (size_t) got;
	} while ((r = vmm_decode_reply(bytes, n, &reply)) == 0 && n < sizeof(bytes));
	if (r <= 0 || reply.type != type)
		return r < 0 ? r : -EBADMSG;
	*ret_r = reply;
	return 0;
}

int vmm_ask(int socket, const struct vmm_request *q, nsec_t deadline, struct vmm_reply *ret_r)
{
	uint8_t request[VMM_REQUEST_BYTES];
	struct vmm_reply reply;
	int r;

	vmm_encode_request(q, request);
	if (send(socket, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		return -EPIPE; /* so few bytes go whole or not at all */
	r = await_reply(socket, q->type, deadline, &reply);
	if (r < 0)
		return r;
	if (reply.error)
		return -reply.error;
	*ret_r = reply;
	return 0;
}

int vmm_snapshot(int socket, uint64_t flags, int state_fd, int memory_fd, nsec_t deadline,
		 struct vmm_written *ret_w, struct err *e)
{
	const struct vmm_request q = { .type = VMM_SNAPSHOT, .value = flags };
	const int fds[VMM_SNAPSHOT_FDS] = { state_fd, memory_fd };
	uint8_t request[VMM_REQUEST_BYTES];
	struct vmm_reply reply;
	int r;

	vmm_encode_request(&q, request);
	r = fdpass_send(socket, request, sizeof(request), fds, VMM_SNAPSHOT_FDS);
	if (r == 0)
		r = await_reply(socket, VMM_SNAPSHOT, deadline, &reply);
	if (r < 0)
		return err_sys(e, -r, "ask the machine for a snapshot");
	if (reply.error && reply.reason[0])
		return err_set(e, err_kind_of(reply.error), reply.error, "%s", reply.reason);
	if (reply.error)
		return err_sys(e, reply.error, "snapshot");
	*ret_w = reply.written;
	return 0;
}

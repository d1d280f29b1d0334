/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sentry.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "sys/fdpass.h"

/* version:u16 type:u16 fields:u16, then the fields. */
#define VERSION	   1
#define HEAD_BYTES 6

#define ERROR_MAX  4095
#define SIGNAL_MAX 64

static const struct field request_fields[] = {
	FIELD_NUMBER(sentry_request, process),
	FIELD_NUMBER_MAX(sentry_request, signal, SIGNAL_MAX),
	FIELD(sentry_request, spec, FIELD_STRING),
	FIELD(sentry_request, in, FIELD_FD),
	FIELD(sentry_request, out, FIELD_FD),
	FIELD(sentry_request, err, FIELD_FD),
	FIELD_NUMBER(sentry_request, memory),
	FIELD_NUMBER(sentry_request, tasks),
	FIELD_NUMBER(sentry_request, cpu_quota),
	FIELD_NUMBER(sentry_request, cpu_period),
	FIELD(sentry_request, calls, FIELD_DATA),
	FIELD(sentry_request, pids, FIELD_DATA),
	FIELD_NUMBER(sentry_request, text),
	FIELD(sentry_request, entries, FIELD_BOOL),
	FIELD(sentry_request, signals, FIELD_BOOL),
	FIELD_NUMBER(sentry_request, container),
	FIELD_NUMBER(sentry_request, pids_of),
	FIELD(sentry_request, gofer, FIELD_FD),
	FIELD(sentry_request, binds, FIELD_STRING),
	FIELD(sentry_request, filter, FIELD_DATA),
};
static const struct field_layout request_layout = FIELD_LAYOUT(sentry_request, request_fields);

static const struct field refused_fields[] = {
	FIELD_NUMBER(sentry_refused, nr),
	FIELD_NUMBER_MAX(sentry_refused, error, ERROR_MAX),
	FIELD_NUMBER(sentry_refused, which),
	FIELD_NUMBER(sentry_refused, count),
	FIELD(sentry_refused, filtered, FIELD_BOOL),
};
static const struct field_layout refused_layout = FIELD_LAYOUT(sentry_refused, refused_fields);

static const struct field reply_fields[] = {
	FIELD_NUMBER_MAX(sentry_reply, error, ERROR_MAX),
	FIELD(sentry_reply, reason, FIELD_STRING),
	FIELD_NUMBER(sentry_reply, process),
	FIELD_NUMBER(sentry_reply, pid),
	FIELD_NUMBER_MAX(sentry_reply, status, 255),
	FIELD_NUMBER(sentry_reply, memory),
	FIELD_NUMBER(sentry_reply, memory_most),
	FIELD_NUMBER(sentry_reply, kernel_memory),
	FIELD_NUMBER(sentry_reply, processes),
	FIELD_NUMBER(sentry_reply, threads),
	FIELD_NUMBER(sentry_reply, cpu_ns),
	FIELD_LIST_OF(sentry_reply, list, &process_layout),
	FIELD_NUMBER(sentry_reply, memory_limit),
	FIELD_NUMBER(sentry_reply, tasks_limit),
	FIELD_LIST_OF(sentry_reply, refused, &refused_layout),
	FIELD_NUMBER(sentry_reply, others),
	FIELD_NUMBER(sentry_reply, container),
};
static const struct field_layout reply_layout = FIELD_LAYOUT(sentry_reply, reply_fields);

static int send_message(int sock, enum sentry_type type, const struct field_layout *l,
			const void *p)
{
	auto_buf struct buf bytes = BUF_INIT(SENTRY_MESSAGE_MAX);
	int fds[FIELD_FDS_MAX];
	size_t fds_n = 0, count;

	field_put_le(&bytes, VERSION, 2);
	field_put_le(&bytes, type, 2);
	field_put_le(&bytes, 0, 2);
	count = fields_encode(l, p, &bytes, fds, &fds_n);
	if (!buf_ok(&bytes))
		return buf_error(&bytes) == -EFBIG ? -E2BIG : buf_error(&bytes);
	bytes.p[4] = (char) count; /* fewer than 256 */
	if (l == &request_layout)
		return fdpass_send(sock, bytes.p, bytes.n, fds, fds_n);
	/* The sentry's filter has the call whose address it sees. */
	return send(sock, bytes.p, bytes.n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int sentry_send_request(int sock, const struct sentry_request *q)
{
	return send_message(sock, q->type, &request_layout, q);
}

int sentry_send_reply(int sock, const struct sentry_reply *a)
{
	return send_message(sock, a->type, &reply_layout, a);
}

static int decode(struct str s, const struct field_layout *l, struct arena *a, int *fds,
		  size_t fds_n, enum sentry_type *ret_type, void *ret_p)
{
	uint64_t type;

	if (s.n < HEAD_BYTES)
		return -EBADMSG;
	if (field_get_le(s.p, 2) != VERSION)
		return -EPROTO;
	type = field_get_le(s.p + 2, 2);
	if (type < SENTRY_START || type > SENTRY_REMOVE)
		return -EBADMSG;
	*ret_type = (enum sentry_type) type;
	fields_init(l, ret_p);
	return fields_decode(l, a, (struct str){ s.p + HEAD_BYTES, s.n - HEAD_BYTES },
			     field_get_le(s.p + 4, 2), fds, fds_n, ret_p);
}

static int receive(int sock, const struct field_layout *l, struct arena *a,
		   enum sentry_type *ret_type, void *ret_p)
{
	char *bytes = arena_alloc(a, SENTRY_MESSAGE_MAX);
	int fds[FIELD_FDS_MAX], r;
	size_t fds_n = 0;
	ssize_t n;

	if (!bytes)
		return -ENOMEM;
	n = fdpass_recv(sock, bytes, SENTRY_MESSAGE_MAX, fds, FIELD_FDS_MAX, &fds_n);
	if (n <= 0)
		return n == -ECONNRESET ? 0 : (int) n;
	r = decode((struct str){ bytes, (size_t) n }, l, a, fds, fds_n, ret_type, ret_p);
	/* Those that no field has taken. */
	for (size_t i = 0; i < fds_n; i++)
		close_fd(&fds[i]);
	if (r < 0)
		fields_close_fds(l, ret_p);
	return r < 0 ? r : 1;
}

int sentry_receive_request(int sock, struct arena *a, struct sentry_request *ret_q)
{
	*ret_q = sentry_request(SENTRY_START);
	return receive(sock, &request_layout, a, &ret_q->type, ret_q);
}

int sentry_receive_reply(int sock, struct arena *a, struct sentry_reply *ret_a)
{
	*ret_a = (struct sentry_reply){};
	return receive(sock, &reply_layout, a, &ret_a->type, ret_a);
}

void sentry_close_fds(struct sentry_request *q)
{
	fields_close_fds(&request_layout, q);
}

int sentry_ask(int sock, const struct sentry_request *q, nsec_t deadline, struct arena *a,
	       struct sentry_reply *ret_a)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int r = sentry_send_request(sock, q);

	if (r < 0)
		return r;
	do
		r = poll(&p, 1, clock_poll_ms(deadline));
	while ((r < 0 && errno == EINTR) || (r == 0 && clock_mono() < deadline));
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	r = sentry_receive_reply(sock, a, ret_a);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	return ret_a->type == q->type ? 0 : -EBADMSG;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"

/*
 * datagram = version:u8 type:u8 fields:u16, then per field tag:u16 length:u32 bytes[length].
 * A tag is the field's place in its message's table, from 1; each at most once, in rising order.
 * Fields that say nothing (0, false, "", no descriptor) are left out.
 */
#define WIRE_VERSION 1
#define HEADER_BYTES 4
#define FIELD_BYTES  6
#define STRINGS_MAX  16384 /* members of one list */
#define SIGNAL_MAX   64
#define TERMINAL_MAX 65535

enum field_kind { FIELD_U64, FIELD_BOOL, FIELD_STRING, FIELD_DATA, FIELD_STRINGS, FIELD_FD };

struct field {
	enum field_kind kind;
	size_t offset;
	uint64_t max; /* U64: the highest value taken, 0: any */
};

struct layout {
	const struct field *fields;
	size_t n;
};

#define F(type, member, kind_)                                                                     \
	{                                                                                          \
		.kind = (kind_), .offset = offsetof(struct type, member)                           \
	}
#define F_MAX(type, member, max_)                                                                  \
	{                                                                                          \
		.kind = FIELD_U64, .offset = offsetof(struct type, member), .max = (max_)          \
	}
#define U(type, member) F(type, member, FIELD_U64)

static const struct field create_fields[] = {
	F(shim_create, id, FIELD_STRING),
	F(shim_create, name, FIELD_STRING),
	F(shim_create, image, FIELD_STRING),
	F(shim_create, root, FIELD_STRING),
	F(shim_create, state, FIELD_STRING),
	F(shim_create, isolation, FIELD_STRING),
	F(shim_create, attach, FIELD_BOOL),
	F(shim_create, stdin_open, FIELD_BOOL),
	F(shim_create, stdin_once, FIELD_BOOL),
	F(shim_create, auto_remove, FIELD_BOOL),
	F(shim_create, acknowledged, FIELD_BOOL),
	F_MAX(shim_create, rows, TERMINAL_MAX),
	F_MAX(shim_create, cols, TERMINAL_MAX),
	F_MAX(shim_create, stop_signal, SIGNAL_MAX),
	F_MAX(shim_create, stop_timeout_ns, INT64_MAX),
	F_MAX(shim_create, restart, SHIM_RESTART_UNLESS_STOPPED),
	F_MAX(shim_create, restart_max, UINT32_MAX),
	F_MAX(shim_create, log_driver, SHIM_LOG_JOURNALD),
	F_MAX(shim_create, log_max_bytes, INT64_MAX),
	F_MAX(shim_create, log_max_files, 1000),
	F(shim_create, log_tag, FIELD_STRING),
	F(shim_create, health.test, FIELD_STRINGS),
	F_MAX(shim_create, health.interval_ns, INT64_MAX),
	F_MAX(shim_create, health.timeout_ns, INT64_MAX),
	F_MAX(shim_create, health.start_period_ns, INT64_MAX),
	F_MAX(shim_create, health.start_interval_ns, INT64_MAX),
	F_MAX(shim_create, health.retries, UINT32_MAX),
	F(shim_create, bundle_fd, FIELD_FD),
	F(shim_create, root_fd, FIELD_FD),
	F(shim_create, sink[0], FIELD_FD),
	F(shim_create, sink[1], FIELD_FD),
	F(shim_create, sink[2], FIELD_FD),
	F(shim_create, records, FIELD_BOOL),
	F(shim_create, checkpoint_fd, FIELD_FD),
	F(shim_create, restore.program, FIELD_STRING),
	F(shim_create, restore.tcp_established, FIELD_BOOL),
	F(shim_create, restore.tcp_close, FIELD_BOOL),
	F(shim_create, restore.ext_unix_sk, FIELD_BOOL),
	F(shim_create, restore.file_locks, FIELD_BOOL),
};
static const struct field checkpoint_fields[] = {
	F(shim_checkpoint, program, FIELD_STRING),
	F(shim_checkpoint, leave_running, FIELD_BOOL),
	F(shim_checkpoint, tcp_established, FIELD_BOOL),
	F(shim_checkpoint, ext_unix_sk, FIELD_BOOL),
	F(shim_checkpoint, file_locks, FIELD_BOOL),
	F(shim_checkpoint, link_remap, FIELD_BOOL),
	F(shim_checkpoint, dir_fd, FIELD_FD),
};
static const struct field signal_fields[] = { F_MAX(shim_signal, signo, SIGNAL_MAX) };
static const struct field stop_fields[] = {
	F_MAX(shim_stop, signo, SIGNAL_MAX),
	F_MAX(shim_stop, timeout_ns, INT64_MAX),
	F(shim_stop, use_timeout, FIELD_BOOL),
	F(shim_stop, restarting, FIELD_BOOL),
};
static const struct field update_fields[] = {
	F(shim_update, resources, FIELD_STRING),
	F(shim_update, set_restart, FIELD_BOOL),
	F_MAX(shim_update, restart, SHIM_RESTART_UNLESS_STOPPED),
	F_MAX(shim_update, restart_max, UINT32_MAX),
};
static const struct field exec_fields[] = {
	F(shim_exec, process, FIELD_STRING),  F(shim_exec, stdin_open, FIELD_BOOL),
	F(shim_exec, detach, FIELD_BOOL),     F_MAX(shim_exec, rows, TERMINAL_MAX),
	F_MAX(shim_exec, cols, TERMINAL_MAX), F(shim_exec, sink[0], FIELD_FD),
	F(shim_exec, sink[1], FIELD_FD),      F(shim_exec, sink[2], FIELD_FD),
};
static const struct field attach_fields[] = {
	F(shim_attach, stdin_open, FIELD_BOOL),
	F(shim_attach, output, FIELD_BOOL),
	F(shim_attach, lossless, FIELD_BOOL),
};
static const struct field resize_fields[] = {
	F_MAX(shim_resize, rows, TERMINAL_MAX),
	F_MAX(shim_resize, cols, TERMINAL_MAX),
};
static const struct field data_fields[] = {
	F_MAX(shim_data, stream, SHIM_STREAM_STDERR),
	F(shim_data, bytes, FIELD_DATA),
};
static const struct field gap_fields[] = {
	F_MAX(shim_gap, stream, SHIM_STREAM_STDERR),
	U(shim_gap, bytes),
};
static const struct field taken_fields[] = { F_MAX(shim_taken, bytes, SHIM_STDIN_WINDOW) };
static const struct field wait_fields[] = { F_MAX(shim_wait, condition, SHIM_WAIT_REMOVED) };
static const struct field rename_fields[] = { F(shim_rename, name, FIELD_STRING) };
static const struct field error_fields[] = {
	F_MAX(shim_error, kind, ERR_INTERNAL),
	F_MAX(shim_error, sys, 4095),
	F(shim_error, message, FIELD_STRING),
	F_MAX(shim_error, exit_code, 255),
};
static const struct field started_fields[] = { F_MAX(shim_started, pid, INT32_MAX) };
static const struct field exited_fields[] = {
	F_MAX(shim_exited, code, 255),
	F(shim_exited, oom, FIELD_BOOL),
	F(shim_exited, removed, FIELD_BOOL),
};
static const struct field usage_fields[] = {
	U(shim_usage, at),
	U(shim_usage, cpu_ns),
	U(shim_usage, cpu_user_ns),
	U(shim_usage, cpu_system_ns),
	U(shim_usage, throttled_periods),
	U(shim_usage, throttled_ns),
	U(shim_usage, periods),
	U(shim_usage, memory_bytes),
	U(shim_usage, memory_peak_bytes),
	U(shim_usage, memory_limit_bytes),
	U(shim_usage, memory_cache_bytes),
	U(shim_usage, memory_swap_bytes),
	U(shim_usage, memory_failures),
	U(shim_usage, oom_kills),
	U(shim_usage, pids),
	U(shim_usage, pids_limit),
	U(shim_usage, block_read_bytes),
	U(shim_usage, block_write_bytes),
	U(shim_usage, block_reads),
	U(shim_usage, block_writes),
	U(shim_usage, net_rx_bytes),
	U(shim_usage, net_tx_bytes),
	U(shim_usage, net_rx_packets),
	U(shim_usage, net_tx_packets),
};
static const struct field processes_fields[] = { F(shim_processes, pids, FIELD_STRINGS) };
static const struct field status_fields[] = {
	F_MAX(shim_status, state, 16),
	F_MAX(shim_status, pid, INT32_MAX),
	F_MAX(shim_status, shim_pid, INT32_MAX),
	F_MAX(shim_status, exit_code, 255),
	U(shim_status, restarts),
	F(shim_status, restarting, FIELD_BOOL),
	F_MAX(shim_status, health, 3),
};

static const struct field record_fields[] = {
	F(shim_record, id, FIELD_STRING),
	F(shim_record, durable, FIELD_BOOL),
	F(shim_record, events, FIELD_STRINGS),
};
static const struct field recorded_fields[] = {
	F(shim_recorded, failed, FIELD_BOOL),
	F(shim_recorded, checkpoint_due, FIELD_BOOL),
};
static const struct field prepare_fields[] = {
	F(shim_prepare, id, FIELD_STRING),	     F(shim_prepare, isolation, FIELD_STRING),
	F(shim_prepare, cgroups_path, FIELD_STRING), F(shim_prepare, resources, FIELD_STRING),
	F(shim_prepare, network, FIELD_BOOL),
};

#define LAYOUT(table)                                                                              \
	{                                                                                          \
		(table), ARRAY_SIZE(table)                                                         \
	}
static const struct layout layouts[SHIM_TYPES_N] = {
	[SHIM_CREATE] = LAYOUT(create_fields),
	[SHIM_SIGNAL] = LAYOUT(signal_fields),
	[SHIM_STOP] = LAYOUT(stop_fields),
	[SHIM_UPDATE] = LAYOUT(update_fields),
	[SHIM_CHECKPOINT] = LAYOUT(checkpoint_fields),
	[SHIM_EXEC] = LAYOUT(exec_fields),
	[SHIM_ATTACH] = LAYOUT(attach_fields),
	[SHIM_RESIZE] = LAYOUT(resize_fields),
	[SHIM_STDIN] = LAYOUT(data_fields),
	[SHIM_WAIT] = LAYOUT(wait_fields),
	[SHIM_RENAME] = LAYOUT(rename_fields),
	[SHIM_ERROR] = LAYOUT(error_fields),
	[SHIM_STARTED] = LAYOUT(started_fields),
	[SHIM_OUTPUT] = LAYOUT(data_fields),
	[SHIM_GAP] = LAYOUT(gap_fields),
	[SHIM_TAKEN] = LAYOUT(taken_fields),
	[SHIM_SINK_CLOSED] = LAYOUT(data_fields),
	[SHIM_EXITED] = LAYOUT(exited_fields),
	[SHIM_USAGE_IS] = LAYOUT(usage_fields),
	[SHIM_PROCESSES_ARE] = LAYOUT(processes_fields),
	[SHIM_STATUS_IS] = LAYOUT(status_fields),
	[SHIM_RECORD] = LAYOUT(record_fields),
	[SHIM_RECORDED] = LAYOUT(recorded_fields),
	[SHIM_PREPARE] = LAYOUT(prepare_fields),
};

static void *at(struct shim_msg *m, const struct field *f)
{
	return (char *) &m->create + f->offset; /* all members of the union begin there */
}

static const void *at_const(const struct shim_msg *m, const struct field *f)
{
	return (const char *) &m->create + f->offset;
}

struct shim_msg shim_msg_of(enum shim_type type)
{
	struct shim_msg m = { .type = type };
	const struct layout *l = &layouts[type];

	for (size_t i = 0; i < l->n; i++) {
		const struct field *f = &l->fields[i];

		if (f->kind == FIELD_STRING)
			*(const char **) at(&m, f) = "";
		else if (f->kind == FIELD_FD)
			*(int *) at(&m, f) = FD_NONE;
	}
	return m;
}

void shim_msg_close_fds(struct shim_msg *m)
{
	const struct layout *l = &layouts[m->type];

	for (size_t i = 0; i < l->n; i++)
		if (l->fields[i].kind == FIELD_FD)
			close_fd(at(m, &l->fields[i]));
}

static void put_le(struct buf *b, uint64_t v, size_t bytes)
{
	unsigned char p[8];

	for (size_t i = 0; i < bytes; i++)
		p[i] = (unsigned char) (v >> (8 * i));
	buf_add(b, p, bytes);
}

static uint64_t get_le(const char *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t) (unsigned char) p[i] << (8 * i);
	return v;
}

static void put_field(struct buf *out, size_t tag, size_t len)
{
	put_le(out, tag, 2);
	put_le(out, len, 4);
}

static void put_strings(struct buf *out, size_t tag, const struct shim_strings *s)
{
	size_t len = 0;

	for (size_t i = 0; i < s->n; i++)
		len += strlen(s->v[i]) + 1;
	put_field(out, tag, len);
	for (size_t i = 0; i < s->n; i++)
		buf_add(out, s->v[i], strlen(s->v[i]) + 1);
}

/* One field, unless it says nothing; whether it was written. */
static bool encode_field(const struct shim_msg *m, const struct field *f, size_t tag,
			 struct buf *out, int *ret_fds, size_t *ret_fds_n)
{
	const void *p = at_const(m, f);
	const char *z;
	struct str s;

	switch (f->kind) {
	case FIELD_U64:
		if (!*(const uint64_t *) p)
			return false;
		put_field(out, tag, 8);
		put_le(out, *(const uint64_t *) p, 8);
		return true;
	case FIELD_BOOL:
		if (!*(const bool *) p)
			return false;
		put_field(out, tag, 1);
		put_le(out, 1, 1);
		return true;
	case FIELD_STRING:
		z = *(const char *const *) p;
		if (!z || !*z)
			return false;
		put_field(out, tag, strlen(z) + 1);
		buf_add(out, z, strlen(z) + 1);
		return true;
	case FIELD_DATA:
		s = *(const struct str *) p;
		if (!s.n)
			return false;
		put_field(out, tag, s.n);
		buf_addstr(out, s);
		return true;
	case FIELD_STRINGS:
		if (!((const struct shim_strings *) p)->n)
			return false;
		put_strings(out, tag, p);
		return true;
	case FIELD_FD:
		if (*(const int *) p < 0)
			return false;
		assert(*ret_fds_n < SHIM_FDS_MAX);
		put_field(out, tag, 1);
		put_le(out, *ret_fds_n, 1);
		ret_fds[(*ret_fds_n)++] = *(const int *) p;
		return true;
	}
	return false;
}

int shim_encode(const struct shim_msg *m, struct buf *out, int ret_fds[static SHIM_FDS_MAX],
		size_t *ret_fds_n)
{
	const struct layout *l;
	size_t begin = out->n, written = 0, fds_n = 0;
	int r;

	if (m->type <= SHIM_NONE || m->type >= SHIM_TYPES_N)
		return -EINVAL;
	l = &layouts[m->type];
	put_le(out, WIRE_VERSION, 1);
	put_le(out, m->type, 1);
	put_le(out, 0, 2);
	for (size_t i = 0; i < l->n; i++)
		if (encode_field(m, &l->fields[i], i + 1, out, ret_fds, &fds_n))
			written++;
	if (!buf_ok(out)) {
		r = buf_error(out);
		return r == -EFBIG ? -EMSGSIZE : r;
	}
	out->p[begin + 2] = (char) written;
	*ret_fds_n = fds_n;
	return 0;
}

static int decode_strings(struct arena *a, struct str s, struct shim_strings *ret)
{
	size_t n = 0;
	const char **v;

	if (!s.n || s.p[s.n - 1])
		return -EBADMSG;
	for (size_t i = 0; i < s.n; i++)
		n += !s.p[i];
	if (n > STRINGS_MAX)
		return -EBADMSG;
	v = arena_array(a, n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i] = s.p;
		s.p += strlen(s.p) + 1;
	}
	*ret = (struct shim_strings){ v, n };
	return 0;
}

/* fds: those taken become FD_NONE. */
static int decode_field(struct arena *a, const struct field *f, struct str s, int *fds,
			size_t fds_n, struct shim_msg *m)
{
	void *p = at(m, f);
	uint64_t v;

	switch (f->kind) {
	case FIELD_U64:
		if (s.n != 8)
			return -EBADMSG;
		v = get_le(s.p, 8);
		if (f->max && v > f->max)
			return -EBADMSG;
		*(uint64_t *) p = v;
		return 0;
	case FIELD_BOOL:
		if (s.n != 1 || s.p[0] != 1)
			return -EBADMSG;
		*(bool *) p = true;
		return 0;
	case FIELD_STRING:
		if (!s.n || memchr(s.p, 0, s.n) != s.p + s.n - 1)
			return -EBADMSG;
		*(const char **) p = s.p;
		return 0;
	case FIELD_DATA:
		*(struct str *) p = s;
		return 0;
	case FIELD_STRINGS:
		return decode_strings(a, s, p);
	case FIELD_FD:
		if (s.n != 1 || (unsigned char) s.p[0] >= fds_n)
			return -EBADMSG;
		v = (unsigned char) s.p[0];
		if (fds[v] < 0)
			return -EBADMSG;
		*(int *) p = take_fd(&fds[v]);
		return 0;
	}
	return -EBADMSG;
}

static int decode_fields(struct arena *a, struct str b, int *fds, size_t fds_n, struct shim_msg *m)
{
	const struct layout *l = &layouts[m->type];
	size_t n = get_le(b.p + 2, 2), last = 0, pos = HEADER_BYTES;

	for (size_t i = 0; i < n; i++) {
		size_t tag, len;
		int r;

		if (b.n - pos < FIELD_BYTES)
			return -EBADMSG;
		tag = get_le(b.p + pos, 2);
		len = get_le(b.p + pos + 2, 4);
		pos += FIELD_BYTES;
		if (tag <= last || tag > l->n || len > b.n - pos)
			return -EBADMSG;
		r = decode_field(a, &l->fields[tag - 1], (struct str){ b.p + pos, len }, fds, fds_n,
				 m);
		if (r < 0)
			return r;
		last = tag;
		pos += len;
	}
	return pos == b.n ? 0 : -EBADMSG;
}

int shim_decode(struct arena *a, struct str bytes, const int *fds, size_t fds_n,
		struct shim_msg *ret_m)
{
	int own[SHIM_FDS_MAX], r = -EBADMSG;
	struct shim_msg m = { .type = SHIM_NONE };

	for (size_t i = 0; i < fds_n; i++) {
		int fd = fds[i];

		if (i < SHIM_FDS_MAX)
			own[i] = fd;
		else
			close_fd(&fd);
	}
	if (fds_n > SHIM_FDS_MAX)
		fds_n = SHIM_FDS_MAX;
	if (bytes.n >= 1 && bytes.p[0] != WIRE_VERSION)
		r = -EPROTO;
	else if (bytes.n >= HEADER_BYTES && bytes.p[1] > SHIM_NONE && bytes.p[1] < SHIM_TYPES_N) {
		m = shim_msg_of((enum shim_type) bytes.p[1]);
		r = decode_fields(a, bytes, own, fds_n, &m);
	}
	for (size_t i = 0; i < fds_n; i++)
		close_fd(&own[i]);
	if (r < 0) {
		shim_msg_close_fds(&m);
		return r;
	}
	*ret_m = m;
	return 0;
}

int shim_send(int sock, const struct shim_msg *m)
{
	auto_buf struct buf b = BUF_INIT(SHIM_MESSAGE_MAX);
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * SHIM_FDS_MAX)];
	} control = {};
	int fds[SHIM_FDS_MAX];
	size_t fds_n = 0;
	struct iovec io;
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
	int r = shim_encode(m, &b, fds, &fds_n);

	if (r < 0)
		return r;
	io = (struct iovec){ b.p, b.n };
	if (fds_n) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fds_n);
	}
	while (sendmsg(sock, &h, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
	}
	return 0;
}

/* The descriptors that came with a message; -EBADMSG when some were lost on the way. */
static int take_rights(struct msghdr *h, int fds[static SHIM_FDS_MAX], size_t *ret_n)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN(sizeof(int) * (i + 1)) <= c->cmsg_len; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + sizeof(int) * i, sizeof(int));
			if (n < SHIM_FDS_MAX)
				fds[n++] = fd;
			else
				close_fd(&fd);
		}
	}
	*ret_n = n;
	return h->msg_flags & (MSG_CTRUNC | MSG_TRUNC) ? -EBADMSG : 0;
}

int shim_recv(int sock, struct arena *a, struct shim_msg *ret_m)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * SHIM_FDS_MAX)];
	} control;
	int fds[SHIM_FDS_MAX], r, reset = 0;
	size_t fds_n = 0;
	struct iovec io = {};
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control };
	ssize_t n;

	/*
	 * The length first, so that a short message takes no long buffer. A peer that hung up
	 * without having read all of ours leaves an ECONNRESET, once, before what it sent.
	 */
	do
		n = recv(sock, NULL, 0, MSG_PEEK | MSG_TRUNC);
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset++)));
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n > (ssize_t) SHIM_MESSAGE_MAX)
		return -EBADMSG;
	io = (struct iovec){ arena_alloc(a, (size_t) n + 1), (size_t) n };
	if (!io.iov_base)
		return -ENOMEM;
	h.msg_controllen = sizeof(control);
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0) /* no message of ours is empty: the end */
		return 0;
	r = take_rights(&h, fds, &fds_n);
	if (r < 0) {
		for (size_t i = 0; i < fds_n; i++)
			close_fd(&fds[i]);
		return r;
	}
	r = shim_decode(a, (struct str){ io.iov_base, (size_t) n }, fds, fds_n, ret_m);
	return r < 0 ? r : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"

/*
 * datagram = version:u8 type:u8 fields:u16, then its fields (proto/fields.h).
 */
#define WIRE_VERSION 1
#define HEADER_BYTES 4
#define SIGNAL_MAX   64
#define TERMINAL_MAX 65535

static const struct field create_fields[] = {
	FIELD(shim_create, id, FIELD_STRING),
	FIELD(shim_create, name, FIELD_STRING),
	FIELD(shim_create, image, FIELD_STRING),
	FIELD(shim_create, root, FIELD_STRING),
	FIELD(shim_create, state, FIELD_STRING),
	FIELD(shim_create, isolation, FIELD_STRING),
	FIELD(shim_create, attach, FIELD_BOOL),
	FIELD(shim_create, stdin_open, FIELD_BOOL),
	FIELD(shim_create, stdin_once, FIELD_BOOL),
	FIELD(shim_create, auto_remove, FIELD_BOOL),
	FIELD(shim_create, acknowledged, FIELD_BOOL),
	FIELD_NUMBER_MAX(shim_create, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(shim_create, cols, TERMINAL_MAX),
	FIELD_NUMBER_MAX(shim_create, stop_signal, SIGNAL_MAX),
	FIELD_NUMBER_MAX(shim_create, stop_timeout_ns, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, restart, SHIM_RESTART_UNLESS_STOPPED),
	FIELD_NUMBER_MAX(shim_create, restart_max, UINT32_MAX),
	FIELD_NUMBER_MAX(shim_create, log_driver, SHIM_LOG_JOURNALD),
	FIELD_NUMBER_MAX(shim_create, log_max_bytes, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, log_max_files, 1000),
	FIELD(shim_create, log_tag, FIELD_STRING),
	FIELD(shim_create, health.test, FIELD_STRINGS),
	FIELD_NUMBER_MAX(shim_create, health.interval_ns, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, health.timeout_ns, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, health.start_period_ns, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, health.start_interval_ns, INT64_MAX),
	FIELD_NUMBER_MAX(shim_create, health.retries, UINT32_MAX),
	FIELD(shim_create, bundle_fd, FIELD_FD),
	FIELD(shim_create, root_fd, FIELD_FD),
	FIELD(shim_create, sink[0], FIELD_FD),
	FIELD(shim_create, sink[1], FIELD_FD),
	FIELD(shim_create, sink[2], FIELD_FD),
	FIELD(shim_create, records, FIELD_BOOL),
	FIELD(shim_create, checkpoint_fd, FIELD_FD),
	FIELD(shim_create, restore.program, FIELD_STRING),
	FIELD(shim_create, restore.tcp_established, FIELD_BOOL),
	FIELD(shim_create, restore.tcp_close, FIELD_BOOL),
	FIELD(shim_create, restore.ext_unix_sk, FIELD_BOOL),
	FIELD(shim_create, restore.file_locks, FIELD_BOOL),
	FIELD(shim_create, root_disk_fd, FIELD_FD),
	FIELD(shim_create, root_upper_fd, FIELD_FD),
};
static const struct field checkpoint_fields[] = {
	FIELD(shim_checkpoint, program, FIELD_STRING),
	FIELD(shim_checkpoint, leave_running, FIELD_BOOL),
	FIELD(shim_checkpoint, tcp_established, FIELD_BOOL),
	FIELD(shim_checkpoint, ext_unix_sk, FIELD_BOOL),
	FIELD(shim_checkpoint, file_locks, FIELD_BOOL),
	FIELD(shim_checkpoint, link_remap, FIELD_BOOL),
	FIELD(shim_checkpoint, dir_fd, FIELD_FD),
	FIELD(shim_checkpoint, files, FIELD_BOOL),
	FIELD(shim_checkpoint, diff, FIELD_BOOL),
};
static const struct field signal_fields[] = { FIELD_NUMBER_MAX(shim_signal, signo, SIGNAL_MAX) };
static const struct field stop_fields[] = {
	FIELD_NUMBER_MAX(shim_stop, signo, SIGNAL_MAX),
	FIELD_NUMBER_MAX(shim_stop, timeout_ns, INT64_MAX),
	FIELD(shim_stop, use_timeout, FIELD_BOOL),
	FIELD(shim_stop, restarting, FIELD_BOOL),
};
static const struct field update_fields[] = {
	FIELD(shim_update, resources, FIELD_STRING),
	FIELD(shim_update, set_restart, FIELD_BOOL),
	FIELD_NUMBER_MAX(shim_update, restart, SHIM_RESTART_UNLESS_STOPPED),
	FIELD_NUMBER_MAX(shim_update, restart_max, UINT32_MAX),
};
static const struct field exec_fields[] = {
	FIELD(shim_exec, process, FIELD_STRING),
	FIELD(shim_exec, stdin_open, FIELD_BOOL),
	FIELD(shim_exec, detach, FIELD_BOOL),
	FIELD_NUMBER_MAX(shim_exec, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(shim_exec, cols, TERMINAL_MAX),
	FIELD(shim_exec, sink[0], FIELD_FD),
	FIELD(shim_exec, sink[1], FIELD_FD),
	FIELD(shim_exec, sink[2], FIELD_FD),
};
static const struct field attach_fields[] = {
	FIELD(shim_attach, stdin_open, FIELD_BOOL),
	FIELD(shim_attach, output, FIELD_BOOL),
	FIELD(shim_attach, lossless, FIELD_BOOL),
};
static const struct field resize_fields[] = {
	FIELD_NUMBER_MAX(shim_resize, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(shim_resize, cols, TERMINAL_MAX),
};
static const struct field data_fields[] = {
	FIELD_NUMBER_MAX(shim_data, stream, SHIM_STREAM_STDERR),
	FIELD(shim_data, bytes, FIELD_DATA),
};
static const struct field gap_fields[] = {
	FIELD_NUMBER_MAX(shim_gap, stream, SHIM_STREAM_STDERR),
	FIELD_NUMBER(shim_gap, bytes),
};
static const struct field taken_fields[] = { FIELD_NUMBER_MAX(shim_taken, bytes,
							      SHIM_STDIN_WINDOW) };
static const struct field wait_fields[] = { FIELD_NUMBER_MAX(shim_wait, condition,
							     SHIM_WAIT_REMOVED) };
static const struct field rename_fields[] = { FIELD(shim_rename, name, FIELD_STRING) };
static const struct field error_fields[] = {
	FIELD_NUMBER_MAX(shim_error, kind, ERR_INTERNAL),
	FIELD_NUMBER_MAX(shim_error, sys, 4095),
	FIELD(shim_error, message, FIELD_STRING),
	FIELD_NUMBER_MAX(shim_error, exit_code, 255),
};
static const struct field started_fields[] = { FIELD_NUMBER_MAX(shim_started, pid, INT32_MAX) };
static const struct field exited_fields[] = {
	FIELD_NUMBER_MAX(shim_exited, code, 255),
	FIELD(shim_exited, oom, FIELD_BOOL),
	FIELD(shim_exited, removed, FIELD_BOOL),
};
static const struct field processes_fields[] = {
	FIELD(shim_processes, pids, FIELD_STRINGS),
	FIELD_LIST_OF(shim_processes, list, &process_layout),
	FIELD(shim_processes, listed, FIELD_BOOL),
};
static const struct field status_fields[] = {
	FIELD_NUMBER_MAX(shim_status, state, 16),
	FIELD_NUMBER_MAX(shim_status, pid, INT32_MAX),
	FIELD_NUMBER_MAX(shim_status, shim_pid, INT32_MAX),
	FIELD_NUMBER_MAX(shim_status, exit_code, 255),
	FIELD_NUMBER(shim_status, restarts),
	FIELD(shim_status, restarting, FIELD_BOOL),
	FIELD_NUMBER_MAX(shim_status, health, 3),
};

static const struct field record_fields[] = {
	FIELD(shim_record, id, FIELD_STRING),
	FIELD(shim_record, durable, FIELD_BOOL),
	FIELD(shim_record, events, FIELD_STRINGS),
};
static const struct field recorded_fields[] = {
	FIELD(shim_recorded, failed, FIELD_BOOL),
	FIELD(shim_recorded, checkpoint_due, FIELD_BOOL),
};
static const struct field prepare_fields[] = {
	FIELD(shim_prepare, id, FIELD_STRING),
	FIELD(shim_prepare, isolation, FIELD_STRING),
	FIELD(shim_prepare, cgroups_path, FIELD_STRING),
	FIELD(shim_prepare, resources, FIELD_STRING),
	FIELD(shim_prepare, network, FIELD_BOOL),
};

static const struct field_layout layouts[SHIM_TYPES_N] = {
	[SHIM_CREATE] = FIELD_LAYOUT(shim_create, create_fields),
	[SHIM_SIGNAL] = FIELD_LAYOUT(shim_signal, signal_fields),
	[SHIM_STOP] = FIELD_LAYOUT(shim_stop, stop_fields),
	[SHIM_UPDATE] = FIELD_LAYOUT(shim_update, update_fields),
	[SHIM_CHECKPOINT] = FIELD_LAYOUT(shim_checkpoint, checkpoint_fields),
	[SHIM_EXEC] = FIELD_LAYOUT(shim_exec, exec_fields),
	[SHIM_ATTACH] = FIELD_LAYOUT(shim_attach, attach_fields),
	[SHIM_RESIZE] = FIELD_LAYOUT(shim_resize, resize_fields),
	[SHIM_STDIN] = FIELD_LAYOUT(shim_data, data_fields),
	[SHIM_WAIT] = FIELD_LAYOUT(shim_wait, wait_fields),
	[SHIM_RENAME] = FIELD_LAYOUT(shim_rename, rename_fields),
	[SHIM_ERROR] = FIELD_LAYOUT(shim_error, error_fields),
	[SHIM_STARTED] = FIELD_LAYOUT(shim_started, started_fields),
	[SHIM_OUTPUT] = FIELD_LAYOUT(shim_data, data_fields),
	[SHIM_GAP] = FIELD_LAYOUT(shim_gap, gap_fields),
	[SHIM_TAKEN] = FIELD_LAYOUT(shim_taken, taken_fields),
	[SHIM_SINK_CLOSED] = FIELD_LAYOUT(shim_data, data_fields),
	[SHIM_EXITED] = FIELD_LAYOUT(shim_exited, exited_fields),
	[SHIM_PROCESSES_ARE] = FIELD_LAYOUT(shim_processes, processes_fields),
	[SHIM_STATUS_IS] = FIELD_LAYOUT(shim_status, status_fields),
	[SHIM_RECORD] = FIELD_LAYOUT(shim_record, record_fields),
	[SHIM_RECORDED] = FIELD_LAYOUT(shim_recorded, recorded_fields),
	[SHIM_PREPARE] = FIELD_LAYOUT(shim_prepare, prepare_fields),
};

static const struct field_layout *layout_of(enum shim_type type)
{
	/* What several protocols carry has its table elsewhere. */
	return type == SHIM_USAGE_IS ? &usage_layout : &layouts[type];
}

/* All members of the union begin there. */
#define BODY(m) ((void *) &(m)->create)

struct shim_msg shim_msg_of(enum shim_type type)
{
	struct shim_msg m = { .type = type };

	fields_init(layout_of(type), BODY(&m));
	return m;
}

void shim_msg_close_fds(struct shim_msg *m)
{
	fields_close_fds(layout_of(m->type), BODY(m));
}

int shim_encode(const struct shim_msg *m, struct buf *out, int ret_fds[static SHIM_FDS_MAX],
		size_t *ret_fds_n)
{
	size_t begin = out->n, written, fds_n = 0;
	int r;

	if (m->type <= SHIM_NONE || m->type >= SHIM_TYPES_N)
		return -EINVAL;
	field_put_le(out, WIRE_VERSION, 1);
	field_put_le(out, m->type, 1);
	field_put_le(out, 0, 2);
	written = fields_encode(layout_of(m->type), &m->create, out, ret_fds, &fds_n);
	if (!buf_ok(out)) {
		r = buf_error(out);
		return r == -EFBIG ? -EMSGSIZE : r;
	}
	out->p[begin + 2] = (char) written;
	*ret_fds_n = fds_n;
	return 0;
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
		struct str fields = { bytes.p + HEADER_BYTES, bytes.n - HEADER_BYTES };

		m = shim_msg_of((enum shim_type) bytes.p[1]);
		r = fields_decode(layout_of(m.type), a, fields, field_get_le(bytes.p + 2, 2), own,
				  fds_n, BODY(&m));
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/criu.h"

#include <errno.h>
#include <string.h>

/* Protocol buffers: a field is its number and wire type as one varint, then the value. */
enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

#define VARINT_MAX 10 /* bytes */

/* Field numbers of images/rpc.proto, by message. */
enum req_field { REQ_TYPE = 1, REQ_OPTS = 2, REQ_NOTIFY_SUCCESS = 3, REQ_FEATURES = 5 };
enum opts_field {
	OPTS_IMAGES_DIR_FD = 1,
	OPTS_PID = 2,
	OPTS_LEAVE_RUNNING = 3,
	OPTS_EXT_UNIX_SK = 4,
	OPTS_TCP_ESTABLISHED = 5,
	OPTS_EVASIVE_DEVICES = 6,
	OPTS_SHELL_JOB = 7,
	OPTS_FILE_LOCKS = 8,
	OPTS_LOG_LEVEL = 9,
	OPTS_LOG_FILE = 10,
	OPTS_PS = 11,
	OPTS_NOTIFY_SCRIPTS = 12,
	OPTS_ROOT = 13,
	OPTS_PARENT_IMG = 14,
	OPTS_TRACK_MEM = 15,
	OPTS_AUTO_DEDUP = 16,
	OPTS_WORK_DIR_FD = 17,
	OPTS_LINK_REMAP = 18,
	OPTS_EXT_MNT = 23,
	OPTS_CG_ROOT = 25,
	OPTS_RST_SIBLING = 26,
	OPTS_INHERIT_FD = 27,
	OPTS_MANAGE_CGROUPS_MODE = 34,
	OPTS_EXTERNAL = 37,
	OPTS_EMPTY_NS = 38,
	OPTS_JOIN_NS = 39,
	OPTS_FREEZE_CGROUP = 44,
	OPTS_TCP_SKIP_IN_FLIGHT = 46,
	OPTS_LAZY_PAGES = 48,
	OPTS_ORPHAN_PTS_MASTER = 50,
	OPTS_CONFIG_FILE = 51,
	OPTS_TCP_CLOSE = 52,
	OPTS_LSM_PROFILE = 53,
	OPTS_LSM_MOUNT_CONTEXT = 63,
	OPTS_NETWORK_LOCK = 64,
};
enum resp_field {
	RESP_TYPE = 1,
	RESP_SUCCESS = 2,
	RESP_RESTORE = 4,
	RESP_NOTIFY = 5,
	RESP_ERRNO = 7,
	RESP_FEATURES = 8,
	RESP_MESSAGE = 9,
	RESP_VERSION = 10,
};

static void put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(out, (char) (v | 0x80));
	buf_addc(out, (char) v);
}

static void put_tag(struct buf *out, unsigned field, enum wire w)
{
	put_varint(out, (uint64_t) field << 3 | (uint64_t) w);
}

static void put_u64(struct buf *out, unsigned field, uint64_t v)
{
	put_tag(out, field, WIRE_VARINT);
	put_varint(out, v);
}

/* int32 travels sign-extended; what is negative here is not there. */
static void put_int(struct buf *out, unsigned field, int v)
{
	if (v >= 0)
		put_u64(out, field, (uint64_t) v);
}

static void put_flag(struct buf *out, unsigned field, bool v)
{
	if (v)
		put_u64(out, field, 1);
}

static void put_bytes(struct buf *out, unsigned field, struct str s)
{
	put_tag(out, field, WIRE_BYTES);
	put_varint(out, s.n);
	buf_addstr(out, s);
}

static void put_text(struct buf *out, unsigned field, const char *z)
{
	if (z)
		put_bytes(out, field, str_of(z));
}

static void put_part(struct buf *out, unsigned field, struct buf *part)
{
	if (!buf_ok(part))
		out->failed = true;
	put_bytes(out, field, buf_str(part));
	buf_clear(part);
}

static void put_pairs(struct buf *out, unsigned field, const struct criu_pair *v, size_t n)
{
	auto_buf struct buf part = BUF_INIT(CRIU_MESSAGE_MAX);

	for (size_t i = 0; i < n; i++) {
		put_text(&part, 1, v[i].key);
		put_text(&part, 2, v[i].value);
		put_part(out, field, &part);
	}
}

static void put_flags(const struct criu_request *q, struct buf *out)
{
	put_flag(out, OPTS_LEAVE_RUNNING, q->leave_running);
	put_flag(out, OPTS_EXT_UNIX_SK, q->ext_unix_sk);
	put_flag(out, OPTS_TCP_ESTABLISHED, q->tcp_established);
	put_flag(out, OPTS_EVASIVE_DEVICES, q->evasive_devices);
	put_flag(out, OPTS_SHELL_JOB, q->shell_job);
	put_flag(out, OPTS_FILE_LOCKS, q->file_locks);
	put_flag(out, OPTS_NOTIFY_SCRIPTS, q->notify_scripts);
	put_flag(out, OPTS_TRACK_MEM, q->track_mem);
	put_flag(out, OPTS_AUTO_DEDUP, q->auto_dedup);
	put_flag(out, OPTS_LINK_REMAP, q->link_remap);
	put_flag(out, OPTS_RST_SIBLING, q->rst_sibling);
	put_flag(out, OPTS_TCP_SKIP_IN_FLIGHT, q->tcp_skip_in_flight);
	put_flag(out, OPTS_LAZY_PAGES, q->lazy_pages);
	put_flag(out, OPTS_ORPHAN_PTS_MASTER, q->orphan_pts_master);
	put_flag(out, OPTS_TCP_CLOSE, q->tcp_close);
}

static void put_opts(const struct criu_request *q, struct buf *out)
{
	auto_buf struct buf part = BUF_INIT(CRIU_MESSAGE_MAX);

	put_int(out, OPTS_IMAGES_DIR_FD, q->images_dir_fd);
	put_int(out, OPTS_WORK_DIR_FD, q->work_dir_fd);
	put_int(out, OPTS_PID, q->pid);
	put_int(out, OPTS_LOG_LEVEL, q->log_level);
	put_text(out, OPTS_LOG_FILE, q->log_file);
	put_text(out, OPTS_ROOT, q->root);
	put_text(out, OPTS_PARENT_IMG, q->parent_img);
	put_text(out, OPTS_FREEZE_CGROUP, q->freeze_cgroup);
	put_text(out, OPTS_LSM_PROFILE, q->lsm_profile);
	put_text(out, OPTS_LSM_MOUNT_CONTEXT, q->lsm_mount_context);
	put_text(out, OPTS_CONFIG_FILE, q->config_file);
	put_flags(q, out);
	put_u64(out, OPTS_MANAGE_CGROUPS_MODE, (uint64_t) q->cgroups);
	if (q->network_lock != CRIU_NETWORK_LOCK_NONE)
		put_u64(out, OPTS_NETWORK_LOCK, (uint64_t) q->network_lock);
	if (q->empty_ns)
		put_u64(out, OPTS_EMPTY_NS, q->empty_ns);
	if (q->page_server) {
		put_text(&part, 1, q->page_server);
		put_int(&part, 2, q->page_server_port);
		put_part(out, OPTS_PS, &part);
	}
	put_pairs(out, OPTS_EXT_MNT, q->ext_mounts, q->ext_mounts_n);
	put_pairs(out, OPTS_CG_ROOT, q->cgroup_roots, q->cgroup_roots_n);
	put_pairs(out, OPTS_JOIN_NS, q->join_ns, q->join_ns_n);
	for (size_t i = 0; i < q->externals_n; i++)
		put_text(out, OPTS_EXTERNAL, q->externals[i]);
	for (size_t i = 0; i < q->inherit_n; i++) {
		put_text(&part, 1, q->inherit[i].key);
		put_int(&part, 2, q->inherit[i].fd);
		put_part(out, OPTS_INHERIT_FD, &part);
	}
}

void criu_encode(const struct criu_request *q, struct buf *out)
{
	auto_buf struct buf part = BUF_INIT(CRIU_MESSAGE_MAX);

	put_u64(out, REQ_TYPE, (uint64_t) q->type);
	if (q->has_opts) {
		put_opts(q, &part);
		put_part(out, REQ_OPTS, &part);
	}
	put_flag(out, REQ_NOTIFY_SUCCESS, q->notify_success);
	if (q->type == CRIU_FEATURE_CHECK) {
		put_flag(&part, 1, q->ask_mem_track);
		put_flag(&part, 2, q->ask_lazy_pages);
		put_part(out, REQ_FEATURES, &part);
	}
}

/* ---- answers ----------------------------------------------------------------------------- */

struct field {
	unsigned number;
	enum wire wire;
	uint64_t value;	  /* VARINT */
	struct str bytes; /* BYTES */
};

static int get_varint(struct str *rest, uint64_t *ret_v)
{
	uint64_t v = 0;

	for (size_t i = 0; i < VARINT_MAX && i < rest->n; i++) {
		unsigned char c = (unsigned char) rest->p[i];

		if (i == VARINT_MAX - 1 && c > 1)
			return -EBADMSG; /* past 64 bits */
		v |= (uint64_t) (c & 0x7f) << (7 * i);
		if (c & 0x80)
			continue;
		rest->p += i + 1;
		rest->n -= i + 1;
		*ret_v = v;
		return 0;
	}
	return -EBADMSG;
}

static int skip(struct str *rest, uint64_t n)
{
	if (n > rest->n)
		return -EBADMSG;
	rest->p += n;
	rest->n -= (size_t) n;
	return 0;
}

/* 1 and the next field, 0 at the end, -EBADMSG. */
static int next(struct str *rest, struct field *ret_f)
{
	uint64_t tag, n;
	int r;

	if (rest->n == 0)
		return 0;
	r = get_varint(rest, &tag);
	if (r < 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return -EBADMSG;
	*ret_f = (struct field){ .number = (unsigned) (tag >> 3), .wire = (enum wire)(tag & 7) };
	switch (ret_f->wire) {
	case WIRE_VARINT:
		r = get_varint(rest, &ret_f->value);
		break;
	case WIRE_64:
		r = skip(rest, 8);
		break;
	case WIRE_32:
		r = skip(rest, 4);
		break;
	case WIRE_BYTES:
		r = get_varint(rest, &n);
		if (r == 0) {
			ret_f->bytes = (struct str){ rest->p, (size_t) n };
			r = skip(rest, n);
		}
		break;
	default:
		return -EBADMSG;
	}
	return r < 0 ? r : 1;
}

static bool is(const struct field *f, unsigned number, enum wire w)
{
	return f->number == number && f->wire == w;
}

static int get_notify(struct str m, struct criu_response *r)
{
	struct field f;
	int got;

	while ((got = next(&m, &f)) > 0) {
		if (is(&f, 1, WIRE_BYTES))
			r->script = f.bytes;
		else if (is(&f, 2, WIRE_VARINT))
			r->notify_pid = (int32_t) f.value;
	}
	return got;
}

static int get_numbers(struct str m, uint64_t ret_v[static 6])
{
	struct field f;
	int got;

	while ((got = next(&m, &f)) > 0) {
		if (f.wire == WIRE_VARINT && f.number < 6)
			ret_v[f.number] = f.value;
	}
	return got;
}

int criu_decode(struct str message, struct criu_response *ret_r)
{
	struct criu_response r = { .script = STR(""), .message = STR("") };
	bool typed = false, judged = false;
	struct field f;
	int got;

	while ((got = next(&message, &f)) > 0) {
		uint64_t v[6] = {};

		if (is(&f, RESP_TYPE, WIRE_VARINT)) {
			r.type = f.value;
			typed = true;
		} else if (is(&f, RESP_SUCCESS, WIRE_VARINT)) {
			r.success = f.value != 0;
			judged = true;
		} else if (is(&f, RESP_ERRNO, WIRE_VARINT)) {
			r.sys = (int32_t) f.value;
		} else if (is(&f, RESP_MESSAGE, WIRE_BYTES)) {
			r.message = f.bytes;
		} else if (is(&f, RESP_NOTIFY, WIRE_BYTES)) {
			if (get_notify(f.bytes, &r) < 0)
				return -EBADMSG;
		} else if (is(&f, RESP_RESTORE, WIRE_BYTES)) {
			if (get_numbers(f.bytes, v) < 0)
				return -EBADMSG;
			r.restored_pid = (int32_t) v[1];
		} else if (is(&f, RESP_FEATURES, WIRE_BYTES)) {
			if (get_numbers(f.bytes, v) < 0)
				return -EBADMSG;
			r.mem_track = v[1] != 0;
			r.lazy_pages = v[2] != 0;
		} else if (is(&f, RESP_VERSION, WIRE_BYTES)) {
			if (get_numbers(f.bytes, v) < 0)
				return -EBADMSG;
			r.major = (int32_t) v[1];
			r.minor = (int32_t) v[2];
			r.sublevel = (int32_t) v[4];
		}
	}
	if (got < 0 || !typed || !judged)
		return -EBADMSG;
	*ret_r = r;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance on disk: "instance.json", with the container engine's names where they mean the same
 * (container_look reads both), and the cgroups' own file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/saved.h"
#include "engine/microvm/microvm.h"
#include "proto/proxy.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define END_TEXT_MAX (64 + PROXY_WHY_MAX)
#define STATE_FILE   "instance.json"
#define STATE_MAX    (1u << 16)

struct record {
	const char *id, *state, *bundle, *config, *netns, *pod;
	int64_t pid;
	uint64_t ident, memory, memory_now, netns_ino;
	uint32_t cpus, cpus_max, ipv6_off;
	struct rates_disk *disks;
	size_t disks_n;
	struct spec_rate *network;
	bool poststop_due, groups, emulated, joins, own_disk;
};

static const struct json_field disk_fields[] = {
	JSON_U32_FIELD(struct rates_disk, major, "major", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct rates_disk, minor, "minor", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct rates_disk, rate.read_bytes, "readBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct rates_disk, rate.read_ops, "readOps", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct rates_disk, rate.write_bytes, "writeBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct rates_disk, rate.write_ops, "writeOps", 0, UINT64_MAX, 0),
};
static const struct json_table disk_table = JSON_TABLE(struct rates_disk, disk_fields,
						       JSON_UNKNOWN_IGNORE);
static const struct json_field rate_fields[] = {
	JSON_U64_FIELD(struct spec_rate, read_bytes, "readBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, read_ops, "readOps", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, write_bytes, "writeBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, write_ops, "writeOps", 0, UINT64_MAX, 0),
};
static const struct json_table rate_table = JSON_TABLE(struct spec_rate, rate_fields,
						       JSON_UNKNOWN_IGNORE);

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, state, "state", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, bundle, "bundle", 0),
	JSON_STRING_FIELD(struct record, config, "config", 0),
	JSON_I64_FIELD(struct record, pid, "pid", 0, INT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, ident, "ident", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, memory, "memory", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, cpus, "cpus", 1, UINT32_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, cpus_max, "cpusMax", 0, UINT32_MAX, 0),
	JSON_U64_FIELD(struct record, memory_now, "memoryNow", 0, UINT64_MAX, 0),
	JSON_ARRAY_FIELD(struct record, disks, disks_n, "disks", &disk_table, 0),
	JSON_OBJECT_FIELD(struct record, network, "networkRate", &rate_table, 0),
	JSON_STRING_FIELD(struct record, netns, "netns", 0),
	JSON_U64_FIELD(struct record, netns_ino, "netnsInode", 0, UINT64_MAX, 0),
	JSON_U32_FIELD(struct record, ipv6_off, "netnsIPv6", 0, UINT32_MAX, 0),
	JSON_BOOL_FIELD(struct record, poststop_due, "poststopDue", 0),
	JSON_BOOL_FIELD(struct record, groups, "cgroups", 0),
	JSON_BOOL_FIELD(struct record, emulated, "emulated", 0),
	JSON_STRING_FIELD(struct record, pod, "pod", 0),
	JSON_BOOL_FIELD(struct record, joins, "joins", 0),
	JSON_BOOL_FIELD(struct record, own_disk, "ownDisk", 0),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

static void write_rate(struct json_writer *w, const struct spec_rate *r)
{
	json_w_u64(w, "readBytes", r->read_bytes);
	json_w_u64(w, "readOps", r->read_ops);
	json_w_u64(w, "writeBytes", r->write_bytes);
	json_w_u64(w, "writeOps", r->write_ops);
}

static void write_rates(struct json_writer *w, const struct rates *s)
{
	json_w_array(w, "disks");
	for (size_t i = 0; i < s->disks_n; i++) {
		json_w_object(w, NULL);
		json_w_u64(w, "major", s->disks[i].major);
		json_w_u64(w, "minor", s->disks[i].minor);
		write_rate(w, &s->disks[i].rate);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_object(w, "networkRate");
	write_rate(w, &s->network);
	json_w_end(w);
}

int microvm_save(struct instance *in, int state_fd, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	struct json_writer w = JSON_WRITER(&text);
	char path[GROUPS_PATH_MAX];
	int r;

	json_w_object(&w, NULL);
	json_w_string(&w, "id", m->id);
	json_w_string(&w, "state", engine_state_name(in->state));
	json_w_i64(&w, "pid", in->pid);
	json_w_u64(&w, "ident", m->ident);
	json_w_u64(&w, "gate", PROXY_GATE);
	json_w_u64(&w, "namespaces", 0);
	json_w_u64(&w, "memory", m->memory);
	json_w_u64(&w, "cpus", m->cpus ? m->cpus : 1); /* not known yet */
	json_w_u64(&w, "cpusMax", m->cpus_max ? m->cpus_max : 1);
	json_w_u64(&w, "memoryNow", m->memory_now);
	write_rates(&w, &m->rates);
	json_w_bool(&w, "emulated", m->emulated);
	json_w_bool(&w, "ownDisk", m->own_disk);
	if (m->taken.path) {
		json_w_string(&w, "netns", m->taken.path);
		json_w_u64(&w, "netnsInode", m->taken.ino);
		json_w_u64(&w, "netnsIPv6", m->taken.ipv6_off);
	}
	if (m->pod_path) {
		json_w_string(&w, "pod", m->pod_path);
		json_w_bool(&w, "joins", m->joins);
	}
	/* container_look would ask them whether it is paused: those of one that joins never are. */
	json_w_bool(&w, "cgroups", m->groups != NULL && !m->joins);
	if (m->groups && groups_path(m->groups, CGROUP_FREEZER, path))
		json_w_string(&w, "freezer", path);
	if (m->groups && groups_path(m->groups, 0, path))
		json_w_string(&w, "unified", path);
	hooked_save(&m->hooked, &w);
	json_w_end(&w);
	r = saved_write(state_fd, STATE_FILE, &text, e);
	return r < 0 || !m->groups ? r : groups_save(m->groups, state_fd, e);
}

static int take_record(struct microvm *m, const struct record *rec, struct err *e)
{
	m->id = strdup(rec->id);
	m->taken.path = rec->netns ? strdup(rec->netns) : NULL;
	m->taken.ino = rec->netns_ino;
	m->taken.ipv6_off = rec->ipv6_off;
	m->pod_path = rec->pod ? strdup(rec->pod) : NULL;
	m->joins = rec->joins;
	if (!m->id || (rec->pod && !m->pod_path) || (rec->netns && !m->taken.path))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	m->ident = rec->ident;
	m->memory = rec->memory;
	m->cpus = rec->cpus;
	m->cpus_max = rec->cpus_max ? rec->cpus_max : rec->cpus;
	m->memory_now = rec->memory_now ? rec->memory_now : rec->memory;
	for (; m->rates.disks_n < rec->disks_n && m->rates.disks_n < RATES_DISKS_MAX;
	     m->rates.disks_n++)
		m->rates.disks[m->rates.disks_n] = rec->disks[m->rates.disks_n];
	if (rec->network)
		m->rates.network = *rec->network;
	m->emulated = rec->emulated;
	m->own_disk = rec->own_disk;
	if (hooked_take(&m->hooked, rec->bundle, rec->config, rec->poststop_due, e) < 0)
		return -1;
	saved_process(&m->in, rec->state, rec->pid, rec->ident);
	return 0;
}

int microvm_load(struct instance *in, int state_fd, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct record rec = {};
	bool found = false;
	int r;

	m->arena = ARENA_INIT(64u << 20);
	m->gate_fd = m->state_fd = m->machine_fd = FD_NONE;
	r = saved_read(&m->arena, state_fd, STATE_FILE, STATE_MAX, &record_table, &rec, &found, e);
	if (r == 0 && !found)
		r = err_set(e, ERR_NOT_FOUND, ENOENT, "no state of an instance there");
	r = r < 0 ? r : take_record(m, &rec, e);
	if (r < 0)
		return r;
	m->state_fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0)
		return err_sys(e, errno, "open the state directory");
	/* A pod's may be gone; then its machine is as well. */
	m->machine_fd = m->pod_path ? open(m->pod_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				    : fcntl(m->state_fd, F_DUPFD_CLOEXEC, 3);
	if (m->machine_fd < 0 && !m->pod_path)
		return err_sys(e, errno, "open the state directory");
	if (rec.groups || rec.joins) {
		r = groups_load(state_fd, &m->groups, e);
		/* One whose creator crashed before they were there is to be destroyed all the same.
		 */
		if (r < 0 && (in->state != ENGINE_FAILED || e->sys != ENOENT))
			return r;
		/* A member's processes on the host are not what is paused. */
		if (m->groups && !m->joins &&
		    (in->state == ENGINE_RUNNING || in->state == ENGINE_PAUSED))
			in->state = saved_frozen(in->state, groups_frozen(m->groups));
	}
	return hooked_load(&m->hooked, &m->arena, m->id, &m->spec, e);
}

/* What its proxy noted at its end: "CODE oom|- WHY". */
struct end {
	struct buf text;
	struct str oom, why;
};

static bool read_end(const struct microvm *m, struct end *ret)
{
	struct str rest;

	ret->text = BUF_INIT(END_TEXT_MAX);
	if (m->state_fd < 0 || file_read(m->state_fd, PROXY_ENDED, &ret->text) < 0 ||
	    ret->text.n == 0)
		return false;
	(void) str_cut(str_trim(buf_str(&ret->text)), ' ', &rest);
	ret->oom = str_cut(rest, ' ', &ret->why);
	return true;
}

bool microvm_ended_oom(const struct microvm *m)
{
	struct end end;
	bool oom = read_end(m, &end) && str_is(end.oom, "oom");

	buf_fini(&end.text);
	return oom;
}

const char *microvm_why_ended(struct instance *in, struct arena *a)
{
	struct end end;
	bool known = read_end(microvm_of_instance(in), &end) && end.why.n;
	const char *why = known ? arena_printf(a, "the machine ended: %.*s", (int) end.why.n,
					       end.why.p)
				: NULL;

	buf_fini(&end.text);
	return why;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance on disk: "instance.json", with the container engine's names where they mean the same
 * (container_look reads both), the cgroups' own file, and what the program reported of its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/container/groups.h"
#include "engine/container/saved.h"
#include "engine/sandbox/sandbox.h"
#include "proto/sentry.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define STATE_FILE "instance.json"
#define STATE_MAX  (1u << 16)

struct record {
	const char *id, *state, *bundle, *config, *pod, *netns;
	int64_t pid;
	uint64_t ident, memory, container, process, netns_ino;
	uint32_t ipv6_off;
	bool poststop_due, groups, joins;
};

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, state, "state", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, bundle, "bundle", 0),
	JSON_STRING_FIELD(struct record, config, "config", 0),
	JSON_I64_FIELD(struct record, pid, "pid", 0, INT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, ident, "ident", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, memory, "memory", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct record, poststop_due, "poststopDue", 0),
	JSON_BOOL_FIELD(struct record, groups, "cgroups", 0),
	JSON_STRING_FIELD(struct record, pod, "pod", 0),
	JSON_BOOL_FIELD(struct record, joins, "joins", 0),
	JSON_STRING_FIELD(struct record, netns, "netns", 0),
	JSON_U64_FIELD(struct record, netns_ino, "netnsInode", 0, UINT64_MAX, 0),
	JSON_U32_FIELD(struct record, ipv6_off, "netnsIPv6", 0, UINT32_MAX, 0),
	JSON_U64_FIELD(struct record, container, "container", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct record, process, "process", 0, UINT64_MAX, 0),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

int sandbox_save(struct instance *in, int state_fd, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	struct json_writer w = JSON_WRITER(&text);
	char path[GROUPS_PATH_MAX];
	int r;

	json_w_object(&w, NULL);
	json_w_string(&w, "id", s->id);
	json_w_string(&w, "state", engine_state_name(in->state));
	json_w_i64(&w, "pid", in->pid);
	json_w_u64(&w, "ident", s->ident);
	json_w_u64(&w, "gate", 0);
	json_w_u64(&w, "namespaces", 0);
	json_w_u64(&w, "memory", s->memory);
	if (s->taken.path) {
		json_w_string(&w, "netns", s->taken.path);
		json_w_u64(&w, "netnsInode", s->taken.ino);
		json_w_u64(&w, "netnsIPv6", s->taken.ipv6_off);
	}
	if (s->pod_path) {
		json_w_string(&w, "pod", s->pod_path);
		json_w_bool(&w, "joins", s->joins);
		json_w_u64(&w, "container", s->container);
		json_w_u64(&w, "process", s->process);
	}
	/* container_look would ask them whether it is paused: those of one that joins never are. */
	json_w_bool(&w, "cgroups", s->groups != NULL && !s->joins);
	if (s->groups && !s->joins && groups_path(s->groups, CGROUP_FREEZER, path))
		json_w_string(&w, "freezer", path);
	/* "unified" says when all in there is frozen, which stubs that wait never are. */
	hooked_save(&s->hooked, &w);
	json_w_end(&w);
	r = saved_write(state_fd, STATE_FILE, &text, e);
	return r < 0 || !s->groups ? r : groups_save(s->groups, state_fd, e);
}

static int take_record(struct sandbox *s, const struct record *rec, struct err *e)
{
	s->id = strdup(rec->id);
	s->pod_path = rec->pod ? strdup(rec->pod) : NULL;
	s->taken.path = rec->netns ? strdup(rec->netns) : NULL;
	s->taken.ino = rec->netns_ino;
	s->taken.ipv6_off = rec->ipv6_off;
	if (!s->id || (rec->pod && !s->pod_path) || (rec->netns && !s->taken.path))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	s->ident = rec->ident;
	s->memory = rec->memory;
	s->joins = rec->joins;
	s->container = rec->container;
	s->process = rec->pod ? rec->process : SENTRY_FIRST;
	if (hooked_take(&s->hooked, rec->bundle, rec->config, rec->poststop_due, e) < 0)
		return -1;
	saved_process(&s->in, rec->state, rec->pid, rec->ident);
	return 0;
}

int sandbox_load(struct instance *in, int state_fd, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct record rec = {};
	bool found = false;
	int r;

	s->arena = ARENA_INIT(64u << 20);
	s->state_fd = s->kernel_fd = s->creator_fd = s->gofer_pidfd = s->broker_pidfd = FD_NONE;
	r = saved_read(&s->arena, state_fd, STATE_FILE, STATE_MAX, &record_table, &rec, &found, e);
	if (r == 0 && !found)
		r = err_set(e, ERR_NOT_FOUND, ENOENT, "no state of an instance there");
	r = r < 0 ? r : take_record(s, &rec, e);
	if (r < 0)
		return r;
	s->state_fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->state_fd < 0)
		return err_sys(e, errno, "open the state directory");
	/* A pod's may be gone; then its kernel is as well. */
	s->kernel_fd = s->pod_path ? open(s->pod_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				   : fcntl(s->state_fd, F_DUPFD_CLOEXEC, 3);
	if (s->kernel_fd < 0 && !s->pod_path)
		return err_sys(e, errno, "open the state directory");
	if (rec.groups || rec.joins) {
		r = groups_load(state_fd, &s->groups, e);
		/* One whose creator crashed before they were there is to be destroyed all the same.
		 */
		if (r < 0 && (in->state != ENGINE_FAILED || e->sys != ENOENT))
			return r;
		if (s->groups && !s->joins &&
		    (in->state == ENGINE_RUNNING || in->state == ENGINE_PAUSED))
			in->state = saved_frozen(in->state, groups_frozen(s->groups));
	}
	return hooked_load(&s->hooked, &s->arena, s->id, &s->spec, e);
}

/* ---- its end ----------------------------------------------------------------------------- */

/* proto/sentry.h: "STATUS" or "125 KIND ERRNO WORDS". */
struct end {
	struct buf text;
	uint32_t status, kind, error;
	struct str words; /* of a failure; else empty */
};

static bool read_end(const struct sandbox *s, struct end *ret)
{
	struct str rest, kind, line;

	*ret = (struct end){ .text = BUF_INIT(SANDBOX_END_MAX) };
	if (s->state_fd < 0 || file_read(s->state_fd, SANDBOX_END, &ret->text) < 0 ||
	    ret->text.n == 0)
		return false;
	line = str_cut(buf_str(&ret->text), '\n', &rest);
	if (num_parse_u32(str_cut(line, ' ', &rest), 0, 255, &ret->status) < 0)
		return false;
	if (!rest.p)
		return true;
	kind = str_cut(rest, ' ', &rest);
	return num_parse_u32(kind, ERR_NONE + 1, ERR_INTERNAL, &ret->kind) == 0 &&
	       num_parse_u32(str_cut(rest, ' ', &ret->words), 0, 4095, &ret->error) == 0;
}

bool sandbox_failure(const struct sandbox *s, struct err *e)
{
	struct end end;
	bool failed = read_end(s, &end) && end.kind;

	if (failed)
		(void) err_set(e, (enum err_kind) end.kind, (int) end.error, "%.*s",
			       (int) end.words.n, end.words.p);
	buf_fini(&end.text);
	return failed;
}

const char *sandbox_why_ended(struct instance *in, struct arena *a)
{
	const struct sandbox *s = sandbox_of_instance(in);
	struct end end;
	bool known = read_end(s, &end);
	const char *why = NULL;

	if (known && end.kind)
		why = arena_printf(a, "the sandbox failed: %.*s", (int) end.words.n, end.words.p);
	else if (!known && !s->killed)
		why = "the sandbox's kernel (atoll-sentry) was killed or crashed";
	buf_fini(&end.text);
	return why;
}

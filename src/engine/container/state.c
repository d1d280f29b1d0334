/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance on disk, "instance.json" and the cgroups' own file in a state directory: what a
 * later process needs to start, signal, enter or remove a container it did not create. The state
 * itself is found out anew at load: a process is what it was only if its start time is the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/container/hooks.h"
#include "fmt/spec.h"
#include "sys/pidfd.h"

#define STATE_FILE "instance.json"
#define STATE_MAX  (1u << 16)

struct record {
	const char *id;
	const char *state;
	const char *bundle, *config;
	int64_t pid;
	uint64_t start;
	uint32_t gate, flags;
	bool own_pids, poststop_due, groups;
};

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, state, "state", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, bundle, "bundle", 0),
	JSON_STRING_FIELD(struct record, config, "config", 0),
	JSON_I64_FIELD(struct record, pid, "pid", 0, INT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, start, "start", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, gate, "gate", 0, INT32_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, flags, "namespaces", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct record, own_pids, "ownPids", 0),
	JSON_BOOL_FIELD(struct record, poststop_due, "poststopDue", 0),
	JSON_BOOL_FIELD(struct record, groups, "cgroups", 0),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

int container_save(const struct instance *in, int state_fd, struct err *e)
{
	const struct container *c = (const struct container *) in;
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	struct json_writer w = JSON_WRITER(&text);
	int r;

	json_w_object(&w, NULL);
	json_w_string(&w, "id", c->id);
	json_w_string(&w, "state", engine_state_name(in->state));
	json_w_i64(&w, "pid", in->pid);
	json_w_u64(&w, "start", c->start_ticks);
	json_w_u64(&w, "gate", (uint64_t) c->gate_number);
	json_w_u64(&w, "namespaces", c->ns_flags);
	json_w_bool(&w, "ownPids", c->own_pids);
	json_w_bool(&w, "poststopDue", c->poststop_due);
	json_w_bool(&w, "cgroups", c->groups != NULL);
	if (c->late_hooks && c->bundle_path)
		json_w_string(&w, "bundle", c->bundle_path);
	if (c->late_hooks && c->bundle_path && c->config_path)
		json_w_string(&w, "config", c->config_path);
	json_w_end(&w);
	r = buf_ok(&text) ? file_replace(state_fd, STATE_FILE, buf_str(&text), 0600, false)
			  : buf_error(&text);
	if (r < 0)
		return err_sys(e, -r, "writing the instance's state");
	return c->groups ? groups_save(c->groups, state_fd, e) : 0;
}

static enum engine_state state_of(const char *name)
{
	static const enum engine_state all[] = { ENGINE_CREATING, ENGINE_CREATED, ENGINE_RUNNING,
						 ENGINE_PAUSED, ENGINE_STOPPED };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (streq(name, engine_state_name(all[i])))
			return all[i];
	}
	return ENGINE_FAILED;
}

/* Hooks that run after start or stop are read again from the bundle, as it was then. */
static int load_hooks(struct container *c, const char *bundle, const char *config, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	auto_fd int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct json *root = NULL;
	int r = dir < 0 ? -errno : file_read(dir, config ? config : "config.json", &text);

	if (r == -ENOENT)
		return 0; /* the bundle is gone, and its hooks with it: deleting must still work */
	if (r < 0)
		return err_sys(e, -r, "%.200s of '%.200s'", config ? config : "config.json",
			       bundle);
	r = json_parse(&c->arena, buf_str(&text), &root, e);
	r = r < 0 ? r : spec_decode(&c->arena, root, &c->spec, e);
	return r < 0 ? r
		     : hooks_state_text(&c->arena, c->spec, c->id, dir, &c->state_head,
					&c->state_tail, e);
}

static void find_process(struct container *c)
{
	struct instance *in = &c->in;
	uint64_t ticks = 0;
	bool zombie = true;

	if (in->state == ENGINE_CREATING) {
		/* Its creator crashed, or is at it: what there is can be destroyed. */
		in->state = ENGINE_FAILED;
		return;
	}
	in->pidfd = in->pid ? pidfd_of(in->pid) : FD_NONE;
	if (in->pidfd >= 0 && pid_start_time(in->pid, &ticks, &zombie) == 0 && !zombie &&
	    ticks == c->start_ticks)
		return;
	close_fd(&in->pidfd);
	in->pid = 0;
	in->state = ENGINE_STOPPED;
}

int container_load(struct instance *in, int state_fd, struct err *e)
{
	struct container *c = container_of_instance(in);
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	const struct json *root = NULL;
	struct record rec = {};
	int r = file_read(state_fd, STATE_FILE, &text);

	if (r == -ENOENT)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no state of an instance there");
	if (r < 0)
		return err_sys(e, -r, "reading the instance's state");
	c->arena = ARENA_INIT(64u << 20);
	r = json_parse(&c->arena, buf_str(&text), &root, e);
	r = r < 0 ? r : json_decode(&c->arena, root, &record_table, &rec, "", e);
	if (r < 0)
		return err_ctx(e, "the instance's state");
	c->gate_fd = FD_NONE;
	c->id = strdup(rec.id);
	c->bundle_path = rec.bundle ? strdup(rec.bundle) : NULL;
	c->config_path = rec.config ? strdup(rec.config) : NULL;
	if (!c->id || (rec.bundle && !c->bundle_path) || (rec.config && !c->config_path))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	in->pid = (pid_t) rec.pid;
	in->state = state_of(rec.state);
	c->start_ticks = rec.start;
	c->gate_number = (int) rec.gate;
	c->ns_flags = rec.flags;
	c->own_pids = rec.own_pids;
	c->late_hooks = rec.bundle != NULL;
	c->poststop_due = rec.poststop_due;
	find_process(c);
	if (rec.groups) {
		r = groups_load(state_fd, &c->groups, e);
		if (r < 0)
			return r;
		if (in->state == ENGINE_RUNNING && groups_frozen(c->groups))
			in->state = ENGINE_PAUSED;
		else if (in->state == ENGINE_PAUSED && !groups_frozen(c->groups))
			in->state = ENGINE_RUNNING;
	}
	return rec.bundle ? load_hooks(c, rec.bundle, rec.config, e) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance on disk, "instance.json" and the cgroups' own file in a state directory: what a
 * later process needs to start, signal, enter or remove a container it did not create. The state
 * itself is found out anew at load: a process is what it was only if its start time is the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/container/hooks.h"
#include "engine/container/saved.h"
#include "fmt/spec.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define STATE_FILE "instance.json"
#define STATE_MAX  (1u << 16)

struct record {
	const char *id;
	const char *state;
	const char *bundle, *config;
	const char *freezer, *unified; /* directories of its cgroups that may be frozen */
	const char *note;
	int64_t pid;
	uint64_t ident;
	uint32_t gate, flags;
	bool own_pids, poststop_due, groups, rdt, chrooted, hostroot, callers_keyring;
};

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, state, "state", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, bundle, "bundle", 0),
	JSON_STRING_FIELD(struct record, config, "config", 0),
	JSON_I64_FIELD(struct record, pid, "pid", 0, INT32_MAX, JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, freezer, "freezer", 0),
	JSON_STRING_FIELD(struct record, unified, "unified", 0),
	JSON_STRING_FIELD(struct record, note, "note", 0),
	JSON_U64_FIELD(struct record, ident, "ident", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, gate, "gate", 0, INT32_MAX, JSON_REQUIRED),
	JSON_U32_FIELD(struct record, flags, "namespaces", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct record, own_pids, "ownPids", 0),
	JSON_BOOL_FIELD(struct record, poststop_due, "poststopDue", 0),
	JSON_BOOL_FIELD(struct record, groups, "cgroups", 0),
	JSON_BOOL_FIELD(struct record, rdt, "rdt", 0),
	JSON_BOOL_FIELD(struct record, chrooted, "chrooted", 0),
	JSON_BOOL_FIELD(struct record, hostroot, "hostRoot", 0),
	JSON_BOOL_FIELD(struct record, callers_keyring, "callersKeyring", 0),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

int container_save_as(struct container *c, enum engine_state state, int state_fd, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	struct json_writer w = JSON_WRITER(&text);
	char path[GROUPS_PATH_MAX];
	int r;

	json_w_object(&w, NULL);
	json_w_string(&w, "id", c->id);
	json_w_string(&w, "state", engine_state_name(state));
	json_w_i64(&w, "pid", c->in.pid);
	json_w_u64(&w, "ident", c->ident);
	json_w_u64(&w, "gate", (uint64_t) c->gate_number);
	json_w_u64(&w, "namespaces", c->ns_flags);
	if (c->own_pids)
		json_w_bool(&w, "ownPids", true);
	if (c->poststop_due)
		json_w_bool(&w, "poststopDue", true);
	if (c->groups)
		json_w_bool(&w, "cgroups", true);
	if (c->groups && groups_path(c->groups, CGROUP_FREEZER, path))
		json_w_string(&w, "freezer", path);
	if (c->groups && groups_path(c->groups, 0, path))
		json_w_string(&w, "unified", path);
	if (c->rdt.class)
		json_w_bool(&w, "rdt", true);
	if (c->chrooted)
		json_w_bool(&w, "chrooted", true);
	if (c->callers_keyring)
		json_w_bool(&w, "callersKeyring", true);
	if (c->hostroot.path)
		json_w_bool(&w, "hostRoot", true);
	if (c->note)
		json_w_string(&w, "note", c->note);
	if (c->late_hooks && c->bundle_path)
		json_w_string(&w, "bundle", c->bundle_path);
	if (c->late_hooks && c->bundle_path && c->config_path)
		json_w_string(&w, "config", c->config_path);
	json_w_end(&w);
	r = buf_ok(&text) ? file_replace(state_fd, STATE_FILE, buf_str(&text), 0600, false)
			  : buf_error(&text);
	if (r < 0)
		return err_sys(e, -r, "writing the instance's state");
	c->saved = state;
	r = c->groups ? groups_save(c->groups, state_fd, e) : 0;
	r = r < 0 ? r : hostroot_save(&c->hostroot, state_fd, e);
	return r < 0 ? r : rdt_save(&c->rdt, state_fd, e);
}

int container_save(struct instance *in, int state_fd, struct err *e)
{
	struct container *c = container_of_instance(in);

	return c->let_go && c->saved == in->state ? 0
						  : container_save_as(c, in->state, state_fd, e);
}

static int read_record(int dir_fd, const char *file, struct arena *a, struct record *ret,
		       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	auto_fd int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	const struct json *root = NULL;
	char some[2048];
	ssize_t n = fd < 0 ? -1 : read(fd, some, sizeof(some));
	int r = 0;

	if (n < 0 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no state of an instance there");
	if (n == (ssize_t) sizeof(some)) { /* else that was all of the file */
		buf_add(&text, some, sizeof(some));
		r = fd_read_all(fd, &text);
	}
	if (n < 0 || r < 0)
		return err_sys(e, n < 0 ? errno : -r, "reading the instance's state");
	r = json_parse(a, text.n ? buf_str(&text) : (struct str){ some, (size_t) n }, &root, e);
	r = r < 0 ? r : json_decode(a, root, &record_table, ret, "", e);
	return r < 0 ? err_ctx(e, "the instance's state") : 0;
}

int container_load(struct instance *in, int state_fd, struct err *e)
{
	struct container *c = container_of_instance(in);
	struct record rec = {};
	int r;

	c->arena = ARENA_INIT(64u << 20);
	r = read_record(state_fd, STATE_FILE, &c->arena, &rec, e);
	if (r < 0)
		return r;
	c->gate_fd = FD_NONE;
	c->id = strdup(rec.id);
	c->bundle_path = rec.bundle ? strdup(rec.bundle) : NULL;
	c->config_path = rec.config ? strdup(rec.config) : NULL;
	c->note = rec.note ? strdup(rec.note) : NULL;
	if (!c->id || (rec.bundle && !c->bundle_path) || (rec.config && !c->config_path) ||
	    (rec.note && !c->note))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	in->pid = (pid_t) rec.pid;
	in->state = engine_state_of(rec.state);
	c->ident = rec.ident;
	c->gate_number = (int) rec.gate;
	c->ns_flags = rec.flags;
	c->own_pids = rec.own_pids;
	c->late_hooks = rec.bundle != NULL;
	c->poststop_due = rec.poststop_due;
	if (in->state == ENGINE_CREATING) {
		/* Its creator crashed, or is at it: what there is can be destroyed. */
		in->state = ENGINE_FAILED;
	} else {
		in->pidfd = process_find(in->pid, rec.ident);
		in->pid = in->pidfd < 0 ? 0 : in->pid;
		in->state = in->pidfd < 0 ? ENGINE_STOPPED : in->state;
	}
	c->chrooted = rec.chrooted;
	c->callers_keyring = rec.callers_keyring;
	r = rec.rdt ? rdt_load(&c->rdt, state_fd, e) : 0;
	if (r == 0 && rec.hostroot)
		r = hostroot_load(&c->hostroot, state_fd, e);
	if (r < 0)
		return r;
	if (rec.groups) {
		r = groups_load(state_fd, &c->groups, e);
		if (r < 0)
			return r;
		if (in->state == ENGINE_RUNNING || in->state == ENGINE_PAUSED)
			in->state = saved_frozen(in->state, groups_frozen(c->groups));
	}
	return rec.bundle ? hooks_load(&c->arena, rec.bundle, rec.config, c->id, &c->spec,
				       &c->state_head, &c->state_tail, e)
			  : 0;
}

/* In as few steps as there can be: a list asks it of each. */
static bool frozen_at(const char *dir, bool unified)
{
	auto_fd int fd = FD_NONE;
	char file[GROUPS_PATH_MAX + 20], text[256];
	uint64_t frozen = 0;
	ssize_t n;

	if (!dir)
		return false;
	(void) snprintf(file, sizeof(file), "%s/%s", dir,
			unified ? "cgroup.events" : "freezer.state");
	fd = open(file, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return unified ? cgroup_stat_get(text, "frozen", &frozen) == 0 && frozen : text[0] != 'T';
}

/* By the directories in the record; by all that groups_load finds where those have no usual name.
 */
static int is_frozen(int parent_fd, const char *name, const struct record *rec, bool *ret_frozen,
		     struct err *e)
{
	auto_groups struct groups *g = NULL;
	auto_fd int fd = FD_NONE;
	int r;

	if (rec->freezer || rec->unified) {
		*ret_frozen = frozen_at(rec->freezer, false) || frozen_at(rec->unified, true);
		return 0;
	}
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, errno, "open the state directory '%.128s'", name);
	r = groups_load(fd, &g, e);
	if (r == 0)
		*ret_frozen = groups_frozen(g);
	return r;
}

int container_look(int parent_fd, const char *name, struct arena *a, struct engine_look *ret,
		   struct err *e)
{
	auto_arena struct arena read = ARENA_INIT(4 * STATE_MAX);
	char file[NAME_MAX + 1 + sizeof(STATE_FILE)];
	struct engine_look l = { 0 };
	struct record rec = {};
	bool frozen = false;
	int r;

	(void) snprintf(file, sizeof(file), "%s/" STATE_FILE, name);
	r = read_record(parent_fd, file, &read, &rec, e);
	if (r < 0)
		return r;
	l.note = rec.note ? arena_strdup(a, rec.note) : NULL;
	if (rec.note && !l.note)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	l.state = engine_state_of(rec.state);
	if (l.state == ENGINE_CREATING) {
		l.state = ENGINE_FAILED;
	} else {
		auto_fd int fd = process_find((pid_t) rec.pid, rec.ident);

		l.pid = fd < 0 ? 0 : (pid_t) rec.pid;
		l.state = fd < 0 ? ENGINE_STOPPED : l.state;
	}
	if (rec.groups && (l.state == ENGINE_RUNNING || l.state == ENGINE_PAUSED)) {
		r = is_frozen(parent_fd, name, &rec, &frozen, e);
		if (r < 0)
			return r;
		l.state = saved_frozen(l.state, frozen);
	}
	*ret = l;
	return 0;
}

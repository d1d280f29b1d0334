/* SPDX-License-Identifier: Apache-2.0 */
/* Making, renaming and removing workloads. */
#include "svc/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/oci_image.h"
#include "image/resolve.h"
#include "store/discard.h"
#include "store/event.h"
#include "store/volume.h"
#include "svc/ahead.h"
#include "svc/bundle_parts.h"
#include "svc/heal.h"
#include "svc/logs.h"
#include "svc/names.h"
#include "svc/require.h"
#include "svc/supervise.h"
#include "svc/volume.h"

#define PROFILE_MAX   (1u << 20) /* bytes of a seccomp profile */
#define CONFIG_MAX    (4u << 20) /* bytes of a configuration as JSON */
#define NAME_ATTEMPTS 16

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* seccomp=FILE becomes seccomp=TEXT: the record must not change with the file. */
static int inline_profiles(struct workload_config *c, struct arena *a, struct err *e)
{
	const char **opts = arena_array(a, c->security_opt_n + 1, sizeof(*opts));

	if (!opts)
		return no_memory(e);
	for (size_t i = 0; i < c->security_opt_n; i++) {
		const char *text = c->security_opt[i];
		auto_buf struct buf profile = BUF_INIT(PROFILE_MAX);

		opts[i] = text;
		if (strncmp(text, "seccomp", 7) != 0 || (text[7] != '=' && text[7] != ':') ||
		    streq(text + 8, "unconfined") || text[8] == '{' || text[8] == '\0')
			continue;
		int r = file_read(AT_FDCWD, text + 8, &profile);
		if (r < 0)
			return err_sys(e, -r, "read the seccomp profile '%s'", text + 8);
		opts[i] = arena_printf(a, "seccomp=%s", buf_z(&profile));
		if (!opts[i])
			return no_memory(e);
	}
	c->security_opt = opts;
	return 0;
}

static bool has_target(const struct workload_config *c, const char *target)
{
	for (size_t i = 0; i < c->mounts_n; i++) {
		if (streq(c->mounts[i].target, target))
			return true;
	}
	return false;
}

static int add_mount(struct workload_config *c, struct arena *a, const struct mount_config *m,
		     struct err *e)
{
	struct mount_config *slot = arena_push(a, &c->mounts, &c->mounts_n, sizeof(*slot));

	if (!slot)
		return no_memory(e);
	*slot = *m;
	return 0;
}

/* --volumes-from WORKLOAD[:ro] */
static int mounts_of_others(struct svc *s, struct workload_config *c, struct arena *a,
			    struct err *e)
{
	for (size_t i = 0; i < c->volumes_from_n; i++) {
		struct str mode;
		const char *ref = arena_dup(a, str_cut(str_of(c->volumes_from[i]), ':', &mode));
		struct workload_record other;
		struct workload_config from;
		const char *json;

		if (!ref)
			return no_memory(e);
		if (mode.p && !str_is(mode, "ro") && !str_is(mode, "rw"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "--volumes-from '%s': write it WORKLOAD[:ro]",
				       c->volumes_from[i]);
		int r = store_workload_find(s->store, ref, a, &other, e);
		if (r >= 0)
			r = store_workload_config(s->store, other.id, a, &json, e);
		if (r >= 0)
			r = workload_config_read(a, str_of(json), &from, e);
		if (r < 0)
			return err_ctx(e, "--volumes-from");
		for (size_t j = 0; j < from.mounts_n; j++) {
			struct mount_config m = from.mounts[j];

			if (m.kind == MOUNT_TMPFS || has_target(c, m.target))
				continue;
			m.read_only = m.read_only || str_is(mode, "ro");
			r = add_mount(c, a, &m, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Anonymous volumes get their names here, so that every start finds the same ones. */
static int name_volumes(struct workload_config *c, const struct plan_image *image, struct arena *a,
			struct err *e)
{
	for (size_t i = 0; i < image->volumes_n; i++) {
		struct mount_config m = { .kind = MOUNT_VOLUME, .from_image = true };

		m.target = image->volumes[i];
		if (m.target[0] != '/' || has_target(c, m.target))
			continue;
		int r = add_mount(c, a, &m, e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < c->mounts_n; i++) {
		char name[WORKLOAD_ID_MAX];

		if (c->mounts[i].kind != MOUNT_VOLUME || c->mounts[i].source)
			continue;
		int r = names_hex(name, WORKLOAD_ID_LEN, e);
		if (r < 0)
			return r;
		c->mounts[i].source = arena_strdup(a, name);
		if (!c->mounts[i].source)
			return no_memory(e);
		/* Told apart from a volume that was named so by somebody. */
		c->mounts[i].from_image = true;
	}
	return 0;
}

/* A copy the filling-in may change. */
static int own_mounts(struct workload_config *c, struct arena *a, struct err *e)
{
	struct mount_config *v = arena_array(a, c->mounts_n + 1, sizeof(*v));

	if (!v)
		return no_memory(e);
	if (c->mounts_n)
		memcpy(v, c->mounts, c->mounts_n * sizeof(*v));
	size_t n = c->mounts_n;
	c->mounts = NULL;
	c->mounts_n = 0;
	for (size_t i = 0; i < n; i++) {
		int r = add_mount(c, a, &v[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Labels: the image's under the user's. */
static int merge_labels(struct workload_config *c, const struct plan_image *image, struct arena *a,
			struct err *e)
{
	struct json_pair *all = arena_array(a, image->labels_n + c->labels_n + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		return no_memory(e);
	for (size_t i = 0; i < image->labels_n + c->labels_n; i++) {
		const struct json_pair *p = i < image->labels_n ? &image->labels[i]
								: &c->labels[i - image->labels_n];
		size_t j = 0;

		while (j < n && !streq(all[j].key, p->key))
			j++;
		all[j] = *p;
		n += j == n;
	}
	c->labels = all;
	c->labels_n = n;
	return 0;
}

static const char *labels_json(const struct workload_config *c, struct arena *a)
{
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX);
	struct json_writer w = JSON_WRITER(&text);

	if (c->labels_n == 0)
		return NULL;
	json_w_object(&w, NULL);
	for (size_t i = 0; i < c->labels_n; i++)
		json_w_string(&w, c->labels[i].key, c->labels[i].value);
	json_w_end(&w);
	return buf_ok(&text) ? arena_dup(a, buf_str(&text)) : NULL;
}

static const char *mounts_json(const struct workload_config *c, struct arena *a)
{
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX);
	struct json_writer w = JSON_WRITER(&text);

	if (c->mounts_n == 0)
		return NULL;
	json_w_array(&w, NULL);
	for (size_t i = 0; i < c->mounts_n; i++) {
		if (c->mounts[i].source)
			json_w_string(&w, NULL, c->mounts[i].source);
	}
	json_w_end(&w);
	return buf_ok(&text) ? arena_dup(a, buf_str(&text)) : NULL;
}

static const char *command_line(const char *const *argv, size_t n, struct arena *a)
{
	auto_buf struct buf text = BUF_INIT(64u << 10);

	for (size_t i = 0; i < n && text.n < 4096; i++)
		buf_addf(&text, "%s%s", i ? " " : "", argv[i]);
	return buf_ok(&text) ? arena_dup(a, buf_str(&text)) : arena_strdup(a, argv[0]);
}

/* In the write: the rows of a new workload. CONFLICT: the name is in use. */
static int add_rows(struct svc *s, const struct workload_record *w, const struct workload_config *c,
		    const struct digest *image_id, const char *json, struct err *e)
{
	int r = store_workload_add(s->store, w, json, e);

	if (r >= 0)
		r = store_image_pin(s->store, image_id, w->id, e);
	for (size_t i = 0; r >= 0 && i < c->mounts_n; i++) {
		const struct mount_config *m = &c->mounts[i];
		struct volume_record v = {
			.name = m->source,
			.driver = "local",
			.created = w->created,
			.anonymous = m->from_image,
		};
		bool made;

		if (m->kind != MOUNT_VOLUME)
			continue;
		r = store_volume_add(s->store, &v, &made, e);
		if (r >= 0)
			r = store_volume_use(s->store, m->source, w->id, e);
	}
	if (r < 0)
		return r;
	auto_buf struct buf attributes = BUF_INIT(64u << 10);
	event_attributes(&attributes, w->name, w->image, w->labels);
	return store_event_add(s->store,
			       &(struct event){ .type = "container",
						.action = "create",
						.id = w->id,
						.attributes = buf_z(&attributes) },
			       e);
}

static int write_rows(struct svc *s, const struct workload_record *w,
		      const struct workload_config *c, const struct digest *image_id,
		      bool foreground, struct err *e)
{
	auto_buf struct buf json = BUF_INIT(CONFIG_MAX);

	workload_config_write(c, &json);
	if (!buf_ok(&json))
		return err_sys(e, -buf_error(&json), "the configuration of the workload");
	int r = store_write(s->store, foreground ? STORE_RELAXED : STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = add_rows(s, w, c, image_id, buf_z(&json), e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	return store_commit(s->store, e);
}

/* The directories of a workload. Before its row: a record always has them. Gives the lock. */
static int make_directory(struct svc *s, const char *id, bool durable, int *ret_lock_fd,
			  struct err *e)
{
	static const char *const names[] = { "upper", "work" };
	struct path_text path = paths_workload(&s->paths, id), top = paths_workloads(&s->paths);

	/* Shared among creates; repair, which sweeps what has no row, waits for it alone. */
	auto_fd int top_fd = open(top.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top_fd < 0)
		return err_sys(e, errno, "open '%s'", top.z);
	while (flock(top_fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "lock '%s'", top.z);
	/* 0711: the workload's user need not be root, and the upper is the root it sees. */
	if (mkdir(path.z, 0711) < 0)
		return err_sys(e, errno, "make '%s'", path.z);
	auto_fd int fd = open(path.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open '%s'", path.z);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		/* The upper is the root directory's own: its mode is what "/" has. */
		if (mkdirat(fd, names[i], i == 0 ? 0755 : 0700) < 0)
			return err_sys(e, errno, "make '%s/%s'", path.z, names[i]);
	}
	if (durable && (fsync(fd) < 0 || fsync(top_fd) < 0))
		return err_sys(e, errno, "sync '%s'", path.z);
	*ret_lock_fd = take_fd(&top_fd);
	return 0;
}

/* Under a name nobody has: the user's, or made up until one is free (then in the arena). */
static int add_named(struct svc *s, struct workload_record *w, struct workload_config *c,
		     const struct digest *image_id, bool foreground, struct arena *a, struct err *e)
{
	char made_up[NAMES_MAX];
	int r = 0;

	if (c->name) {
		w->name = c->name;
		return write_rows(s, w, c, image_id, foreground, e);
	}
	for (unsigned attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
		r = names_made_up(attempt, made_up, e);
		if (r < 0)
			return r;
		w->name = c->name = arena_strdup(a, made_up);
		if (!c->name)
			return no_memory(e);
		r = write_rows(s, w, c, image_id, foreground, e);
		if (r >= 0 || e->kind != ERR_CONFLICT)
			break;
	}
	return r;
}

/* What the user left open, in the arena. */
static int fill_in(struct svc *s, struct workload_config *c, const struct plan_image *image,
		   struct arena *a, struct err *e)
{
	int r = inline_profiles(c, a, e);

	if (r >= 0)
		r = own_mounts(c, a, e);
	if (r >= 0)
		r = mounts_of_others(s, c, a, e);
	if (r >= 0)
		r = name_volumes(c, image, a, e);
	return r < 0 ? r : merge_labels(c, image, a, e);
}

static int no_engine(const char *name, struct err *e)
{
	char there[128] = "";
	size_t n = 0;

	for (size_t i = 0; engine_table[i] && n < sizeof(there); i++)
		n += (size_t) snprintf(there + n, sizeof(there) - n, "%s%s", i ? ", " : "",
				       engine_table[i]->name);
	return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
		       "--isolation '%s': this build has no such engine; it has: %s", name, there);
}

/* Everything in `to`'s arena, for a start that follows. */
static int create(struct svc *s, struct workload_config *c, bool foreground, const char *id,
		  struct ahead *to, struct err *e)
{
	struct arena *a = &to->arena;
	struct plan_image image;
	const char **argv;
	size_t argv_n;
	int r = svc_store(s, e);

	if (r >= 0)
		r = image_resolve(s->store, c->image, &to->image, e);
	if (r >= 0 && c->require)
		r = require_check(s, to->image, c->require, e);
	if (r < 0)
		return r;
	plan_image_of(to->image->config->config, &image);
	r = plan_command(c, &image, a, &argv, &argv_n, e);
	if (r >= 0)
		r = fill_in(s, c, &image, a, e);
	if (r < 0)
		return r;
	struct workload_record w = {
		.id = arena_strdup(a, id),
		.image = c->image,
		.image_id = to->image->id_text,
		.isolation = c->isolation && *c->isolation ? c->isolation : "container",
		.command = command_line(argv, argv_n, a),
		.network = c->network && *c->network ? c->network : "none",
		.labels = labels_json(c, a),
		.mounts = mounts_json(c, a),
		.created = clock_wall(),
		.auto_remove = c->auto_remove,
	};
	if (!w.id || !w.command)
		return no_memory(e);
	if (!engine_find(w.isolation))
		return no_engine(w.isolation, e);
	if (c->disk_size && !engine_find(w.isolation)->can_root_upper)
		return err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"--storage-opt size=: the root of --isolation=%s is a directory, whose "
			"size has no limit; that of microvm is a disk of its own",
			w.isolation);
	auto_fd int lock_fd = FD_NONE; /* until the row is there */
	r = make_directory(s, id, !foreground, &lock_fd, e);
	if (r >= 0)
		r = add_named(s, &w, c, &to->image->id, foreground, a, e);
	if (r < 0) {
		struct err ignored;

		(void) store_workload_sweep(&s->paths, id, &ignored); /* repair sweeps it as well */
		return r;
	}
	to->record = w;
	to->config = *c;
	to->made = true;
	return 0;
}

int workload_create(struct svc *s, const struct workload_config *given, bool foreground,
		    struct ahead *ahead, char ret_id[static WORKLOAD_ID_MAX], struct err *e)
{
	auto_ahead struct ahead own = AHEAD_INIT;
	struct workload_config c = *given;
	struct logs_config logs;
	char id[WORKLOAD_ID_MAX];
	int r = workload_config_check(&c, e);

	if (r >= 0)
		r = logs_configure(c.log_driver, c.log_options, c.log_options_n, &logs, e);
	if (r >= 0)
		r = names_hex(id, WORKLOAD_ID_LEN, e);
	if (r < 0)
		return r;
	if (ahead)
		ahead_begin(ahead, s, id, &c);
	r = create(s, &c, foreground, id, ahead ? ahead : &own, e);
	if (r >= 0)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

int workload_rename(struct svc *s, const char *ref, const char *name, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_buf struct buf attributes = BUF_INIT(64u << 10);
	struct workload_record w;
	int r;

	if (*name == '/')
		name++;
	if (!config_name_ok(name))
		return err_set(e, ERR_INVALID, EINVAL,
			       "'%s' is no name: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed",
			       name);
	r = heal_find(s, ref, &a, &w, e);
	if (r < 0)
		return r;
	if (streq(w.name, name))
		return err_set(e, ERR_INVALID, EINVAL, "workload '%s' has that name already", name);
	event_attributes(&attributes, name, w.image, w.labels);
	r = store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = store_workload_rename(s->store, w.id, name, e);
	if (r >= 0)
		r = store_event_add(s->store,
				    &(struct event){ .type = "container",
						     .action = "rename",
						     .id = w.id,
						     .attributes = buf_z(&attributes) },
				    e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	r = store_commit(s->store, e);
	if (r < 0 || w.status.shim_pid == 0)
		return r;
	/* The shim names it in its events; one that ends just now has no further use for it. */
	struct shim_conn conn = SHIM_CONN_NONE;
	auto_fd int state_fd = open(paths_run(&s->paths, w.id).z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err ignored;
	if (state_fd >= 0 && shim_connect(state_fd, &conn, &ignored) >= 0) {
		(void) supervise_rename(&conn, name, &ignored);
		shim_conn_close(&conn);
	}
	return 0;
}

int workload_rm(struct svc *s, const char *ref, bool force, bool volumes, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct workload_record w;
	int r = heal_find(s, ref, &a, &w, e);

	if (r < 0)
		return r;
	switch (w.status.state) {
	case WORKLOAD_RUNNING:
	case WORKLOAD_PAUSED:
	case WORKLOAD_RESTARTING:
		if (!force)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "workload '%s' is %s: stop it first, or remove it by force "
				       "(-f)",
				       w.name, workload_state_name(w.status.state));
		r = workload_stop(s, w.id, 0, "KILL", e);
		if (r < 0) {
			/* --rm: it went by itself when it ended. */
			if (e->kind == ERR_NOT_FOUND)
				return 0;
			return r;
		}
		break;
	case WORKLOAD_CREATED:
	case WORKLOAD_EXITED:
	case WORKLOAD_REMOVING:
	case WORKLOAD_DEAD:
		break;
	}
	bool killed;
	r = heal_leftovers(s, w.id, &w, &killed, e);
	if (r < 0)
		return r;
	return store_workload_discard(s->store, w.id, volumes, STORE_DURABLE, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that are kept: making, listing, removing. Their use is in snapshot_use.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/engine.h"
#include "fmt/json.h"
#include "fmt/machine_record.h"
#include "image/resolve.h"
#include "store/event.h"
#include "store/image.h"
#include "svc/checkpoint.h"
#include "svc/heal.h"
#include "svc/names.h"
#include "svc/snapshot_parts.h"
#include "svc/workload.h"
#include "sys/tree.h"

#define PART		".part-"
#define RENAME_NOT_OVER 1 /* RENAME_NOREPLACE */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- their directory ---------------------------------------------------------------------- */

/* Gives. -ENOENT: there is none yet. */
static int open_all(struct svc *s, bool make)
{
	struct path_text path = paths_snapshots(&s->paths);
	int fd;

	if (make && mkdir(path.z, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int lock(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int snapshot_part_open(struct svc *s, struct snapshot_part *p, struct err *e)
{
	char hex[17];
	auto_fd int all = open_all(s, true), fd = FD_NONE;
	int r = names_hex(hex, sizeof(hex) - 1, e);

	if (r < 0)
		return r;
	(void) snprintf(p->name, sizeof(p->name), PART "%s", hex);
	r = all < 0 ? all : lock(all, LOCK_EX); /* else a sweep may come between */
	if (r == 0 && mkdirat(all, p->name, 0700) < 0)
		r = -errno;
	fd = r < 0 ? r : openat(all, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = r == 0 && fd < 0 ? -errno : r;
	r = r < 0 ? r : lock(fd, LOCK_EX | LOCK_NB);
	if (all >= 0)
		(void) lock(all, LOCK_UN);
	if (r == 0 && mkdirat(fd, SNAPSHOT_STATE, 0700) < 0)
		r = -errno;
	if (r == 0)
		p->state_fd = openat(fd, SNAPSHOT_STATE,
				     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 || p->state_fd < 0)
		return err_sys(e, r < 0 ? -r : errno, "make a place for the snapshot");
	p->all_fd = take_fd(&all);
	p->fd = take_fd(&fd);
	return 0;
}

void snapshot_part_close(struct snapshot_part *p)
{
	if (p->all_fd >= 0 && p->name[0])
		(void) tree_unlink(p->all_fd, p->name); /* swept later what resists */
	close_fd(&p->state_fd);
	close_fd(&p->fd);
	close_fd(&p->all_fd);
}

/* Whether its maker is gone. */
static bool abandoned(int all, const char *name)
{
	auto_fd int fd = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && lock(fd, LOCK_EX | LOCK_NB) == 0;
}

int snapshot_sweep(struct svc *s, bool dry_run, size_t *ret_n, struct err *e)
{
	auto_fd int all = open_all(s, false);
	auto_dir DIR *d = NULL;
	int r = all < 0 ? all : lock(all, LOCK_EX);
	size_t n = 0;

	*ret_n = 0;
	if (r == -ENOENT)
		return 0;
	d = r < 0 ? NULL : dir_open(all, ".");
	if (!d)
		return err_sys(e, r < 0 ? -r : errno, "the directory of snapshots");
	for (struct dirent *de; (de = dir_next(d));) {
		if (strncmp(de->d_name, PART, strlen(PART)) != 0 || !abandoned(all, de->d_name))
			continue;
		n++;
		if (!dry_run)
			(void) tree_unlink(all, de->d_name); /* the next sweep comes */
	}
	*ret_n = n;
	return 0;
}

/* "snapshot:NAME" without a NAME. */
static bool pins_nothing(int all, const char *owner)
{
	const char *name = owner + strlen(STORE_PIN_SNAPSHOT);

	return strncmp(owner, STORE_PIN_SNAPSHOT, strlen(STORE_PIN_SNAPSHOT)) == 0 &&
	       (all < 0 || faccessat(all, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

int snapshot_sweep_pins(struct svc *s, bool dry_run, size_t *ret_n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_fd int all = open_all(s, false);
	struct store_image *images = NULL;
	size_t images_n = 0, n = 0;
	int r = all < 0 ? 0 : lock(all, LOCK_EX);

	if (r < 0)
		return err_sys(e, -r, "the directory of snapshots");
	r = store_image_list(s->store, &a, &images, &images_n, e);
	for (size_t i = 0; r >= 0 && i < images_n; i++) {
		const char **owners;
		size_t owners_n;

		r = store_image_pins(s->store, &a, &images[i].id, &owners, &owners_n, e);
		for (size_t k = 0; r >= 0 && k < owners_n; k++) {
			if (!pins_nothing(all, owners[k]))
				continue;
			n++;
			r = dry_run ? 0 : store_image_unpin(s->store, owners[k], e);
		}
	}
	*ret_n = n;
	return r < 0 ? r : 0;
}

/* ---- what there is ------------------------------------------------------------------------ */

static int not_found(const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, ENOENT, "no snapshot '%.100s'", name);
}

static int read_at(int all, const char *name, struct arena *a, struct snapshot_opened *o,
		   struct err *e)
{
	auto_buf struct buf text = BUF_INIT(KEPT_TEXT_MAX);
	const char *kept;
	int r;

	o->fd = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->fd < 0)
		return errno == ENOENT ? not_found(name, e)
				       : err_sys(e, errno, "open snapshot '%.100s'", name);
	r = file_read(o->fd, SNAPSHOT_RECORD, &text);
	kept = r < 0 ? NULL : arena_dup(a, buf_str(&text));
	if (!kept)
		return err_sys(e, r < 0 ? -r : ENOMEM, "read snapshot '%.100s'", name);
	r = kept_decode(a, (struct str){ kept, text.n }, &o->kept, e);
	if (r < 0)
		return err_ctx(e, "snapshot '%.100s'", name);
	o->state_fd = openat(o->fd, SNAPSHOT_STATE,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return o->state_fd < 0 ? err_sys(e, errno, "open snapshot '%.100s'", name) : 0;
}

int snapshot_open(struct svc *s, const char *name, struct arena *a, struct snapshot_opened *ret_o,
		  struct err *e)
{
	struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
	auto_fd int all = FD_NONE;
	int r = config_name_ok(name) ? svc_store(s, e) : not_found(name, e);

	if (r < 0)
		return r;
	all = open_all(s, false);
	if (all == -ENOENT)
		return not_found(name, e);
	if (all < 0)
		return err_sys(e, -all, "the directory of snapshots");
	r = read_at(all, name, a, &o, e);
	if (r < 0) {
		snapshot_close(&o);
		return r;
	}
	*ret_o = o;
	return 0;
}

void snapshot_close(struct snapshot_opened *o)
{
	close_fd(&o->state_fd);
	close_fd(&o->fd);
}

static int newest_first(const void *a, const void *b)
{
	const struct snapshot_info *x = a, *y = b;

	return x->created < y->created	 ? 1
	       : x->created > y->created ? -1
					 : strcmp(x->name, y->name);
}

static int add_info(int all, const char *name, struct arena *a, struct snapshot_infos *to,
		    struct err *e)
{
	auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
	struct snapshot_info *i;
	int r = read_at(all, name, a, &o, e);

	if (r < 0)
		return e->kind == ERR_NOT_FOUND ? 0 : r; /* removed meanwhile */
	i = arena_push(a, &to->v, &to->n, sizeof(*i));
	if (!i)
		return no_memory(e);
	*i = (struct snapshot_info){ .name = arena_strdup(a, name),
				     .workload = o.kept.workload,
				     .workload_id = o.kept.workload_id,
				     .image = o.kept.image,
				     .image_id = o.kept.image_id,
				     .isolation = o.kept.isolation,
				     .base = o.kept.base,
				     .created = (nsec_t) o.kept.created };
	if (tree_size(all, name, &i->bytes) < 0)
		i->bytes = 0; /* going */
	return i->name ? 0 : no_memory(e);
}

int snapshot_ls(struct svc *s, struct arena *a, struct snapshot_infos *ret, struct err *e)
{
	auto_fd int all = open_all(s, false);
	struct snapshot_infos got = {};
	auto_dir DIR *d = NULL;
	int r = 0;

	if (all == -ENOENT) {
		*ret = got;
		return 0;
	}
	d = all < 0 ? NULL : dir_open(all, ".");
	if (!d)
		return err_sys(e, all < 0 ? -all : errno, "the directory of snapshots");
	for (struct dirent *de; r == 0 && (de = dir_next(d));)
		if (config_name_ok(de->d_name))
			r = add_info(all, de->d_name, a, &got, e);
	if (r < 0)
		return r;
	if (got.n > 1)
		qsort(got.v, got.n, sizeof(*got.v), newest_first);
	*ret = got;
	return 0;
}

int snapshot_inspect(struct svc *s, const char *name, struct buf *ret_json, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
	struct json_writer w = JSON_WRITER(ret_json);
	char created[CLOCK_RFC3339_MAX];
	uint64_t bytes = 0;
	int r = snapshot_open(s, name, &a, &o, e);

	if (r < 0)
		return r;
	clock_rfc3339((nsec_t) o.kept.created, created);
	(void) tree_size(o.fd, ".", &bytes); /* 0 of one that goes */
	json_w_object(&w, NULL);
	json_w_string(&w, "Name", name);
	json_w_string(&w, "Created", created);
	json_w_string(&w, "Workload", o.kept.workload);
	json_w_string(&w, "WorkloadId", o.kept.workload_id);
	json_w_string(&w, "Isolation", o.kept.isolation);
	json_w_string(&w, "Image", o.kept.image);
	json_w_string(&w, "ImageId", o.kept.image_id);
	json_w_string(&w, "Base", o.kept.base ? o.kept.base : "");
	json_w_u64(&w, "Size", bytes);
	json_w_value(&w, "Config", o.kept.config);
	json_w_end(&w);
	return buf_ok(ret_json) ? 0 : no_memory(e);
}

/* ---- making ------------------------------------------------------------------------------- */

static int tell(struct svc *s, const char *name, const char *action, const char *workload,
		struct err *e)
{
	auto_buf struct buf attributes = BUF_INIT(64u << 10);
	struct json_writer w = JSON_WRITER(&attributes);

	json_w_object(&w, NULL);
	json_w_string(&w, "name", name);
	if (workload)
		json_w_string(&w, "container", workload);
	json_w_end(&w);
	return store_event_add(s->store,
			       &(struct event){ .type = "snapshot",
						.action = action,
						.id = name,
						.attributes = buf_z(&attributes) },
			       e);
}

/* The image stays as long as the snapshot does. */
static int pin(struct svc *s, const char *name, const struct workload_record *w, bool pinned,
	       struct err *e)
{
	auto_image struct image *im = NULL;
	char owner[256];
	int r = pinned ? image_resolve(s->store, w->image_id, &im, e) : 0;

	(void) snprintf(owner, sizeof(owner), STORE_PIN_SNAPSHOT "%s", name);
	r = r < 0 ? r : store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = pinned ? store_image_pin(s->store, &im->id, owner, e)
		   : store_image_unpin(s->store, owner, e);
	r = r < 0 ? r : tell(s, name, pinned ? "create" : "destroy", w ? w->name : NULL, e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	return store_commit(s->store, e);
}

/* The name of the kept snapshot that has this id in its machine's record; NULL: none has. */
static int find_base(struct svc *s, const char *id, struct arena *a, const char **ret_name,
		     struct err *e)
{
	struct snapshot_infos all;
	int r = snapshot_ls(s, a, &all, e);

	*ret_name = NULL;
	for (size_t i = 0; r == 0 && i < all.n && !*ret_name; i++) {
		auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
		struct machine_record m;
		struct err ignored;

		if (snapshot_open(s, all.v[i].name, a, &o, &ignored) == 0 &&
		    snapshot_machine(o.state_fd, a, &m, &ignored) == 0 && m.id && streq(m.id, id))
			*ret_name = all.v[i].name;
	}
	return r;
}

int snapshot_machine(int state_fd, struct arena *a, struct machine_record *ret_m, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(MACHINE_RECORD_TEXT_MAX);
	int r = file_read(state_fd, SNAPSHOT_MACHINE, &text);
	const char *kept = r < 0 ? NULL : arena_dup(a, buf_str(&text));

	return kept ? machine_record_decode(a, (struct str){ kept, text.n }, ret_m, e)
		    : err_sys(e, r < 0 ? -r : ENOMEM,
			      "read '" SNAPSHOT_MACHINE "' of the snapshot");
}

static int base_of(struct svc *s, const struct snapshot_part *p, const struct workload_record *w,
		   struct arena *a, const char **ret_name, struct err *e)
{
	struct machine_record m;
	int r = snapshot_machine(p->state_fd, a, &m, e);

	if (r < 0)
		return r;
	if (!m.base)
		return err_set(e, ERR_INTERNAL, EINVAL,
			       "the machine does not say what it differs "
			       "from");
	r = find_base(s, m.base, a, ret_name, e);
	if (r == 0 && !*ret_name)
		return err_set(
			e, ERR_CONFLICT, ENOENT,
			"--diff: the last snapshot of workload '%s' is not kept: make a whole "
			"one first",
			w->name);
	return r;
}

int snapshot_take(struct svc *s, const char *ref, const struct snapshot_make *o,
		  struct snapshot_part *p, struct arena *a, struct workload_record *ret_w,
		  struct kept *ret_k, struct err *e)
{
	const struct checkpoint_options c = { .leave_running = !o->stop,
					      .tcp_established = o->tcp_established,
					      .ext_unix_sk = o->ext_unix_sk,
					      .file_locks = o->file_locks,
					      .link_remap = true,
					      .files = true,
					      .diff = o->diff };
	const char *config = NULL;
	struct kept k = { .created = (uint64_t) clock_wall() };
	int r = svc_store(s, e);

	r = r < 0 ? r : heal_find(s, ref, a, ret_w, e);
	r = r < 0 ? r : store_workload_config(s->store, ret_w->id, a, &config, e);
	r = r < 0 ? r : json_parse(a, str_of(config), &k.config, e);
	r = r < 0 ? r : checkpoint_possible(ret_w, &c, "before its files are kept", e);
	r = r < 0 ? r : snapshot_part_open(s, p, e);
	r = r < 0 ? r : checkpoint_dump(s, ret_w, &c, p->state_fd, e);
	r = r < 0 || !o->diff ? r : base_of(s, p, ret_w, a, &k.base, e);
	if (r < 0)
		return r;
	k.workload_id = ret_w->id;
	k.workload = ret_w->name;
	k.image = ret_w->image;
	k.image_id = ret_w->image_id;
	k.isolation = ret_w->isolation;
	*ret_k = k;
	return 0;
}

/* On disk first, then under its name. */
static int publish(struct svc *s, struct snapshot_part *p, const char *name,
		   const struct workload_record *w, const struct kept *k, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(KEPT_TEXT_MAX);
	struct err ignored;
	int r;

	kept_encode(k, &text);
	r = buf_ok(&text) ? file_replace(p->fd, SNAPSHOT_RECORD, buf_str(&text), 0600, false)
			  : buf_error(&text);
	if (r == 0 && syncfs(p->fd) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, -r, "write the snapshot '%s'", name);
	r = lock(p->all_fd, LOCK_EX); /* else a sweep sees the pin without the snapshot */
	r = r < 0 ? err_sys(e, -r, "keep the snapshot '%s'", name) : pin(s, name, w, true, e);
	if (r < 0)
		return r;
	if (syscall(SYS_renameat2, p->all_fd, p->name, p->all_fd, name, RENAME_NOT_OVER) < 0) {
		r = errno == EEXIST ? err_set(e, ERR_CONFLICT, EEXIST,
					      "there is a snapshot '%s' already", name)
				    : err_sys(e, errno, "keep the snapshot '%s'", name);
		if (e->kind != ERR_CONFLICT) /* else it is the other's */
			(void) pin(s, name, w, false, &ignored);
		return r;
	}
	p->name[0] = '\0';
	(void) lock(p->all_fd, LOCK_UN);
	return fsync(p->all_fd) < 0 ? err_sys(e, errno, "keep the snapshot '%s'", name) : 0;
}

int snapshot_create(struct svc *s, const char *ref, const char *name, const struct snapshot_make *o,
		    struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_snapshot_part struct snapshot_part p = SNAPSHOT_PART_INIT;
	struct workload_record w;
	struct kept k;
	size_t swept;
	auto_fd int all = FD_NONE;
	int r;

	if (!config_name_ok(name))
		return err_set(e, ERR_INVALID, EINVAL,
			       "snapshot '%.60s': only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed in a "
			       "name",
			       name);
	all = open_all(s, true);
	if (all >= 0 && faccessat(all, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, ERR_CONFLICT, EEXIST, "there is a snapshot '%s' already", name);
	r = snapshot_sweep(s, false, &swept, e);
	r = r < 0 ? r : snapshot_take(s, ref, o, &p, &a, &w, &k, e);
	return r < 0 ? r : publish(s, &p, name, &w, &k, e);
}

/* ---- removing ----------------------------------------------------------------------------- */

static int check_unused(const char *name, const struct snapshot_infos *all, struct err *e)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].base && streq(all->v[i].base, name))
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "snapshot '%s' is what '%s' is on top of: remove that first",
				       name, all->v[i].name);
	return 0;
}

/* Workloads that were made from snapshots. */
struct use {
	const char *snapshot, *workload;
	bool begun; /* it was started, and needs the snapshot no more */
};

struct uses {
	struct use *v;
	size_t n;
};

static int add_use(struct uses *to, const char *snapshot, const struct workload_record *w,
		   struct arena *a, struct err *e)
{
	struct use *u = arena_push(a, &to->v, &to->n, sizeof(*u));

	if (!u)
		return no_memory(e);
	*u = (struct use){ arena_strdup(a, snapshot), w->name, w->status.started != 0 };
	return u->snapshot ? 0 : no_memory(e);
}

/* Each workload's configuration is read once, however many snapshots there are. */
static int find_uses(struct svc *s, struct arena *a, struct uses *ret, struct err *e)
{
	struct workload_records list = {};
	int r = heal_list(s, false, a, &list, e);

	for (size_t i = 0; r == 0 && i < list.n; i++) {
		auto_arena struct arena of_one = ARENA_INIT(32u << 20);
		struct workload_config c;
		const char *json;

		r = store_workload_config(s->store, list.v[i].id, &of_one, &json, e);
		if (r < 0 && e->kind == ERR_NOT_FOUND) {
			r = 0; /* removed meanwhile */
			continue;
		}
		r = r < 0 ? r : workload_config_read(&of_one, str_of(json), &c, e);
		if (r == 0 && c.snapshot)
			r = add_use(ret, c.snapshot, &list.v[i], a, e);
	}
	return r;
}

/* One that was made from it, with `unbegun` one that has not been started yet; or NULL. */
static const struct use *use_of(const struct uses *uses, const char *name, bool unbegun)
{
	for (size_t i = 0; i < uses->n; i++)
		if (streq(uses->v[i].snapshot, name) && !(unbegun && uses->v[i].begun))
			return &uses->v[i];
	return NULL;
}

/* Whether one is to go on from it some time. */
static int check_begun(const struct uses *uses, const char *name, struct err *e)
{
	const struct use *u = use_of(uses, name, true);

	if (!u)
		return 0;
	return err_set(e, ERR_CONFLICT, EBUSY,
		       "snapshot '%s' is what workload '%s' goes on from when it is started: start "
		       "or remove that first",
		       name, u->workload);
}

/* Out of sight at once; the name is free for another one from then on. */
static int set_aside(struct svc *s, const char *name, struct snapshot_part *p, struct err *e)
{
	int r = snapshot_part_open(s, p, e);

	if (r < 0)
		return r;
	/* Into the part: its lock says that somebody is at it. */
	if (renameat(p->all_fd, name, p->fd, "gone") < 0)
		return errno == ENOENT ? not_found(name, e)
				       : err_sys(e, errno, "remove snapshot '%.100s'", name);
	return 0;
}

/* The others are listed each time: one may have come on top of it meanwhile. */
static int remove_one(struct svc *s, const char *name, const struct uses *uses, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_snapshot_part struct snapshot_part p = SNAPSHOT_PART_INIT;
	struct snapshot_infos all;
	int r = snapshot_ls(s, &a, &all, e);

	r = r < 0 ? r : check_unused(name, &all, e);
	r = r < 0 ? r : check_begun(uses, name, e);
	r = r < 0 ? r : set_aside(s, name, &p, e);
	return r < 0 ? r : pin(s, name, NULL, false, e);
}

int snapshot_rm(struct svc *s, const char *name, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	struct uses uses = {};
	int r = config_name_ok(name) ? svc_store(s, e) : not_found(name, e);

	r = r < 0 ? r : find_uses(s, &a, &uses, e);
	return r < 0 ? r : remove_one(s, name, &uses, e);
}

int snapshot_prune(struct svc *s, bool all, struct arena *a, struct prune_result *ret,
		   struct err *e)
{
	struct snapshot_infos have;
	struct prune_result got = {};
	struct uses uses = {};
	size_t swept;
	int r = svc_store(s, e);

	r = r < 0 ? r : snapshot_sweep(s, false, &swept, e);
	r = r < 0 ? r : find_uses(s, a, &uses, e);
	r = r < 0 ? r : snapshot_ls(s, a, &have, e);
	/* The newest first: those on top of others go before them. */
	for (size_t i = 0; r == 0 && i < have.n; i++) {
		const char **slot;

		if (!all && use_of(&uses, have.v[i].name, false))
			continue;
		r = remove_one(s, have.v[i].name, &uses, e);
		if (r < 0 && (e->kind == ERR_CONFLICT || e->kind == ERR_NOT_FOUND)) {
			r = 0; /* one that stays is on top of it; or somebody else was faster */
			continue;
		}
		slot = r < 0 ? NULL : arena_push(a, &got.names, &got.n, sizeof(*slot));
		if (!slot)
			return r < 0 ? r : no_memory(e);
		*slot = have.v[i].name;
		got.bytes += have.v[i].bytes;
	}
	if (r == 0)
		*ret = got;
	return r;
}

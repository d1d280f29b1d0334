/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads made from snapshots, and from running workloads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/engine.h"
#include "fmt/json.h"
#include "svc/attach.h"
#include "svc/checkpoint.h"
#include "svc/names.h"
#include "svc/snapshot_parts.h"
#include "svc/supervise.h"
#include "svc/workload.h"
#include "sys/tree.h"

#define CHAIN_MAX 64	     /* snapshots on top of each other */
#define CHUNK	  (1u << 20) /* bytes copied at a time */

/* ---- its configuration -------------------------------------------------------------------- */

static int config_of(struct svc *s, const struct kept *k, struct arena *a,
		     struct workload_config *ret, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(KEPT_TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);
	struct workload_config c;
	const char *json;
	int r;

	json_w_value(&w, NULL, k->config);
	json = buf_ok(&text) ? arena_dup(a, buf_str(&text)) : NULL;
	if (!json)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = workload_config_read(a, str_of(json), &c, e);
	r = r < 0 ? r : checkpoint_image(s, k->image, k->image_id, &c.image, e);
	if (r < 0)
		return r;
	c.isolation = k->isolation;
	c.name = c.hostname = NULL;
	c.auto_remove = false;
	*ret = c;
	return 0;
}

int snapshot_config(struct svc *s, const char *name, struct arena *a, struct workload_config *ret,
		    struct err *e)
{
	auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
	int r = snapshot_open(s, name, a, &o, e);

	r = r < 0 ? r : config_of(s, &o.kept, a, ret, e);
	if (r < 0)
		return r;
	ret->snapshot = arena_strdup(a, name);
	return ret->snapshot ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- memory on top of memory -------------------------------------------------------------- */

static int copy_range(int from, int to, char *chunk, off_t at, off_t end)
{
	while (at < end) {
		size_t want = end - at < (off_t) CHUNK ? (size_t) (end - at) : CHUNK;
		ssize_t n = pread(from, chunk, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (pwrite(to, chunk, (size_t) n, at) != n)
			return errno ? -errno : -EIO;
		at += n;
	}
	return 0;
}

/* What is no hole in `from` lies in `to` afterwards; they are of one length. */
static int lay_over(int from, int to, char *chunk)
{
	off_t at = 0, end;
	int r = 0;

	while (r == 0 && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		r = end < 0 ? -errno : copy_range(from, to, chunk, at, end);
		at = end;
	}
	return r < 0 ? r : errno == ENXIO ? 0 : -errno;
}

static int lay(const char *name, int state_fd, int to, uint64_t *size, struct err *e)
{
	auto_free char *chunk = malloc(CHUNK);
	auto_fd int from = openat(state_fd, SNAPSHOT_MEMORY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int r = chunk ? 0 : -ENOMEM;

	if (r == 0 && (from < 0 || fstat(from, &st) < 0))
		r = -errno;
	if (r == 0 && *size && (uint64_t) st.st_size != *size)
		return err_set(e, ERR_INVALID, EINVAL,
			       "snapshot '%s' has another size of memory than what is on top of it",
			       name);
	if (r == 0 && !*size && ftruncate(to, st.st_size) < 0)
		r = -errno;
	r = r < 0 ? r : lay_over(from, to, chunk);
	if (r < 0)
		return err_sys(e, -r, "the memory of snapshot '%s'", name);
	*size = (uint64_t) st.st_size;
	return 0;
}

/* The whole memory, from that of the lowest to its own. */
static int lay_all(struct svc *s, const char *name, int to, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	const char *chain[CHAIN_MAX];
	uint64_t size = 0;
	size_t n = 0;
	int r = 0;

	for (const char *at = name; r == 0 && at; n++) {
		auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;

		if (n == CHAIN_MAX)
			return err_set(e, ERR_INVALID, ELOOP,
				       "snapshot '%s': too many are on top of each other", name);
		chain[n] = at;
		r = snapshot_open(s, at, &a, &o, e);
		at = r < 0 ? NULL : o.kept.base;
	}
	while (r == 0 && n-- > 0) {
		auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;

		r = snapshot_open(s, chain[n], &a, &o, e);
		r = r < 0 ? r : lay(chain[n], o.state_fd, to, &size, e);
	}
	return r;
}

/*
 * A snapshot that is on top of others as a whole one, in the part: the same files but for the
 * memory.
 */
static int make_whole(struct svc *s, const char *name, const struct snapshot_opened *o,
		      const struct snapshot_part *p, struct err *e)
{
	auto_fd int to = FD_NONE;
	auto_dir DIR *d = dir_open(o->state_fd, ".");

	if (!d)
		return err_sys(e, errno, "snapshot '%s'", name);
	for (struct dirent *de; (de = dir_next(d));) {
		if (streq(de->d_name, SNAPSHOT_MEMORY) || streq(de->d_name, SNAPSHOT_FILES))
			continue;
		if (linkat(o->state_fd, de->d_name, p->state_fd, de->d_name, 0) < 0)
			return err_sys(e, errno, "snapshot '%s'", name);
	}
	to = openat(p->state_fd, SNAPSHOT_MEMORY, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return to < 0 ? err_sys(e, errno, "the memory of snapshot '%s'", name)
		      : lay_all(s, name, to, e);
}

/* ---- a workload from one ------------------------------------------------------------------ */

static int start(struct svc *s, const struct kept *k, int files_fd, int state_fd, const char *id,
		 const struct attach_options *attach, struct shim_conn *ret_conn,
		 int *ret_exit_code, struct err *e)
{
	const struct engine_ops *ops = engine_find(k->isolation);
	/* Another container cannot have the connections of the first. */
	const struct checkpoint_options how = { .tcp_close = !ops || !ops->own_kernel };
	auto_fd int files = openat(files_fd, SNAPSHOT_FILES,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct restore_point from = { .dir_fd = state_fd, .files_fd = files, .options = &how };

	if (files < 0)
		return err_sys(e, errno, "the files of the snapshot");
	return workload_start_from(s, id, &from, attach, ret_conn, ret_exit_code, e);
}

int snapshot_start(struct svc *s, const char *name, const char *id,
		   const struct attach_options *attach, struct shim_conn *ret_conn,
		   int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_snapshot struct snapshot_opened o = SNAPSHOT_OPENED_INIT;
	auto_snapshot_part struct snapshot_part p = SNAPSHOT_PART_INIT;
	int r = snapshot_open(s, name, &a, &o, e);

	if (ret_exit_code)
		*ret_exit_code = 125;
	if (r == 0 && o.kept.base) {
		r = snapshot_part_open(s, &p, e);
		r = r < 0 ? r : make_whole(s, name, &o, &p, e);
	}
	r = r < 0 ? r
		  : start(s, &o.kept, o.state_fd, o.kept.base ? p.state_fd : o.state_fd, id, attach,
			  ret_conn, ret_exit_code, e);
	return r < 0 ? err_ctx(e, "from snapshot '%s'", name) : 0;
}

int workload_clone(struct svc *s, const char *ref, const char *const *names, size_t names_n,
		   const struct snapshot_make *o, void (*each)(void *ctx, const char *id),
		   void *ctx, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_snapshot_part struct snapshot_part p = SNAPSHOT_PART_INIT;
	struct workload_record w, other;
	struct workload_config c;
	struct err ignored;
	struct kept k;
	int r = svc_store(s, e);

	for (size_t i = 0; r == 0 && i < names_n; i++) {
		if (!config_name_ok(names[i]))
			return err_set(e, ERR_INVALID, EINVAL,
				       "'%.60s' is no name: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are "
				       "allowed",
				       names[i]);
		/* Before the workload is held up for it. */
		if (store_workload_find(s->store, names[i], &a, &other, &ignored) == 0 &&
		    streq(other.name, names[i]))
			return err_set(e, ERR_CONFLICT, EEXIST,
				       "the name '%s' is in use by workload %.12s", names[i],
				       other.id);
	}
	r = r < 0 ? r : snapshot_take(s, ref, o, &p, &a, &w, &k, e);
	r = r < 0 ? r : config_of(s, &k, &a, &c, e);
	for (size_t i = 0; r == 0 && i < names_n; i++) {
		char id[WORKLOAD_ID_MAX];

		c.name = names[i];
		c.snapshot = NULL;
		r = workload_create(s, &c, false, NULL, id, e);
		if (r < 0)
			break;
		r = start(s, &k, p.state_fd, p.state_fd, id, NULL, NULL, NULL, e);
		if (r == 0)
			each(ctx, id);
		else /* the first failure counts */
			(void) workload_rm(s, id, true, false, &ignored);
	}
	return r < 0 ? err_ctx(e, "clone '%s'", ref) : 0;
}

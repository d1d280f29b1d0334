/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/engine.h"
#include "svc/config.h"
#include "svc/heal.h"
#include "svc/running.h"
#include "svc/supervise.h"
#include "svc/workload.h"
#include "sys/spawn.h"
#include "sys/tree.h"

#define PART_MAX 256 /* bytes of the name of what is being written */

/* The directory that holds a workload's checkpoints. Gives. -ENOENT: there is none yet. */
static int open_holder(struct svc *s, const char *id, const char *dir, bool make)
{
	struct path_text own = paths_checkpoints(&s->paths, id);
	const char *path = dir && *dir ? dir : own.z;
	int fd;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int check_name(const char *name, struct err *e)
{
	if (config_name_ok(name))
		return 0;
	return err_set(e, ERR_INVALID, EINVAL,
		       "checkpoint '%.60s': only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed in a name",
		       name);
}

static int find(struct svc *s, const char *ref, struct arena *a, struct workload_record *w,
		struct err *e)
{
	return svc_store(s, e) < 0 ? -1 : heal_find(s, ref, a, w, e);
}

int checkpoint_program(const char *isolation, char path[static SPAWN_PATH_MAX], struct err *e)
{
	const struct engine_ops *ops = engine_find(isolation);

	path[0] = '\0';
	if (ops && ops->own_kernel)
		return 0;
	if (spawn_find("criu", path) == 0)
		return 0;
	return err_set(e, ERR_UNSUPPORTED, ENOENT,
		       "checkpoint and restore need CRIU: there is no program 'criu' in PATH "
		       "(install criu)");
}

int checkpoint_dump(struct svc *s, const struct workload_record *w,
		    const struct checkpoint_options *o, int dir_fd, struct err *e)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	char program[SPAWN_PATH_MAX];
	struct shim_checkpoint m = { .program = program,
				     .leave_running = o->leave_running,
				     .tcp_established = o->tcp_established,
				     .ext_unix_sk = o->ext_unix_sk,
				     .file_locks = o->file_locks,
				     .link_remap = o->link_remap,
				     .dir_fd = dir_fd,
				     .files = o->files,
				     .diff = o->diff };
	int code, r = checkpoint_program(w->isolation, program, e);

	r = r < 0 ? r : running_connect(s, w->id, &conn, e);
	r = r < 0 ? r : supervise_checkpoint(&conn, &m, e);
	if (r < 0 || o->leave_running)
		return r;
	return workload_wait(s, w->id, WAIT_NOT_RUNNING, &code, e);
}

/* Into a directory beside it, which then takes the name: no half one is ever seen. */
static int dump_named(struct svc *s, const struct workload_record *w,
		      const struct checkpoint_options *o, int holder, struct err *e)
{
	const char *name = o->name ? o->name : CHECKPOINT_DEFAULT;
	char part[PART_MAX];
	auto_fd int fd = FD_NONE;
	int r;

	if (o->name && faccessat(holder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "checkpoint with name %s already exists for container %s", name,
			       w->name);
	(void) snprintf(part, sizeof(part), ".%s.part", name);
	r = tree_unlink(holder, part);
	if (r == 0 && mkdirat(holder, part, 0700) < 0)
		r = -errno;
	fd = r < 0 ? r : openat(holder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, r < 0 ? -r : errno, "make the checkpoint '%s'", name);
	r = checkpoint_dump(s, w, o, fd, e);
	if (r == 0 && !o->name)
		(void) tree_unlink(holder, name); /* what resists makes the rename fail */
	if (r == 0 && syscall(SYS_renameat2, holder, part, holder, name, 1 /* NOREPLACE */) < 0)
		r = err_sys(e, errno, "keep the checkpoint '%s'", name);
	if (r < 0)
		(void) tree_unlink(holder, part);
	return r;
}

int checkpoint_possible(const struct workload_record *w, const struct checkpoint_options *o,
			const char *lost, struct err *e)
{
	if (w->status.shim_pid == 0)
		return err_set(e, ERR_CONFLICT, ESRCH,
			       "cannot checkpoint workload '%s': it is not running", w->name);
	if (w->auto_remove && !o->leave_running)
		return err_set(e, ERR_CONFLICT, EINVAL,
			       "workload '%s' is removed when it ends (--rm), %s: leave it running "
			       "(--leave-running)",
			       w->name, lost);
	return 0;
}

int workload_checkpoint(struct svc *s, const char *ref, const struct checkpoint_options *o,
			struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_fd int holder = FD_NONE;
	struct workload_record w;
	int r = o->name ? check_name(o->name, e) : 0;

	r = r < 0 ? r : find(s, ref, &a, &w, e);
	r = r < 0 ? r : checkpoint_possible(&w, o, "and its checkpoint with it", e);
	if (r < 0)
		return r;
	holder = open_holder(s, w.id, o->dir, true);
	if (holder < 0)
		return err_sys(e, -holder, "the directory for checkpoints%s%s", o->dir ? " " : "",
			       o->dir ? o->dir : "");
	return dump_named(s, &w, o, holder, e);
}

/* The disk that the workload had, if it had one. */
static int put_disk(int dir_fd, int dir, const char *id, struct err *e)
{
	static const char part[] = ".disk.part";
	auto_fd int from = openat(dir_fd, SNAPSHOT_DISK,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_fd int to = FD_NONE;
	struct stat st;
	int r = 0;

	if (from < 0 && errno == ENOENT)
		return 0;
	if (from < 0 || fstat(from, &st) < 0 || (unlinkat(dir, part, 0) < 0 && errno != ENOENT))
		return err_sys(e, errno, "the disk of the checkpoint");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "the disk of the checkpoint is no file");
	to = openat(dir, part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = to < 0 ? -errno : tree_copy_data(from, to, (uint64_t) st.st_size);
	if (r == 0 && renameat(dir, part, dir, SNAPSHOT_DISK) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "put the checkpoint's disk in the place of that of '%.12s'",
			       id)
		     : 0;
}

/* What it had written. A start that failed may have left some of it. */
static int put_upper(int files_fd, int dir, const char *id, struct err *e)
{
	auto_fd int to = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_dir DIR *d = to < 0 ? NULL : dir_open(to, ".");
	int r = d ? 0 : -errno;

	for (struct dirent *de; r == 0 && (de = dir_next(d));)
		r = tree_unlink(to, de->d_name);
	r = r < 0 ? r : tree_copy(files_fd, to);
	return r < 0 ? err_sys(e, -r, "put the files of the snapshot into those of '%.12s'", id)
		     : 0;
}

int checkpoint_put_files(struct svc *s, const struct restore_point *from, const char *id,
			 struct err *e)
{
	struct path_text path = paths_workload(&s->paths, id);
	auto_fd int dir = open(path.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir < 0)
		return err_sys(e, errno, "open '%s'", path.z);
	r = from->files_fd < 0 ? 0 : put_upper(from->files_fd, dir, id, e);
	return r < 0 ? r : put_disk(from->dir_fd, dir, id, e);
}

int workload_restore(struct svc *s, const char *ref, const struct checkpoint_options *o,
		     const struct attach_options *attach, struct shim_conn *ret_conn,
		     int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	const char *name = o->name ? o->name : CHECKPOINT_DEFAULT;
	struct restore_point from = { .dir_fd = FD_NONE, .files_fd = FD_NONE, .options = o };
	auto_fd int holder = FD_NONE, dir = FD_NONE;
	struct workload_record w;
	int r = check_name(name, e);

	if (ret_exit_code)
		*ret_exit_code = 125;
	r = r < 0 ? r : find(s, ref, &a, &w, e);
	if (r < 0)
		return r;
	if (w.status.shim_pid != 0)
		return err_set(e, ERR_CONFLICT, EALREADY,
			       "workload '%s' runs: stop it before it is restored", w.name);
	holder = open_holder(s, w.id, o->dir, false);
	dir = holder < 0 ? holder
			 : openat(holder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "checkpoint %s does not exist for container %s", name, w.name);
	from.dir_fd = dir;
	return workload_start_from(s, w.id, &from, attach, ret_conn, ret_exit_code, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

int workload_checkpoints(struct svc *s, const char *ref, const char *dir, struct arena *a,
			 struct checkpoint_names *ret, struct err *e)
{
	struct checkpoint_names all = {};
	struct workload_record w;
	auto_fd int holder = FD_NONE;
	auto_dir DIR *d = NULL;
	int r = find(s, ref, a, &w, e);

	if (r < 0)
		return r;
	*ret = all;
	holder = open_holder(s, w.id, dir, false);
	if (holder == -ENOENT && !dir)
		return 0;
	d = holder < 0 ? NULL : dir_open(holder, ".");
	if (!d)
		return err_sys(e, holder < 0 ? -holder : errno, "the directory for checkpoints");
	for (struct dirent *de; (de = dir_next(d));) {
		const char **slot;

		if (!config_name_ok(de->d_name)) /* also what is being written */
			continue;
		slot = arena_push(a, &all.v, &all.n, sizeof(*slot));
		if (!slot || !(*slot = arena_strdup(a, de->d_name)))
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	if (all.n > 1)
		qsort(all.v, all.n, sizeof(*all.v), by_name);
	*ret = all;
	return 0;
}

int workload_checkpoint_rm(struct svc *s, const char *ref, const char *name, const char *dir,
			   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_fd int holder = FD_NONE;
	struct workload_record w;
	int r = check_name(name, e);

	r = r < 0 ? r : find(s, ref, &a, &w, e);
	if (r < 0)
		return r;
	holder = open_holder(s, w.id, dir, false);
	if (holder < 0 || faccessat(holder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "checkpoint %s does not exist for container %s", name, w.name);
	r = tree_unlink(holder, name);
	return r < 0 ? err_sys(e, -r, "remove the checkpoint '%s'", name) : 0;
}

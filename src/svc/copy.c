/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "image/worker.h"
#include "svc/heal.h"
#include "svc/tree_end.h"

/* What the child that packs tells when it is done. */
struct packed {
	int result;
	uint64_t bytes;
	struct err e;
};

static int pack_result(int fd, pid_t pid, uint64_t *ret_bytes, struct err *e)
{
	struct packed p;
	ssize_t n;
	int status;

	do
		n = read(fd, &p, sizeof(p));
	while (n < 0 && errno == EINTR);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t) sizeof(p))
		return err_set(e, ERR_REMOTE, EPIPE, "the process that reads the files died");
	if (p.result < 0) {
		*e = p.e;
		return p.result;
	}
	*ret_bytes = p.bytes;
	return 0;
}

/*
 * Pack and unpack at once with a pipe between them: a child of this process has the packing done.
 * It touches no store: a database is not to be carried over a fork.
 */
static int pump(struct pack_request *from, struct unpack_request *to, uint64_t *ret_bytes,
		struct err *e)
{
	int data[2], told[2];
	struct unpack_result unpacked;
	struct err packed_error;
	pid_t pid;
	int r, packed;

	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	if (pipe2(told, O_CLOEXEC) < 0) {
		r = err_sys(e, errno, "make a pipe");
		close_fd(&data[0]);
		close_fd(&data[1]);
		return r;
	}
	pid = fork();
	if (pid == 0) {
		struct packed p = { 0 };
		struct unpack_result done;

		close_fd(&data[0]);
		from->out_fd = data[1];
		p.result = worker_pack(from, &done, &p.e);
		p.bytes = p.result < 0 ? 0 : done.tar_bytes;
		_exit(write(told[1], &p, sizeof(p)) == (ssize_t) sizeof(p) ? 0 : 1);
	}
	r = pid < 0 ? err_sys(e, errno, "fork") : 0;
	close_fd(&data[1]);
	close_fd(&told[1]);
	if (r == 0) {
		to->in_fd = data[0];
		r = worker_unpack(to, &unpacked, e);
	}
	close_fd(&data[0]); /* a packer that goes on writing is told by EPIPE */
	packed = pid < 0 ? r : pack_result(told[0], pid, ret_bytes, &packed_error);
	close_fd(&told[0]);
	if (packed < 0 && pid > 0 && (r == 0 || packed_error.sys != EPIPE)) {
		*e = packed_error; /* the cause; what the unpacker says follows from it */
		return packed;
	}
	return r;
}

/* Where the source's tree is unpacked, and what it is called there. */
struct target {
	int dir_fd;	  /* owned */
	const char *name; /* NULL: the content, under its own names */
};

static int choose(const struct tree_end *from, const struct tree_end *to,
		  const struct tree_root *to_root, const char *to_path, struct target *ret,
		  struct err *e)
{
	bool from_dir = S_ISDIR(from->st.st_mode), to_dir = to->found && S_ISDIR(to->st.st_mode);

	if (to_dir) {
		ret->name = from->content ? NULL : from->last;
		return tree_end_open_dir(to, false, to_root, &ret->dir_fd, e);
	}
	if (to->found && from_dir)
		return err_set(e, ERR_INVALID, ENOTDIR,
			       "cannot copy a directory over '%s', which is none", to_path);
	if (to->want_dir && !from_dir)
		return err_set(e, to->found ? ERR_INVALID : ERR_NOT_FOUND, ENOTDIR,
			       "'%s' must be a directory", to_path);
	ret->name = to->name;
	return tree_end_open_dir(to, true, to_root, &ret->dir_fd, e);
}

/* One of the two roots is NULL: this machine's. */
static int copy(const struct tree_end *from, const struct tree_root *from_root,
		const struct tree_end *to, const struct tree_root *to_root, const char *to_path,
		const struct copy_options *o, uint64_t *ret_bytes, struct err *e)
{
	struct target target = { .dir_fd = FD_NONE };
	struct pack_request pack = { .dir_fd = FD_NONE, .mtime_max = INT64_MAX };
	struct unpack_request unpack = { .copy_fd = FD_NONE,
					 .plain_tree = true,
					 .no_owner = !o->keep_owner };
	auto_fd int source = FD_NONE;
	int r = choose(from, to, to_root, to_path, &target, e);

	if (r < 0)
		return r;
	r = tree_end_open_dir(from, !S_ISDIR(from->st.st_mode), from_root, &source, e);
	if (!S_ISDIR(from->st.st_mode))
		pack.only = from->name;
	pack.dir_fd = source;
	pack.prefix = target.name;
	unpack.dir_fd = target.dir_fd;
	if (r == 0)
		r = pump(&pack, &unpack, ret_bytes, e);
	close_fd(&target.dir_fd);
	return r;
}

static int host_end(const char *path, bool follow, struct arena *a, struct tree_end *ret,
		    struct err *e)
{
	auto_fd int here = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char whole[4096];

	if (here < 0)
		return err_sys(e, errno, "open the current directory");
	/* Relative paths may lead out with "..": they are looked up from "/" as well. */
	if (path[0] != '/') {
		if (!getcwd(whole, sizeof(whole)))
			return err_sys(e, errno, "the current directory");
		path = arena_printf(a, "%s/%s", whole, path);
		close_fd(&here);
		here = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (!path || here < 0)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	return tree_end_find(here, path, follow, a, ret, e);
}

static int workload_end(struct svc *s, const char *ref, const char *path, bool follow,
			bool read_only, struct arena *a, struct tree_root *ret_root,
			struct tree_end *ret, struct err *e)
{
	struct workload_record w;
	int r = heal_find(s, ref, a, &w, e);

	if (r >= 0)
		r = tree_root(s, &w, read_only, ret_root, e);
	if (r >= 0 && tree_end_find(ret_root->fd, path, follow, a, ret, e) < 0)
		r = err_ctx(e, "in container %s", w.name);
	return r < 0 ? r : 0;
}

static int must_exist(const struct tree_end *t, const char *path, struct err *e)
{
	if (!t->found)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such file or directory: '%s'", path);
	if (t->want_dir && !S_ISDIR(t->st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR, "not a directory: '%s'", path);
	return 0;
}

int workload_copy_out(struct svc *s, const char *ref, const char *path, const char *to,
		      const struct copy_options *o, uint64_t *ret_bytes, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_tree_end struct tree_end from = TREE_END_INIT, target = TREE_END_INIT;
	int r = workload_end(s, ref, path, o->follow, true, &a, &root, &from, e);

	if (r == 0)
		r = must_exist(&from, path, e);
	if (r == 0)
		r = host_end(to, true, &a, &target, e);
	return r < 0 ? r : copy(&from, &root, &target, NULL, to, o, ret_bytes, e);
}

int workload_copy_in(struct svc *s, const char *local, const char *ref, const char *path,
		     const struct copy_options *o, uint64_t *ret_bytes, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_tree_end struct tree_end from = TREE_END_INIT, target = TREE_END_INIT;
	int r = host_end(local, o->follow, &a, &from, e);

	if (r == 0)
		r = must_exist(&from, local, e);
	if (r == 0)
		r = workload_end(s, ref, path, true, false, &a, &root, &target, e);
	return r < 0 ? r : copy(&from, NULL, &target, &root, path, o, ret_bytes, e);
}

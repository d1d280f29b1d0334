/* SPDX-License-Identifier: Apache-2.0 */
/* A workload's files as tar streams: docker's archive requests, export; and stat. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/auto.h"
#include "image/worker.h"
#include "svc/heal.h"
#include "svc/tree_end.h"
#include "svc/workload.h"

/* The workload's root and a place in it, which must be there. */
static int find(struct svc *s, const char *ref, const char *path, bool follow, bool read_only,
		struct arena *a, struct tree_root *ret_root, struct tree_end *ret, struct err *e)
{
	struct workload_record w;
	int r = heal_find(s, ref, a, &w, e);

	if (r >= 0)
		r = tree_root(s, &w, read_only, ret_root, e);
	if (r >= 0)
		r = tree_end_find(ret_root->fd, path, follow, a, ret, e);
	if (r >= 0 && !ret->found)
		r = err_set(e, ERR_NOT_FOUND, ENOENT, "no such file or directory in %s: '%s'",
			    w.name, path);
	return r < 0 ? r : 0;
}

int workload_path_stat(struct svc *s, const char *ref, const char *path, struct arena *a,
		       struct path_stat *ret, struct err *e)
{
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_tree_end struct tree_end t = TREE_END_INIT;
	int r = find(s, ref, path, false, true, a, &root, &t, e);
	char target[4096];
	ssize_t n = 0;

	if (r < 0)
		return r;
	if (S_ISLNK(t.st.st_mode))
		n = readlinkat(t.parent_fd, t.name, target, sizeof(target));
	if (n < 0)
		return err_sys(e, errno, "read the link '%s'", path);
	*ret = (struct path_stat){
		.name = arena_strdup(a, t.last),
		.size = (uint64_t) t.st.st_size,
		.mode = t.st.st_mode,
		.mtime = (nsec_t) t.st.st_mtim.tv_sec * NSEC_PER_SEC + t.st.st_mtim.tv_nsec,
		.link_target = n ? arena_dup(a, (struct str){ target, (size_t) n }) : NULL,
	};
	return 0;
}

int workload_archive_out(struct svc *s, const char *ref, const char *path, bool follow, int out_fd,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct pack_request pack = { .out_fd = out_fd, .mtime_max = INT64_MAX };
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_tree_end struct tree_end t = TREE_END_INIT;
	auto_fd int dir = FD_NONE;
	struct unpack_result packed;
	int r = find(s, ref, path, follow, true, &a, &root, &t, e);

	if (r == 0)
		r = tree_end_open_dir(&t, !S_ISDIR(t.st.st_mode), &root, &dir, e);
	if (r == 0 && S_ISDIR(t.st.st_mode)) {
		pack.prefix = t.content || !*t.name ? NULL : t.last;
	} else if (r == 0) {
		pack.only = t.name;
		pack.prefix = t.last;
	}
	pack.dir_fd = dir;
	return r < 0 ? r : worker_pack(&pack, &packed, e);
}

int workload_archive_in(struct svc *s, const char *ref, const char *path,
			const struct archive_in_options *o, int in_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct unpack_request unpack = {
		.in_fd = in_fd, .copy_fd = FD_NONE, .plain_tree = true, .no_owner = !o->keep_owner
	};
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_tree_end struct tree_end t = TREE_END_INIT;
	auto_fd int dir = FD_NONE;
	struct unpack_result result;
	int r = find(s, ref, path, true, false, &a, &root, &t, e);

	if (r == 0 && !S_ISDIR(t.st.st_mode))
		r = err_set(e, ERR_INVALID, ENOTDIR, "'%s' is not a directory", path);
	if (r == 0)
		r = tree_end_open_dir(&t, false, &root, &dir, e);
	unpack.dir_fd = dir;
	return r < 0 ? r : worker_unpack(&unpack, &result, e);
}

int workload_export(struct svc *s, const char *ref, int out_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct pack_request pack = { .out_fd = out_fd, .mtime_max = INT64_MAX };
	struct workload_record w;
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_fd int dir = FD_NONE;
	struct unpack_result packed;
	int r = heal_find(s, ref, &a, &w, e);

	/* The layers, also while it runs: what is mounted on them belongs to others. */
	if (r >= 0)
		r = tree_layers(s, &w, &root, e);
	if (r >= 0)
		r = tree_root_dir(&root, &dir, e);
	if (r < 0)
		return r;
	pack.dir_fd = dir;
	return worker_pack(&pack, &packed, e);
}

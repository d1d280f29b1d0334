/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/json.h"
#include "fmt/shown.h"
#include "svc/workload.h"
#include "sys/tree.h"

#define PREPARE_WITHIN (300 * NSEC_PER_SEC)
#define ID_GIVEN_MIN   4 /* digits of an id that name it */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int open_kernels(struct svc *s, int *ret_fd, struct err *e)
{
	int r = paths_make(&s->paths, e);

	return r < 0 ? r : kernels_open(paths_kernels(&s->paths).z, ret_fd, e);
}

/* ---- ls ---- */

static int add_row(int kernels_fd, const struct kernel *k, bool used, struct arena *a,
		   struct kernel_rows *rows, struct err *e)
{
	struct kernel_row *row = arena_push(a, &rows->v, &rows->n, sizeof(*row));
	struct kernel_files f;
	struct stat st;

	if (!row)
		return no_memory(e);
	*row = (struct kernel_row){ .version = arena_strdup(a, k->version),
				    .path = arena_strdup(a, k->path),
				    .size = stat(k->path, &st) == 0 ? (uint64_t) st.st_size : 0,
				    .used = used,
				    .lacks = "" };
	if (kernel_prepared(kernels_fd, k, &f)) {
		row->id = arena_strdup(a, f.hex);
		row->bytes = f.record.vmlinux.size + f.record.initramfs.size;
		row->lacks = arena_strdup(a, f.record.lacks);
		kernel_files_fini(&f);
		if (!row->id || !row->lacks)
			return no_memory(e);
	}
	return row->version && row->path ? 0 : no_memory(e);
}

int svc_kernel_ls(struct svc *s, struct arena *a, struct kernel_rows *ret, struct err *e)
{
	auto_fd int fd = FD_NONE;
	struct kernel_rows rows = {};
	struct kernels list;
	struct kernel used;
	struct err none;
	bool any, seen = false;
	int r = open_kernels(s, &fd, e);

	if (r == 0)
		r = kernel_list(a, &list, e);
	if (r < 0)
		return r;
	any = kernel_pick(fd, NULL, &used, &none) ==
	      0; /* a choice that is gone is for `run` to tell */
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		bool is = any && streq(list.v[i].path, used.path);

		seen = seen || is;
		r = add_row(fd, &list.v[i], is, a, &rows, e);
	}
	if (r == 0 && any && !seen)
		r = add_row(fd, &used, true, a, &rows, e);
	if (r == 0)
		*ret = rows;
	return r;
}

/* ---- inspect ---- */

static void write_file(struct json_writer *w, const char *key, const struct prepared_file *f)
{
	char digest[DIGEST_TEXT_MAX];

	digest_text(&f->digest, digest);
	json_w_object(w, key);
	json_w_u64(w, "Size", f->size);
	json_w_string(w, "Digest", digest);
	json_w_end(w);
}

static void write_prepared(struct svc *s, struct json_writer *w, const struct kernel_files *f)
{
	struct str rest = str_of(f->record.lacks);
	char path[PATHS_FULL_MAX + DIGEST_HEX_MAX];

	(void) snprintf(path, sizeof(path), "%s/%s", paths_kernels(&s->paths).z, f->hex);
	json_w_object(w, "Prepared");
	json_w_string(w, "Id", f->hex);
	json_w_string(w, "Path", path);
	write_file(w, "Vmlinux", &f->record.vmlinux);
	write_file(w, "Initramfs", &f->record.initramfs);
	json_w_array(w, "Lacks");
	while (rest.n)
		json_w_str(w, NULL, str_cut(rest, ' ', &rest));
	json_w_end(w);
	json_w_end(w);
}

static bool is_row(const struct kernel_row *row, const char *ref)
{
	return streq(row->version, ref) || streq(row->path, ref) ||
	       (row->id && strlen(ref) >= ID_GIVEN_MIN && str_starts(str_of(row->id), ref));
}

int svc_kernel_inspect(struct svc *s, const char *ref, struct buf *ret_json, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 16 << 20);
	auto_fd int fd = FD_NONE;
	struct json_writer w = JSON_WRITER(ret_json);
	struct kernel_files files;
	struct kernel_rows rows;
	struct kernel k;
	size_t i = 0;
	int r = svc_kernel_ls(s, &a, &rows, e);

	if (r < 0)
		return r;
	while (i < rows.n && !is_row(&rows.v[i], ref))
		i++;
	if (i == rows.n)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such kernel: %s",
			       shown_of(str_of(ref)).z);
	r = open_kernels(s, &fd, e);
	if (r == 0)
		r = kernel_pick(fd, rows.v[i].path, &k, e);
	if (r < 0)
		return r;
	json_w_object(&w, NULL);
	json_w_string(&w, "Version", k.version);
	json_w_string(&w, "Path", k.path);
	json_w_string(&w, "Modules", k.modules);
	json_w_u64(&w, "Size", rows.v[i].size);
	json_w_bool(&w, "Used", rows.v[i].used);
	if (kernel_prepared(fd, &k, &files)) {
		write_prepared(s, &w, &files);
		kernel_files_fini(&files);
	} else {
		json_w_null(&w, "Prepared");
	}
	json_w_end(&w);
	return 0;
}

/* ---- use ---- */

int svc_kernel_use(struct svc *s, const char *ref, struct kernel *ret, struct err *e)
{
	auto_fd int fd = FD_NONE;
	auto_free char *path = NULL;
	struct kernel_files files;
	struct kernel k;
	int r = open_kernels(s, &fd, e);

	if (r < 0)
		return r;
	if (!ref) {
		r = kernel_choose(fd, NULL, e);
		return r < 0 ? r : kernel_pick(fd, NULL, ret, e);
	}
	if (strchr(ref, '/')) {
		path = realpath(ref, NULL);
		if (!path)
			return err_sys(e, errno, "kernel '%s'", shown_of(str_of(ref)).z);
	}
	r = kernel_pick(fd, path ? path : ref, &k, e);
	if (r == 0)
		r = kernel_prepare(fd, &k, clock_deadline(PREPARE_WITHIN), &files, e);
	if (r < 0)
		return r;
	if (!k.version[0])
		memcpy(k.version, files.record.version, sizeof(k.version));
	kernel_files_fini(&files);
	r = kernel_choose(fd, path ? path : ref, e);
	if (r == 0)
		*ret = k;
	return r;
}

/* ---- rm, prune ---- */

/* Nobody makes one meanwhile. Machines that run keep their files by descriptor. */
static int lock(int kernels_fd, int *ret_fd, struct err *e)
{
	auto_fd int fd = openat(kernels_fd, PREPARED_LOCK,
				O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, errno, "lock the prepared kernels");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "lock the prepared kernels");
	*ret_fd = take_fd(&fd);
	return 0;
}

struct ids {
	const char **v;
	size_t n;
};

static int list_prepared(int kernels_fd, struct arena *a, struct ids *ret, struct err *e)
{
	auto_dir DIR *d = dir_open(kernels_fd, ".");
	struct dirent *entry;
	struct digest unused;

	while (d && (entry = dir_next(d))) {
		if (digest_parse_hex(str_of(entry->d_name), &unused) < 0)
			continue;
		const char **slot = arena_push(a, &ret->v, &ret->n, sizeof(*slot));
		if (!slot || !(*slot = arena_strdup(a, entry->d_name)))
			return no_memory(e);
	}
	return 0;
}

/* Gone by one rename: what is half removed is never found. */
static int remove_one(int kernels_fd, const char *id, struct err *e)
{
	static const char aside[] = PREPARED_NEW "gone";
	int r = tree_unlink(kernels_fd, aside);

	if (r == 0 && renameat(kernels_fd, id, kernels_fd, aside) < 0)
		r = -errno;
	if (r == 0)
		r = tree_unlink(kernels_fd, aside);
	return r < 0 ? err_sys(e, -r, "remove the prepared kernel %.12s", id) : 0;
}

static bool named(int kernels_fd, const char *id, const char *ref)
{
	auto_fd int dirfd = openat(kernels_fd, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(PREPARED_RECORD_MAX);
	struct prepared p;

	if (strlen(ref) >= ID_GIVEN_MIN && str_starts(str_of(id), ref))
		return true;
	return dirfd >= 0 && file_read(dirfd, PREPARED_RECORD, &text) == 0 &&
	       prepared_read(buf_str(&text), &p) == 0 &&
	       (streq(p.version, ref) || streq(p.kernel, ref));
}

int svc_kernel_rm(struct svc *s, const char *ref, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 1 << 20);
	auto_fd int fd = FD_NONE, locked = FD_NONE;
	struct ids ids = {};
	size_t removed = 0;
	int r = open_kernels(s, &fd, e);

	if (r == 0)
		r = lock(fd, &locked, e);
	if (r == 0)
		r = list_prepared(fd, &a, &ids, e);
	for (size_t i = 0; r == 0 && i < ids.n; i++) {
		if (!named(fd, ids.v[i], ref))
			continue;
		r = remove_one(fd, ids.v[i], e);
		removed++;
	}
	if (r == 0 && !removed)
		r = err_set(e, ERR_NOT_FOUND, ENOENT, "no prepared kernel: %s",
			    shown_of(str_of(ref)).z);
	return r;
}

/* Whether a kernel of the host, with the agent of this program, is prepared in there. */
static bool is_current(const struct kernel_rows *rows, const char *id)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->v[i].id && streq(rows->v[i].id, id))
			return true;
	return false;
}

int svc_kernel_prune(struct svc *s, bool all, struct arena *a, struct prune_result *ret,
		     struct err *e)
{
	auto_fd int fd = FD_NONE, locked = FD_NONE;
	struct prune_result got = {};
	struct kernel_rows rows = {};
	struct ids ids = {};
	int r = open_kernels(s, &fd, e);

	if (r == 0)
		r = lock(fd, &locked, e);
	if (r == 0 && !all)
		r = svc_kernel_ls(s, a, &rows, e);
	if (r == 0)
		r = list_prepared(fd, a, &ids, e);
	for (size_t i = 0; r == 0 && i < ids.n; i++) {
		uint64_t bytes = 0;

		if (is_current(&rows, ids.v[i]))
			continue;
		if (tree_size(fd, ids.v[i], &bytes) < 0)
			bytes = 0;
		r = remove_one(fd, ids.v[i], e);
		if (r < 0)
			return r;
		const char **slot = arena_push(a, &got.names, &got.n, sizeof(*slot));
		if (!slot)
			return no_memory(e);
		*slot = ids.v[i];
		got.bytes += bytes;
	}
	if (r == 0)
		*ret = got;
	return r;
}

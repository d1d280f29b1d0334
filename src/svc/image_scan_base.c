/* SPDX-License-Identifier: Apache-2.0 */
/* The data bases of advisories: imported, listed, removed, opened for a scan. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/distro.h"
#include "fmt/shown.h"
#include "image/content.h"
#include "image/worker.h"
#include "svc/image_scan.h"

#define HOW "import one: atoll image scan-db import NAME FILE (see its --help for what to fetch)"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static bool name_ok(const char *name)
{
	size_t n = strspn(name,
			  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && !name[n] && n <= SCAN_BASE_NAME_MAX && name[0] != '.' && name[0] != '-';
}

static int open_dir(struct svc *s, bool make, int *ret_fd, struct err *e)
{
	struct path_text path = paths_advisories(&s->paths);

	if (make && mkdir(path.z, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make %s", path.z);
	*ret_fd = open(path.z, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 0;
	*ret_fd = FD_NONE;
	return errno == ENOENT && !make ? 0 : err_sys(e, errno, "open %s", path.z);
}

/* debsecan names its feeds by their release: .../release/1/bookworm. */
static const char *guess_release(const struct scan_base_import *req)
{
	const char *slash = strrchr(req->path, '/');
	const struct distro_release *known =
		distro_by_codename("debian", str_of(slash ? slash + 1 : req->path));

	if (!known && req->name)
		known = distro_by_codename("debian", str_of(req->name));
	return req->release ? req->release : known ? known->codename : NULL;
}

/* Into an open file. */
static int advise(const struct scan_base_import *req, int out_fd, uint64_t *ret_n, struct err *e)
{
	auto_fd int own = FD_NONE;
	struct advise_request q = { .in_fd = STDIN_FILENO,
				    .dir_fd = FD_NONE,
				    .out_fd = out_fd,
				    .release = guess_release(req) };
	struct stat st;
	int r;

	if (!streq(req->path, "-")) {
		own = open(req->path, O_RDONLY | O_CLOEXEC);
		if (own < 0 || fstat(own, &st) < 0)
			return err_sys(e, errno, "open %s", req->path);
		q.in_fd = S_ISDIR(st.st_mode) ? FD_NONE : own;
		q.dir_fd = S_ISDIR(st.st_mode) ? own : FD_NONE;
	}
	r = worker_advise(&q, ret_n, e);
	return r < 0 ? err_ctx(e, "%s", shown_of(str_of(req->path)).z) : 0;
}

int scan_base_import(struct svc *s, const struct scan_base_import *req, uint64_t *ret_advisories,
		     struct err *e)
{
	auto_content struct content c = { .layers_fd = FD_NONE,
					  .blobs_fd = FD_NONE,
					  .tmp_fd = FD_NONE };
	auto_fd int dir = FD_NONE, fd = FD_NONE;
	char tmp[CONTENT_NAME_MAX];
	int r;

	if (!name_ok(req->name))
		return err_set(
			e, ERR_INVALID, EINVAL,
			"'%s' is no name for a data base: letters, digits, '.', '_' and '-', "
			"at most %d",
			shown_of(str_of(req->name)).z, SCAN_BASE_NAME_MAX);
	r = svc_store(s, e);
	r = r < 0 ? r : content_open(&c, s->store, CONTENT_ADD, e); /* tmp is not swept meanwhile */
	r = r < 0 ? r : open_dir(s, true, &dir, e);
	if (r < 0)
		return r;
	fd = content_tmp_file(&c, tmp, e);
	if (fd < 0)
		return fd;
	r = advise(req, fd, ret_advisories, e);
	if (r == 0 &&
	    (fsync(fd) < 0 || renameat(c.tmp_fd, tmp, dir, req->name) < 0 || fsync(dir) < 0))
		r = err_sys(e, errno, "keep the data base '%s'", req->name);
	if (r < 0)
		content_tmp_drop(&c, tmp);
	return r;
}

static int count_lines(int fd, uint64_t size, uint64_t *ret_n)
{
	const char *p, *at;
	uint64_t n = 0;

	if (!size)
		return -EINVAL;
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	for (at = p; (at = memchr(at, '\n', size - (size_t) (at - p))); at++)
		n++;
	(void) munmap((void *) (uintptr_t) p, size);
	*ret_n = n ? n - 1 : 0; /* but for the head */
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct scan_base_info *) a)->name,
		      ((const struct scan_base_info *) b)->name);
}

int scan_base_list(struct svc *s, struct arena *a, struct scan_base_info **ret, size_t *ret_n,
		   struct err *e)
{
	struct scan_base_info *v = NULL;
	auto_fd int dir = FD_NONE;
	struct dirent *entry;
	size_t n = 0;
	int r = open_dir(s, false, &dir, e);

	if (r < 0)
		return r;
	auto_dir DIR *d = dir < 0 ? NULL : dir_open(dir, ".");
	while (d && (entry = dir_next(d))) {
		auto_fd int fd = openat(dir, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		struct scan_base_info one = { .name = arena_strdup(a, entry->d_name) }, *slot;
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			continue; /* removed meanwhile */
		one.size = (uint64_t) st.st_size;
		one.imported = st.st_mtim.tv_sec * NSEC_PER_SEC;
		if (count_lines(fd, one.size, &one.advisories) < 0)
			one.advisories = 0;
		slot = arena_push(a, &v, &n, sizeof(*v));
		if (!slot || !one.name)
			return no_memory(e);
		*slot = one;
	}
	if (n)
		qsort(v, n, sizeof(*v), by_name);
	*ret = v;
	*ret_n = n;
	return 0;
}

int scan_base_remove(struct svc *s, const char *name, struct err *e)
{
	auto_fd int dir = FD_NONE;
	int r = name_ok(name) ? open_dir(s, false, &dir, e) : 0;

	if (r < 0)
		return r;
	if (dir >= 0 && unlinkat(dir, name, 0) == 0)
		return 0;
	if (dir >= 0 && errno != ENOENT)
		return err_sys(e, errno, "remove the data base '%s'", name);
	return err_set(e, ERR_NOT_FOUND, ENOENT, "no data base of advisories is called '%s'",
		       shown_of(str_of(name)).z);
}

/* ---- for a scan ---- */

static int too_many(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, E2BIG, "more than %d data bases of advisories",
		       OCI_LAYERS_MAX);
}

static int open_imported(struct svc *s, struct scan_bases *b, struct err *e)
{
	auto_fd int dir = FD_NONE;
	struct dirent *entry;
	int r = open_dir(s, false, &dir, e);

	if (r < 0)
		return r;
	auto_dir DIR *d = dir < 0 ? NULL : dir_open(dir, ".");
	while (d && (entry = dir_next(d))) {
		auto_fd int fd = openat(dir, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (b->n == OCI_LAYERS_MAX)
			return too_many(e);
		nsec_t at = st.st_mtim.tv_sec * NSEC_PER_SEC;
		if (!b->oldest || at < b->oldest)
			b->oldest = at;
		b->fds[b->n++] = take_fd(&fd);
	}
	return b->n ? 0
		    : err_set(e, ERR_NOT_FOUND, ENOENT,
			      "there is no data base of advisories: " HOW);
}

int scan_bases_open(struct svc *s, const char *const *paths, size_t n, const char *release,
		    struct scan_bases *ret, struct err *e)
{
	struct scan_bases b = { .n = 0 };
	int r = n > OCI_LAYERS_MAX ? too_many(e) : 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct scan_base_import req = { .path = paths[i], .release = release };
		uint64_t advisories;
		int fd = memfd_create("advisories", MFD_CLOEXEC);

		if (fd < 0) {
			r = err_sys(e, errno, "make a data base");
			break;
		}
		b.fds[b.n++] = fd;
		r = advise(&req, fd, &advisories, e);
	}
	if (r == 0 && n == 0)
		r = open_imported(s, &b, e);
	if (r < 0)
		scan_bases_close(&b);
	else
		*ret = b;
	return r;
}

void scan_bases_close(struct scan_bases *b)
{
	while (b->n)
		(void) close(b->fds[--b->n]);
}

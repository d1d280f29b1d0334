/* SPDX-License-Identifier: Apache-2.0 */
#include "image/content.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "image/hash.h"
#include "store/image.h"
#include "sys/tree.h"

#define TMP_PREFIX "image-"

static int open_dir(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, errno, "open %s", path) : fd;
}

/*
 * Layers are made in tmp, each a tree of its own: ext4's flag for that spreads them over the disk.
 * Without it they all crowd where the last one was deleted, and ext4 steps over each inode deleted
 * within the last minutes for each one it allocates. Other file systems refuse the flag: fine.
 */
static void spread_trees(int tmp_fd)
{
	int flags;

	if (ioctl(tmp_fd, FS_IOC_GETFLAGS, &flags) < 0 || flags & FS_TOPDIR_FL)
		return;
	flags |= FS_TOPDIR_FL;
	(void) ioctl(tmp_fd, FS_IOC_SETFLAGS, &flags);
}

int content_open(struct content *c, struct store *s, enum content_use use, struct err *e)
{
	struct path_text layers = paths_layers(&s->paths), blobs = paths_blobs(&s->paths);
	struct path_text tmp = paths_tmp(&s->paths);
	int r = 0;

	*c = (struct content){
		.store = s, .layers_fd = FD_NONE, .blobs_fd = FD_NONE, .tmp_fd = FD_NONE
	};
	c->layers_fd = open_dir(layers.z, e);
	c->blobs_fd = c->layers_fd < 0 ? FD_NONE : open_dir(blobs.z, e);
	c->tmp_fd = c->blobs_fd < 0 ? FD_NONE : open_dir(tmp.z, e);
	if (c->tmp_fd < 0) {
		content_close(c);
		return e->sys ? -e->sys : -EIO;
	}
	if (use == CONTENT_READ)
		return 0;
	if (use == CONTENT_ADD)
		spread_trees(c->tmp_fd);
	do
		r = flock(c->layers_fd, use == CONTENT_ADD ? LOCK_SH : LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		r = errno == EWOULDBLOCK
			    ? err_set(e, ERR_CONFLICT, EBUSY, "images are being added right now")
			    : err_sys(e, errno, "lock %s", layers.z);
		content_close(c);
	}
	return r;
}

void content_close(struct content *c)
{
	close_fd(&c->layers_fd);
	close_fd(&c->blobs_fd);
	close_fd(&c->tmp_fd);
}

void content_tmp_name(struct content *c, const char *what, char ret_name[static CONTENT_NAME_MAX])
{
	/* The process holds the content while the name is in use: no other has this pid. Those in
	 * other pid namespaces may: O_EXCL and mkdir tell. */
	(void) snprintf(ret_name, CONTENT_NAME_MAX, TMP_PREFIX "%d-%llx-%u-%s", (int) getpid(),
			(unsigned long long) clock_mono(), c->count++, what);
}

int content_tmp_file(struct content *c, char ret_name[static CONTENT_NAME_MAX], struct err *e)
{
	int fd;

	content_tmp_name(c, "blob", ret_name);
	fd = openat(c->tmp_fd, ret_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(e, errno, "create a file in %s", paths_tmp(&c->store->paths).z)
		      : fd;
}

int content_part_open(struct content *c, const struct digest *d,
		      char ret_name[static CONTENT_NAME_MAX], uint64_t *ret_bytes, struct err *e)
{
	char hex[DIGEST_HEX_MAX];
	struct stat st;
	int fd;

	digest_hex(d, hex);
	(void) snprintf(ret_name, CONTENT_NAME_MAX, TMP_PREFIX "part-%s", hex);
	*ret_bytes = 0;
	fd = openat(c->tmp_fd, ret_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, errno, "create a file in %s", paths_tmp(&c->store->paths).z);
	/* Another image with this layer is being fetched: that one has a file of its own. Or it has
	 * just come to its end, and the name is another file's. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0) {
		(void) close(fd);
		return content_tmp_file(c, ret_name, e);
	}
	*ret_bytes = (uint64_t) st.st_size;
	return fd;
}

int content_tmp_link(struct content *c, const char *name, char ret_name[static CONTENT_NAME_MAX],
		     struct err *e)
{
	content_tmp_name(c, "blob", ret_name);
	if (linkat(c->tmp_fd, name, c->tmp_fd, ret_name, 0) < 0)
		return err_sys(e, errno, "link %s", name);
	return 0;
}

void content_tmp_drop(struct content *c, const char *name)
{
	if (name[0])
		(void) tree_unlink(c->tmp_fd, name);
}

int content_blob_keep(struct content *c, const char *tmp_name, const struct digest *d,
		      struct err *e)
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(d, hex);
	if (renameat(c->tmp_fd, tmp_name, c->blobs_fd, hex) < 0)
		return err_sys(e, errno, "keep blob %s", hex);
	return 0;
}

int content_blob_put(struct content *c, struct str text, struct digest *ret_d, struct err *e)
{
	struct digest d = hash_of(text);
	char hex[DIGEST_HEX_MAX];
	int r;

	digest_hex(&d, hex);
	r = file_replace(c->blobs_fd, hex, text, 0600, false);
	if (r < 0)
		return err_sys(e, -r, "write blob %s", hex);
	*ret_d = d;
	return 0;
}

int content_blob_open(struct content *c, const struct digest *d, uint64_t *ret_size, struct err *e)
{
	char hex[DIGEST_HEX_MAX];
	struct stat st;
	int fd, r;

	digest_hex(d, hex);
	fd = openat(c->blobs_fd, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "blob %s", hex);
	if (fstat(fd, &st) < 0) {
		r = err_sys(e, errno, "blob %s", hex);
		(void) close(fd);
		return r;
	}
	*ret_size = (uint64_t) st.st_size;
	return fd;
}

static int disk_path(struct content *c, const struct digest *chain,
		     char ret_path[static PATHS_FULL_MAX])
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(chain, hex);
	int n = snprintf(ret_path, PATHS_FULL_MAX, "%s/%s", paths_disks(&c->store->paths).z, hex);
	return n < PATHS_FULL_MAX ? 0 : -ENAMETOOLONG;
}

int content_disk_open(struct content *c, const struct digest *chain)
{
	char path[PATHS_FULL_MAX];
	int r = disk_path(c, chain, path);
	int fd = r < 0 ? r : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return r == 0 && fd < 0 ? -errno : fd;
}

int content_disk_keep(struct content *c, int fd, const char *tmp_name, const struct digest *chain,
		      struct err *e)
{
	struct path_text disks = paths_disks(&c->store->paths);
	char path[PATHS_FULL_MAX];
	int r = disk_path(c, chain, path);

	/* Found by its name alone later: it must be whole under it, also after a power cut. */
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && mkdir(disks.z, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && renameat(c->tmp_fd, tmp_name, AT_FDCWD, path) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "keep the disk of an image in %s", disks.z) : 0;
}

int content_lock(struct content *c, const struct digest *what, struct err *e)
{
	char name[DIGEST_HEX_MAX + 16], hex[DIGEST_HEX_MAX];
	int fd;

	digest_hex(what, hex);
	/* Never removed while anyone is adding: only the sweeper, alone, does. */
	(void) snprintf(name, sizeof(name), TMP_PREFIX "lock-%s", hex);
	fd = openat(c->tmp_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, errno, "create %s in %s", name, paths_tmp(&c->store->paths).z);
	while (flock(fd, LOCK_EX) < 0) {
		int sys = errno;

		if (sys == EINTR)
			continue;
		(void) close(fd);
		return err_sys(e, sys, "lock %s", name);
	}
	return fd;
}

/* What the records name, in hex, sorted. */
struct named {
	struct arena arena;
	char **hex;
	size_t n;
};

static int name_one(struct named *k, const struct digest *d, struct err *e)
{
	char **slot = arena_push(&k->arena, &k->hex, &k->n, sizeof(*k->hex));

	if (slot)
		*slot = arena_alloc(&k->arena, DIGEST_HEX_MAX);
	if (!slot || !*slot)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to sweep");
	digest_hex(d, *slot);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool is_named(const struct named *k, const char *name)
{
	return k->n && bsearch(&name, k->hex, k->n, sizeof(*k->hex), by_text) != NULL;
}

static void sort_named(struct named *k)
{
	if (k->n)
		qsort(k->hex, k->n, sizeof(*k->hex), by_text);
}

static int collect(struct content *c, struct named *layers, struct named *blobs,
		   struct named *disks, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 512 << 20);
	struct store_layer *rows = NULL;
	struct store_image *images = NULL;
	size_t n = 0;
	int r = store_layer_list(c->store, &a, &rows, &n, e);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = name_one(layers, &rows[i].chain, e);
		if (r == 0)
			r = name_one(blobs, &rows[i].blob, e);
	}
	n = 0;
	if (r == 0)
		r = store_image_list(c->store, &a, &images, &n, e);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = name_one(blobs, &images[i].id, e);
		if (r == 0 && images[i].has_manifest)
			r = name_one(blobs, &images[i].manifest, e);
		if (r == 0 && images[i].chains_n)
			r = name_one(disks, &images[i].chains[images[i].chains_n - 1], e);
	}
	sort_named(layers);
	sort_named(blobs);
	sort_named(disks);
	return r;
}

/* Remove from dir what `keep` does not name; with a prefix only such names. */
static int sweep_dir(int dir, const struct named *keep, const char *prefix, uint64_t *sum,
		     struct err *e)
{
	auto_dir DIR *d = dir_open(dir, ".");
	struct dirent *de;

	if (!d)
		return err_sys(e, errno, "read a directory to sweep");
	while ((de = dir_next(d))) {
		struct stat st;
		uint64_t size = 0;
		int r;

		if (strncmp(de->d_name, prefix, strlen(prefix)) != 0 || is_named(keep, de->d_name))
			continue;
		if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(st.st_mode))
			size = (uint64_t) st.st_blocks * 512;
		else if (tree_size(dir, de->d_name, &size) < 0)
			size = 0;
		r = tree_unlink(dir, de->d_name);
		if (r < 0)
			return err_sys(e, -r, "remove %s", de->d_name);
		*sum += size;
	}
	return 0;
}

int content_sweep(struct content *c, uint64_t *ret_bytes, struct err *e)
{
	struct named layers = { .arena = ARENA_INIT((size_t) 64 << 20) },
		     blobs = { .arena = ARENA_INIT((size_t) 64 << 20) },
		     disks = { .arena = ARENA_INIT((size_t) 64 << 20) }, none = {};
	auto_fd int disks_fd = open(paths_disks(&c->store->paths).z,
				    O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* most have none */
	uint64_t sum = 0;
	int r = store_layer_sweep(c->store, e);

	if (r == 0)
		r = collect(c, &layers, &blobs, &disks, e);
	if (r == 0)
		r = sweep_dir(c->layers_fd, &layers, "", &sum, e);
	if (r == 0)
		r = sweep_dir(c->blobs_fd, &blobs, "", &sum, e);
	if (r == 0 && disks_fd >= 0)
		r = sweep_dir(disks_fd, &disks, "", &sum, e);
	if (r == 0)
		r = sweep_dir(c->tmp_fd, &none, TMP_PREFIX, &sum, e);
	arena_fini(&layers.arena);
	arena_fini(&blobs.arena);
	arena_fini(&disks.arena);
	*ret_bytes = sum;
	return r;
}

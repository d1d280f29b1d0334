/* SPDX-License-Identifier: Apache-2.0 */
/* Images of mkfs.erofs, whole and damaged, through walks and open files. */
#include "kernel/fs/erofs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/erofs_format.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define MANY  300	       /* files of one directory: several blocks of entries */
#define BIG   (3 * 4096 + 700) /* bytes: blocks and an end */
#define BLOCK 4096

struct image {
	struct erofs_source source;
	uint8_t *bytes;
	unsigned int released;
};

static struct cred root_cred = { .effective = UINT64_MAX };
static struct image plain, chunked;
static char place[] = "/tmp/erofs-XXXXXX";

/* ---- making images ---- */

static void put(const char *name, const void *bytes, size_t n)
{
	char path[200];
	FILE *f;

	(void) snprintf(path, sizeof(path), "%s/root/%s", place, name);
	f = fopen(path, "w");
	CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static uint8_t pattern(uint64_t at)
{
	return (uint8_t) (at * 7 + at / 251);
}

[[gnu::format(printf, 1, 2)]] static bool ran(const char *format, ...)
{
	char line[600], *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, line, NULL };
	int status = -1;
	va_list args;
	pid_t pid;

	va_start(args, format);
	(void) vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 &&
	       waitpid(pid, &status, 0) == pid && status == 0;
}

static void fill_tree(void)
{
	uint8_t big[BIG];
	char name[64];

	CHECK(mkdtemp(place) != NULL);
	CHECK(ran("mkdir -p %s/root/dir/deep %s/root/many && ln -s dir/deep/end %s/root/link",
		  place, place, place));
	for (size_t n = 0; n < BIG; n++)
		big[n] = pattern(n);
	put("big", big, BIG);
	put("exact", big, BLOCK);
	put("empty", "", 0);
	put("dir/deep/end", "found", 5);
	for (int n = 0; n < MANY; n++) {
		(void) snprintf(name, sizeof(name), "many/%040d", n);
		put(name, name + 5, 40);
	}
	CHECK(ran("cd %s/root && chmod 4750 exact && ln big dir/big && truncate -s 3M sparse && "
		  "printf x >>sparse && mkfifo pipe",
		  place));
	(void) snprintf(name, sizeof(name), "%s/root/big", place);
	/* Where the place has none of these, the image has none either, and get() says so. */
	(void) setxattr(name, "user.color", "blue", 4, 0);
}

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n)
{
	memcpy(to, container_of(s, struct image, source)->bytes + at, n);
	return 0;
}

static void image_release(struct erofs_source *s)
{
	container_of(s, struct image, source)->released++;
}

static void make_image(struct image *i, const char *options)
{
	char path[200];
	struct stat st;
	int fd;

	CHECK(ran("mkfs.erofs -d0 --all-root -T 1000 %s %s/image %s/root >%s/log 2>&1", options,
		  place, place, place));
	(void) snprintf(path, sizeof(path), "%s/image", place);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	*i = (struct image){ .source = { image_read, image_release, (uint64_t) st.st_size },
			     .bytes = malloc((size_t) st.st_size) };
	CHECK(i->bytes && read(fd, i->bytes, (size_t) st.st_size) == st.st_size);
	(void) close(fd);
}

/* ---- looking at them ---- */

static struct path top;

static int found(const char *text, struct path *ret)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };

	return walk(&w, text, 0, ret);
}

static struct inode *inode_at(const char *text)
{
	struct path p;
	struct inode *i;

	if (found(text, &p) < 0)
		return NULL;
	i = p.dentry->inode;
	inode_ref(i);
	path_unref(&p);
	return i;
}

static void check_bytes(const char *name, uint64_t size)
{
	struct inode *i = inode_at(name);
	uint8_t bytes[BIG];
	bool same = true;

	CHECK(i && i->pager.size == size);
	CHECK(pager_read(&i->pager, 0, bytes, sizeof(bytes)) == (int64_t) size);
	for (size_t n = 0; n < size; n++)
		same = same && bytes[n] == pattern(n);
	CHECK(same);
	inode_unref(i);
}

struct listing {
	struct dir_sink sink;
	unsigned int seen, most;
	uint64_t next;
	bool in_order;
	char last[NAME_LONGEST + 1];
};

static bool listed(struct dir_sink *to, const char *name, size_t len, uint64_t ino, uint32_t mode,
		   uint64_t next)
{
	struct listing *l = container_of(to, struct listing, sink);
	char text[NAME_LONGEST + 1];

	(void) ino;
	if (l->seen == l->most)
		return false;
	memcpy(text, name, len);
	text[len] = '\0';
	l->in_order = l->in_order && strcmp(text, l->last) > 0 && mode == S_IFREG;
	memcpy(l->last, text, len + 1);
	l->seen++;
	l->next = next;
	return true;
}

/* All names of a directory, so many at a time. */
static void check_listing(unsigned int at_once)
{
	struct inode *dir = inode_at("/many");
	struct listing l = { .sink = { listed }, .next = 2, .in_order = true };
	unsigned int all = 0;

	CHECK(dir != NULL);
	do {
		l.seen = 0;
		l.most = at_once;
		CHECK(dir->ops->iterate(dir, l.next, &l.sink) == 0);
		all += l.seen;
	} while (l.seen);
	CHECK(all == MANY && l.in_order);
	inode_unref(dir);
}

static void check_tree(void)
{
	char text[100] = "";
	struct inode *i = inode_at("/big"), *other = inode_at("/dir/big");

	check_bytes("/big", BIG);
	check_bytes("/exact", BLOCK);
	check_bytes("/empty", 0);
	CHECK(i && i == other && i->links == 2);
	if (i->ops->xattr_list(i, text, sizeof(text)) > 0) {
		CHECK(strcmp(text, "user.color") == 0);
		CHECK(i->ops->xattr_get(i, "user.color", text, 3) == -ERANGE);
		CHECK(i->ops->xattr_get(i, "user.color", text, 4) == 4 &&
		      memcmp(text, "blue", 4) == 0);
	}
	CHECK(i->ops->xattr_get(i, "user.none", text, 4) == -ENODATA);
	inode_unref(i);
	inode_unref(other);
	i = inode_at("/exact");
	CHECK(i && i->mode == (S_IFREG | 04750) && i->uid == 0 && i->links == 1);
	CHECK(i->times.modify == 1000 * NSEC_PER_SEC);
	inode_unref(i);
	i = inode_at("/pipe");
	CHECK(i && inode_is(i, S_IFIFO));
	inode_unref(i);
	i = inode_at("/link");
	CHECK(i && i->ops->readlink(i, text, sizeof(text)) == 12 &&
	      memcmp(text, "dir/deep/end", 12) == 0);
	inode_unref(i);
	i = inode_at("/dir/deep/end");
	CHECK(i && pager_read(&i->pager, 0, text, sizeof(text)) == 5 &&
	      memcmp(text, "found", 5) == 0);
	inode_unref(i);
	i = inode_at("/sparse");
	CHECK(i && i->pager.size == (3 << 20) + 1);
	CHECK(pager_read(&i->pager, 3 << 20, text, 9) == 1 && text[0] == 'x');
	CHECK(pager_read(&i->pager, 1 << 20, text, 9) == 9 && text[8] == '\0');
	inode_unref(i);
	CHECK(inode_at("/many/none") == NULL && inode_at("/many/0") == NULL && !inode_at("/zzz"));
	for (int n = 0; n < MANY; n++) {
		(void) snprintf(text, sizeof(text), "/many/%040d", n);
		i = inode_at(text);
		CHECK(i && i->pager.size == 40);
		inode_unref(i);
	}
	check_listing(1000);
	check_listing(7);
}

/* Mounted, looked at, and left as it was. */
static int with(struct image *i, void (*look)(void))
{
	struct mount_space *mounts;
	struct super *s;
	int r = erofs_new(&i->source, &s);

	if (r < 0)
		return r;
	mounts = mount_space_new(s, 0, "erofs");
	super_leave(s);
	if (!mounts)
		return -ENOMEM;
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	look();
	path_unref(&top);
	mount_space_unref(mounts);
	return 0;
}

static int created(const char *name)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };

	return names_create(&w, name, S_IFREG | 0644, 0, NULL);
}

static void check_refusals(void)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *f;

	CHECK(created("/new") == -EROFS);
	CHECK(names_remove(&w, "/big", 0) == -EROFS);
	CHECK(names_open(&w, "/big", O_WRONLY, 0, &f) == -EROFS);
	CHECK(names_open(&w, "/big", O_RDONLY, 0, &f) == 0);
	file_unref(f);
}

/* ---- damage: an errno or other contents, never more ---- */

static void look_around(void)
{
	static const char *const names[] = { "/big", "/many/0", "/dir/deep/end", "/sparse",
					     "/link/" };
	struct listing l = { .sink = { listed }, .most = 10000 };
	struct inode *i;
	char text[300];

	for (size_t n = 0; n < countof(names); n++) {
		i = inode_at(names[n]);
		if (!i)
			continue;
		(void) !pager_read(&i->pager, 0, text, sizeof(text));
		(void) i->ops->xattr_list(i, text, sizeof(text));
		inode_unref(i);
	}
	i = top.dentry->inode;
	(void) i->ops->iterate(i, 2, &l.sink);
}

static void test_damage(void)
{
	struct image i = { .source = plain.source };
	uint64_t seed = 1;

	i.bytes = malloc(i.source.bytes);
	for (int n = 0; n < 2000; n++) {
		memcpy(i.bytes, plain.bytes, i.source.bytes);
		for (int k = 0; k < 8; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* Most of what matters stands at the beginning. */
			i.bytes[(seed >> 33) % (k < 6 ? 8192 : i.source.bytes)] = (uint8_t) (seed >>
											     20);
		}
		i.source.bytes = n % 5 ? plain.source.bytes : seed % plain.source.bytes;
		(void) with(&i, look_around);
	}
	CHECK(i.released == 2000);
	free(i.bytes);
}

static void test_refused(void)
{
	struct image i = { .source = plain.source };
	struct erofs_super *d;
	struct super *s;

	i.bytes = malloc(i.source.bytes);
	memcpy(i.bytes, plain.bytes, i.source.bytes);
	d = (struct erofs_super *) (void *) (i.bytes + EROFS_SUPER_AT);
	d->magic++;
	CHECK(erofs_new(&i.source, &s) == -EINVAL);
	d->magic--;
	d->feature_incompat |= 2;
	CHECK(erofs_new(&i.source, &s) == -EOPNOTSUPP);
	d->feature_incompat = 0;
	d->block_bits = 13;
	CHECK(erofs_new(&i.source, &s) == -EOPNOTSUPP);
	d->block_bits = 12;
	d->root++;
	CHECK(erofs_new(&i.source, &s) < 0);
	i.source.bytes = 100;
	CHECK(erofs_new(&i.source, &s) == -EINVAL);
	CHECK(i.released == 5);
	free(i.bytes);
}

/* Every allocation fails once: nothing is left, and the next mount is as good as the first. */
static void test_no_memory(void)
{
	size_t before = heap_used();
	bool told = false;

	for (unsigned long n = 1; n < 60; n++) {
		heap_fail_at(n);
		told = with(&plain, look_around) == -ENOMEM || told;
		heap_fail_at(0);
	}
	CHECK(told);
	CHECK(with(&plain, check_tree) == 0);
	CHECK(heap_used() >= before && frame_used() <= 1);
}

static void all(void *arg)
{
	(void) arg;
	CHECK(with(&plain, check_tree) == 0 && with(&chunked, check_tree) == 0);
	CHECK(plain.released == 1 && chunked.released == 1);
	CHECK(with(&plain, check_refusals) == 0);
	test_refused();
	test_damage();
	test_no_memory();
}

int main(void)
{
	int r;

	fill_tree();
	make_image(&plain, "-E force-inode-extended");
	make_image(&chunked, "--chunksize=8192 -E force-inode-compact");
	r = test_run(4096, all);
	free(plain.bytes);
	free(chunked.bytes);
	(void) ran("rm -rf %s", place);
	return r;
}

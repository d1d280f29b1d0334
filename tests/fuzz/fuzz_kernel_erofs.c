/* SPDX-License-Identifier: Apache-2.0 */
/* An image of EROFS: mounted, listed, every file looked up and read as far as it is small. */
#include <string.h>

#include "kernel/fs/erofs.h"
#include "kernel_run.h"

#define DEPTH 4
#define NAMES 40 /* of one directory */

struct image {
	struct erofs_source source;
	const uint8_t *bytes;
};

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n)
{
	if (at > s->bytes || n > s->bytes - at)
		abort();
	memcpy(to, container_of(s, struct image, source)->bytes + at, n);
	return 0;
}

static void image_release(struct erofs_source *s)
{
	container_of(s, struct image, source)->bytes = NULL;
}

struct names {
	struct dir_sink sink;
	size_t n;
	struct {
		size_t len;
		char bytes[NAME_LONGEST];
	} all[NAMES];
};

static bool name(struct dir_sink *to, const char *bytes, size_t len, uint64_t ino, uint32_t mode,
		 uint64_t next)
{
	struct names *l = container_of(to, struct names, sink);

	(void) ino;
	(void) mode;
	if (len == 0 || len > NAME_LONGEST || next < 3 || memchr(bytes, '/', len))
		abort();
	if (l->n == NAMES)
		return false;
	memcpy(l->all[l->n].bytes, bytes, len);
	l->all[l->n++].len = len;
	return true;
}

static void look(struct inode *i, unsigned int depth)
{
	struct names *l;
	char text[5000];

	if (i->ops->readlink(i, text, sizeof(text)) > (int64_t) sizeof(text) ||
	    i->ops->xattr_list(i, text, sizeof(text)) > (int64_t) sizeof(text) ||
	    i->ops->xattr_get(i, "user.color", text, sizeof(text)) > (int64_t) sizeof(text))
		abort();
	if (inode_is(i, S_IFREG)) {
		(void) !pager_read(&i->pager, 0, text, sizeof(text));
		(void) !pager_read(&i->pager, i->pager.size / 2, text, 100);
	}
	if (!inode_is(i, S_IFDIR) || depth == 0)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->sink.entry = name;
	(void) i->ops->iterate(i, 2, &l->sink);
	for (size_t n = 0; n < l->n; n++) {
		struct inode *below;

		if (i->ops->lookup(i, l->all[n].bytes, l->all[n].len, &below) < 0)
			continue;
		look(below, depth - 1);
		inode_unref(below);
	}
	free(l);
}

static void mount(struct kernel_run *k)
{
	struct image image = { { image_read, image_release, k->left }, k->data };
	struct super *s;

	if (erofs_new(&image.source, &s) == 0) {
		look(s->root->inode, DEPTH);
		super_leave(s);
	}
	if (image.bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kernel_run(data, size < 100000 ? size : 100000, mount);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of EROFS: blocks of entries, in the order of their names' bytes across all of them.
 */
#include "kernel/fs/erofs_node.h"
#include "kernel/mm/frame.h"

/* One block of a directory, in memory while `frame` is owned. */
struct block {
	uint64_t frame;
	const char *bytes;
	size_t size;
	size_t count; /* of entries */
};

struct name {
	const char *bytes;
	size_t len;
	struct erofs_dirent entry;
};

static struct erofs_dirent entry(const struct block *b, size_t n)
{
	struct erofs_dirent d;

	memcpy(&d, b->bytes + n * sizeof(d), sizeof(d));
	return d;
}

/* Block `n` of the directory; frame_unref(ret->frame) is the caller's. May park. */
static int open_block(struct inode *dir, uint64_t n, struct block *ret)
{
	uint64_t block_bytes = erofs_of(dir->super)->block_bytes, at = n * block_bytes;
	size_t names_at;
	int r = pager_page(&dir->pager, at >> PAGE_SHIFT, false, &ret->frame);

	if (r < 0)
		return r == -ENXIO ? -EUCLEAN : r;
	ret->bytes = (const char *) frame_ptr(ret->frame) + (at & (PAGE_SIZE - 1));
	ret->size = (size_t) min_of(block_bytes, dir->pager.size - at);
	names_at = ret->size < sizeof(struct erofs_dirent) ? 0 : entry(ret, 0).name_at;
	ret->count = names_at / sizeof(struct erofs_dirent);
	if (names_at % sizeof(struct erofs_dirent) || names_at >= ret->size || !ret->count) {
		frame_unref(ret->frame);
		return -EUCLEAN;
	}
	return 0;
}

static int name_of(const struct block *b, size_t n, struct name *ret)
{
	size_t first = b->count * sizeof(struct erofs_dirent), end = b->size;

	ret->entry = entry(b, n);
	if (n + 1 < b->count)
		end = entry(b, n + 1).name_at;
	if (ret->entry.name_at < first || end > b->size || ret->entry.name_at >= end)
		return -EUCLEAN;
	ret->bytes = b->bytes + ret->entry.name_at;
	ret->len = end - ret->entry.name_at;
	/* The last one's is followed by zeros. */
	for (size_t k = 0; k < ret->len; k++) {
		if (ret->bytes[k] == '\0')
			ret->len = k;
		else if (ret->bytes[k] == '/')
			return -EUCLEAN;
	}
	return ret->len == 0 || ret->len > NAME_LONGEST ? -EUCLEAN : 0;
}

static int compare(const struct name *a, const char *name, size_t len)
{
	int by = memcmp(a->bytes, name, min_of(a->len, len));

	return by ? by : a->len < len ? -1 : a->len > len;
}

static uint64_t blocks(struct inode *dir)
{
	uint64_t block_bytes = erofs_of(dir->super)->block_bytes;

	return dir->pager.size / block_bytes + (dir->pager.size % block_bytes != 0);
}

/* The last block whose first name is not behind `name`, which is the only one to have it. */
static int find_block(struct inode *dir, const char *name, size_t len, struct block *ret)
{
	uint64_t low = 0, high = blocks(dir);
	struct name first;
	int r;

	if (high == 0)
		return -ENOENT;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		r = open_block(dir, middle, ret);
		if (r < 0)
			return r;
		r = name_of(ret, 0, &first);
		frame_unref(ret->frame);
		if (r < 0)
			return r;
		if (compare(&first, name, len) <= 0)
			low = middle;
		else
			high = middle;
	}
	return open_block(dir, low, ret);
}

static int find_in(const struct block *b, const char *name, size_t len, uint64_t *ret_node)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct name n;
		int r = name_of(b, middle, &n), by;

		if (r < 0)
			return r;
		by = compare(&n, name, len);
		if (by == 0) {
			*ret_node = n.entry.node;
			return 0;
		}
		if (by < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

int erofs_lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct block b;
	uint64_t node;
	int r = find_block(dir, name, len, &b);

	if (r < 0)
		return r;
	r = find_in(&b, name, len, &node);
	frame_unref(b.frame);
	return r < 0 ? r : erofs_node(erofs_of(dir->super), node, ret);
}

static uint32_t mode_of(uint8_t type)
{
	static const uint32_t modes[] = { 0,	   S_IFREG, S_IFDIR,  S_IFCHR,
					  S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK };

	return type < countof(modes) ? modes[type] : 0;
}

static bool is_dots(const struct name *n)
{
	return n->bytes[0] == '.' && (n->len == 1 || (n->len == 2 && n->bytes[1] == '.'));
}

/* Positions behind "." and "..": the block times as many entries as one can have, and the entry. */
int erofs_iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	uint64_t most = PAGE_SIZE / sizeof(struct erofs_dirent), n = (at - 2) / most;
	size_t k = (size_t) ((at - 2) % most);
	bool room = true;

	for (; room && n < blocks(dir); n++, k = 0) {
		struct block b;
		int r = open_block(dir, n, &b);

		for (; r == 0 && room && k < b.count; k++) {
			struct name name;

			r = name_of(&b, k, &name);
			if (r == 0 && !is_dots(&name))
				room = to->entry(to, name.bytes, name.len, name.entry.node,
						 mode_of(name.entry.type), n * most + k + 3);
			if (r < 0)
				frame_unref(b.frame);
		}
		if (r < 0)
			return r;
		frame_unref(b.frame);
	}
	return 0;
}

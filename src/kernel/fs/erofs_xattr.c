/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of EROFS: an inode's own, and those that many share, by their numbers. */
#include "kernel/fs/erofs_node.h"

#define NAME_MOST 255

static const char *const prefixes[] = {
	NULL, "user.",	   "system.posix_acl_access", "system.posix_acl_default", "trusted.",
	NULL, "security.",
};

struct xattr {
	size_t name_len, value_size;
	uint64_t value_at;
	char name[NAME_MOST + 1];
};

/* The one at *at, which is moved behind it. -EOPNOTSUPP: with a prefix that Linux's names lack. */
static int decode(const struct erofs *e, uint64_t *at, struct xattr *ret)
{
	const char *prefix;
	struct erofs_xattr x;
	size_t n;
	int r = erofs_read(e, *at, &x, sizeof(x));

	if (r < 0)
		return r;
	ret->value_at = *at + sizeof(x) + x.name_len;
	ret->value_size = x.value_size;
	prefix = x.prefix < countof(prefixes) ? prefixes[x.prefix] : NULL;
	n = prefix ? strlen(prefix) : 0;
	if (prefix && n + x.name_len <= NAME_MOST) {
		memcpy(ret->name, prefix, n);
		r = erofs_read(e, *at + sizeof(x), ret->name + n, x.name_len);
		ret->name_len = n + x.name_len;
		ret->name[ret->name_len] = '\0';
	} else {
		r = -EOPNOTSUPP;
	}
	*at = (ret->value_at + x.value_size + 3) & ~UINT64_C(3);
	return r;
}

/* Calls `with` for each until it gives what is not 0. May park. */
static int64_t each(struct inode *i,
		    int64_t (*with)(struct erofs *e, const struct xattr *x, void *), void *arg)
{
	struct erofs_node *n = erofs_node_of(i);
	struct erofs *e = erofs_of(i->super);
	uint64_t at = n->behind + sizeof(struct erofs_xattrs), end = n->behind + n->xattrs;
	struct erofs_xattrs head;
	struct xattr x;
	int64_t r = n->xattrs ? erofs_read(e, n->behind, &head, sizeof(head)) : -ENODATA;
	uint32_t number;

	if (r < 0)
		return r == -ENODATA ? 0 : r;
	for (unsigned int k = 0; k < head.shared_count; k++, at += sizeof(number)) {
		uint64_t place;

		if (end - at < sizeof(number))
			return -EUCLEAN;
		r = erofs_read(e, at, &number, sizeof(number));
		place = e->xattr_at + number * sizeof(number);
		if (r == 0)
			r = decode(e, &place, &x);
		if (r == 0)
			r = with(e, &x, arg);
		if (r != 0 && r != -EOPNOTSUPP)
			return r;
	}
	/* Zeros fill up the rest. */
	while (end > at && end - at >= sizeof(struct erofs_xattr)) {
		r = decode(e, &at, &x);
		if (at > end)
			return -EUCLEAN;
		if (r == 0)
			r = with(e, &x, arg);
		if (r != 0 && r != -EOPNOTSUPP)
			return r;
	}
	return 0;
}

struct get {
	const char *name;
	void *to;
	size_t room;
};

static int64_t get(struct erofs *e, const struct xattr *x, void *arg)
{
	struct get *g = arg;
	int r = 0;

	if (strlen(g->name) != x->name_len || memcmp(g->name, x->name, x->name_len) != 0)
		return 0;
	if (g->room && g->room < x->value_size)
		return -ERANGE;
	if (g->room)
		r = erofs_read(e, x->value_at, g->to, x->value_size);
	return r < 0 ? r : (int64_t) x->value_size + 1; /* which is not 0 */
}

int64_t erofs_xattr_get(struct inode *i, const char *name, void *to, size_t room)
{
	struct get g = { name, to, room };
	int64_t r = each(i, get, &g);

	return r > 0 ? r - 1 : r < 0 ? r : -ENODATA;
}

struct names {
	char *to;
	size_t room, used;
};

static int64_t add(struct erofs *e, const struct xattr *x, void *arg)
{
	struct names *l = arg;

	(void) e;
	if (l->room && l->room - l->used < x->name_len + 1)
		return -ERANGE;
	if (l->room)
		memcpy(l->to + l->used, x->name, x->name_len + 1);
	l->used += x->name_len + 1;
	return 0;
}

int64_t erofs_xattr_list(struct inode *i, char *to, size_t room)
{
	struct names l = { to, room, 0 };
	int64_t r = each(i, add, &l);

	return r < 0 ? r : (int64_t) l.used;
}

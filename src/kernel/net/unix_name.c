/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/net/unix_sock.h"
#include "kernel/vfs/names.h"

#define HEAD offsetof(struct sockaddr_un, sun_path)

static struct heap_cache names = HEAP_CACHE_INIT(struct unix_name);

/* Bound sockets: by the inode of their path, and by hash of an abstract name and the type. */
static struct tree by_inode, by_abstract;

void unix_name_unref(struct unix_name *n)
{
	if (n && --n->owners == 0)
		heap_cache_free(&names, n);
}

void unix_address(const struct unix_name *n, struct sock_address *ret)
{
	*ret = (struct sock_address){ .len = HEAD, .family = AF_UNIX };
	if (!n)
		return;
	ret->len = n->len;
	memcpy(ret->bytes, n->bytes, n->len);
}

struct unix_name *unix_name_new(const unsigned char *bytes, size_t len)
{
	struct unix_name *n = heap_cache_alloc(&names);

	if (!n)
		return NULL;
	n->owners = 1;
	n->len = len;
	memcpy(n->bytes, bytes, len);
	return n;
}

void unix_unname(struct unix_sock *u)
{
	if (tree_has(&u->by_name))
		tree_remove(u->path.mount ? &by_inode : &by_abstract, &u->by_name);
	path_unref(&u->path);
}

static uint64_t hash(const unsigned char *bytes, size_t len, int type)
{
	uint64_t h = 0xcbf29ce484222325 ^ (uint64_t) type;

	for (size_t n = 0; n < len; n++)
		h = (h ^ bytes[n]) * 0x100000001b3;
	return h;
}

static struct unix_sock *find_abstract(const unsigned char *bytes, size_t len, int type)
{
	uint64_t key = hash(bytes, len, type);

	for (struct tree_node *n = tree_from(&by_abstract, key); n && n->key == key;
	     n = tree_next(n)) {
		struct unix_sock *u = container_of(n, struct unix_sock, by_name);

		if (u->socket.type == type && u->name->len == len &&
		    memcmp(u->name->bytes, bytes, len) == 0)
			return u;
	}
	return NULL;
}

static struct unix_sock *find_path(const struct inode *i)
{
	uint64_t key = (uintptr_t) i;
	struct tree_node *n = tree_from(&by_inode, key);

	return n && n->key == key ? container_of(n, struct unix_sock, by_name) : NULL;
}

static int bind_abstract(struct unix_sock *u, const unsigned char *bytes, size_t len)
{
	if (find_abstract(bytes, len, u->socket.type))
		return -EADDRINUSE;
	u->name = unix_name_new(bytes, len);
	if (!u->name)
		return -ENOMEM;
	tree_insert(&by_abstract, &u->by_name, hash(bytes, len, u->socket.type));
	return 0;
}

int unix_autobind(struct unix_sock *u)
{
	static const char hex[] = "0123456789abcdef";
	static uint32_t last;
	unsigned char bytes[HEAD + 6] = { AF_UNIX };
	int r = -EADDRINUSE;

	/* unix(7): a NUL and five digits; Linux gives up when all are taken, too. */
	for (uint32_t tries = 0; r == -EADDRINUSE && tries < 1 << 20; tries++) {
		uint32_t number = last++;

		for (size_t n = 0; n < 5; n++)
			bytes[HEAD + 5 - n] = (unsigned char) hex[(number >> 4 * n) % 16];
		r = bind_abstract(u, bytes, sizeof(bytes));
	}
	return r == -EADDRINUSE ? -ENOSPC : r;
}

/* The text of a path, with an end; its length. */
static size_t text_of(const struct sock_address *a, char text[static UNIX_NAME_ROOM + 1])
{
	size_t len = 0;

	while (HEAD + len < a->len && a->bytes[HEAD + len])
		len++;
	memcpy(text, a->bytes + HEAD, len);
	text[len] = 0;
	return len;
}

static int bind_path(struct unix_sock *u, const struct sock_actor *by, const struct sock_address *a)
{
	char text[UNIX_NAME_ROOM + 1];
	unsigned char bytes[UNIX_NAME_ROOM + 1] = { AF_UNIX };
	size_t len = text_of(a, text);
	struct unix_name *name;
	struct path p;
	int r;

	memcpy(bytes + HEAD, text, len);
	name = unix_name_new(bytes, HEAD + len + 1);
	if (!name)
		return -ENOMEM;
	r = names_create(&by->walk, text, S_IFSOCK | (0777 & ~by->umask), 0, NULL);
	if (r == 0)
		r = walk(&by->walk, text, 0, &p);
	if (r < 0) {
		unix_name_unref(name);
		return r == -EEXIST ? -EADDRINUSE : r;
	}
	/* Parked meanwhile: another thread was quicker, or the name is another's by now. */
	if (u->name || !inode_is(p.dentry->inode, S_IFSOCK) || find_path(p.dentry->inode)) {
		unix_name_unref(name);
		path_unref(&p);
		return u->name ? -EINVAL : -EADDRINUSE;
	}
	u->name = name;
	u->path = p;
	tree_insert(&by_inode, &u->by_name, (uintptr_t) p.dentry->inode);
	return 0;
}

bool unix_is_bound(const struct unix_sock *u)
{
	return tree_has(&u->by_name);
}

int unix_bind_at(struct unix_sock *u, const struct path *p)
{
	const struct unix_name *n = u->name;

	if (!p &&
	    (n->len <= HEAD || n->bytes[HEAD] || find_abstract(n->bytes, n->len, u->socket.type)))
		return -EADDRINUSE;
	if (p && (!inode_is(p->dentry->inode, S_IFSOCK) || find_path(p->dentry->inode)))
		return -EADDRINUSE;
	if (!p) {
		tree_insert(&by_abstract, &u->by_name, hash(n->bytes, n->len, u->socket.type));
		return 0;
	}
	u->path = *p;
	path_ref(&u->path);
	tree_insert(&by_inode, &u->by_name, (uintptr_t) p->dentry->inode);
	return 0;
}

static int check(const struct sock_address *a)
{
	return a->len > UNIX_NAME_ROOM || a->family != AF_UNIX ? -EINVAL : 0;
}

int unix_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a)
{
	struct unix_sock *u = unix_of(s);

	if (check(a) < 0)
		return -EINVAL;
	if (u->name)
		return -EINVAL;
	if (a->len == HEAD)
		return unix_autobind(u);
	if (!a->bytes[HEAD])
		return bind_abstract(u, a->bytes, a->len);
	return bind_path(u, by, a);
}

static int find_at_path(const struct sock_address *a, int type, const struct sock_actor *by,
			struct unix_sock **ret)
{
	char text[UNIX_NAME_ROOM + 1];
	struct unix_sock *u;
	struct path p;
	int r;

	(void) text_of(a, text);
	r = walk(&by->walk, text, WALK_FOLLOW, &p);
	if (r < 0)
		return r;
	r = inode_may(p.dentry->inode, by->walk.who, MAY_WRITE);
	if (r == 0) {
		u = find_path(p.dentry->inode);
		if (!u)
			r = -ECONNREFUSED;
		else if (u->socket.type != type)
			r = -EPROTOTYPE;
		*ret = u;
	}
	path_unref(&p);
	return r;
}

int unix_find(const struct sock_address *a, int type, const struct sock_actor *by,
	      struct unix_sock **ret)
{
	struct unix_sock *u = NULL;
	int r = check(a);

	if (r < 0 || a->len <= HEAD)
		return -EINVAL;
	if (a->bytes[HEAD]) {
		r = find_at_path(a, type, by, &u);
	} else {
		u = find_abstract(a->bytes, a->len, type);
		r = u ? 0 : -ECONNREFUSED;
	}
	if (r < 0 || !u)
		return r;
	u->owners++;
	*ret = u;
	return 0;
}

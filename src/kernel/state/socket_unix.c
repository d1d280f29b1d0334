/* SPDX-License-Identifier: Apache-2.0 */
/* unix(7): names, peers, what waits in inboxes with the files that go along, and backlogs. */
#include "kernel/core/heap.h"
#include "kernel/net/unix_sock.h"
#include "kernel/state/state.h"
#include "kernel/vfs/file.h"

#define NAME_LEAST offsetof(struct sockaddr_un, sun_path)

enum found { FOUND_NOT, FOUND_ABSTRACT, FOUND_AT_PATH };

/* ---- names ---- */

static void save_name(struct state_save *s, const struct unix_name *n)
{
	out_number(s->out, n ? n->len : 0);
	if (n)
		out_bytes(s->out, n->bytes, n->len);
}

/* Owned; NULL: none, or it failed. */
static struct unix_name *load_name(struct state_load *l)
{
	unsigned char bytes[UNIX_NAME_ROOM + 1] = {};
	size_t len = (size_t) in_number(l->in, UNIX_NAME_ROOM);
	const uint16_t family = AF_UNIX;
	struct unix_name *n;

	if (len == 0)
		return NULL;
	in_bytes(l->in, bytes, len);
	if (len < NAME_LEAST || memcmp(bytes, &family, sizeof(family)) != 0)
		in_fail(l->in, -EBADMSG);
	if (l->in->error < 0)
		return NULL;
	n = unix_name_new(bytes, len);
	if (!n)
		in_fail(l->in, -ENOMEM);
	return n;
}

/* Nobody finds what is bound to a name that was removed. */
static void save_place(struct state_save *s, const struct unix_sock *u)
{
	bool path = u->path.mount;
	uint64_t nr;

	save_name(s, u->name);
	if (!unix_is_bound(u) ||
	    (path && (state_removed(u->path.dentry) ||
		      !state_has_super(s->host, u->path.dentry->super, &nr)))) {
		out_number(s->out, FOUND_NOT);
		return;
	}
	out_number(s->out, path ? FOUND_AT_PATH : FOUND_ABSTRACT);
	if (path)
		save_path(s, &u->path);
}

static void load_place(struct state_load *l, struct unix_sock *u)
{
	enum found found;
	struct path p = {};
	int r = 0;

	u->name = load_name(l);
	found = (enum found) in_number(l->in, FOUND_AT_PATH);
	if (found == FOUND_AT_PATH && !load_path(l, &p))
		in_fail(l->in, -EBADMSG);
	if (l->in->error == 0 && found != FOUND_NOT)
		r = u->name ? unix_bind_at(u, found == FOUND_AT_PATH ? &p : NULL) : -EBADMSG;
	path_unref(&p);
	if (r < 0)
		in_fail(l->in, -EBADMSG);
}

/* What is saved has one space of numbers: a container that has gone had another. */
static void save_sender(struct state_save *s, const struct sock_sender *who)
{
	out_number(s->out, who->numbers ? 0 : (uint32_t) who->cred.pid);
	out_number(s->out, who->cred.uid);
	out_number(s->out, who->cred.gid);
}

static struct sock_sender load_sender(struct state_load *l)
{
	struct sock_ucred c = { .pid = (int32_t) in_number(l->in, INT32_MAX) };

	c.uid = (uint32_t) in_number(l->in, UINT32_MAX);
	c.gid = (uint32_t) in_number(l->in, UINT32_MAX);
	return (struct sock_sender){ .cred = c };
}

/* ---- what is on its way ---- */

static void save_parcel(struct state_save *s, const struct parcel *p)
{
	size_t count = p->rights ? p->rights->count : 0;

	out_number(s->out, 1);
	save_socket(s, &p->from->socket);
	save_name(s, p->name);
	save_sender(s, &p->sender);
	out_number(s->out, count);
	for (size_t n = 0; n < count && s->out->error == 0; n++)
		save_file(s, p->rights->files[n]);
	out_number(s->out, p->len - p->at);
	out_bytes(s->out, p->bytes + p->at, p->len - p->at);
}

/* NULL: none, or it failed. Its files are on their way. */
static struct rights *load_rights(struct state_load *l)
{
	size_t count = (size_t) in_number(l->in, RIGHTS_MOST);
	struct rights *r = count ? heap_alloc(sizeof(*r) + count * sizeof(r->files[0])) : NULL;

	if (!r) {
		if (count)
			in_fail(l->in, -ENOMEM);
		return NULL;
	}
	for (r->count = 0; r->count < count;) {
		struct file *f = load_file(l);

		if (!f)
			break;
		file_ref(f);
		r->files[r->count++] = f;
	}
	if (l->in->error == 0 && unix_rights_out(r) == 0)
		return r;
	in_fail(l->in, -EBADMSG);
	rights_free(r);
	return NULL;
}

static struct unix_sock *load_other(struct state_load *l, const struct unix_sock *u)
{
	struct socket *sock = load_socket(l);

	if (sock && sock->domain == AF_UNIX && sock->type == u->socket.type)
		return unix_of(sock);
	in_fail(l->in, -EBADMSG);
	return NULL;
}

static void load_parcel(struct state_load *l, struct unix_sock *u)
{
	struct unix_sock *from = load_other(l, u);
	struct unix_name *name = load_name(l);
	const struct sock_sender sender = load_sender(l);
	struct rights *rights = load_rights(l);
	size_t len = (size_t) in_number(l->in, l->in->left);
	struct parcel *p = l->in->error == 0 ? heap_alloc(sizeof(*p) + len) : NULL;

	if (!p) {
		in_fail(l->in, -ENOMEM);
		if (rights)
			unix_rights_in(rights);
		rights_free(rights);
		unix_name_unref(name);
		return;
	}
	list_init(&p->link);
	p->from = from;
	p->name = name;
	p->rights = rights;
	p->sender = sender;
	p->at = 0;
	p->len = len;
	p->cost = sizeof(*p) + len;
	in_bytes(l->in, p->bytes, len);
	from->owners++;
	from->charged += p->cost;
	unix_parcel_put(u, p);
}

/* ---- backlogs ---- */

static void save_backlog(struct state_save *s, const struct unix_sock *u)
{
	out_number(s->out, u->backlog_most);
	list_each(l, (struct list *) (uintptr_t) &u->backlog)
	{
		out_number(s->out, 1);
		save_socket(s, &list_entry(l, struct unix_sock, in_backlog)->socket);
	}
	out_number(s->out, 0);
}

static void load_backlog(struct state_load *l, struct unix_sock *u)
{
	u->backlog_most = (unsigned int) in_number(l->in, INT32_MAX);
	/* It is none that is to be accepted itself. */
	if (!u->name || u->socket.type == SOCK_DGRAM || !list_empty(&u->in_backlog))
		in_fail(l->in, -EBADMSG);
	if (l->in->error < 0)
		return;
	u->socket.listening = true;
	while (in_flag(l->in)) {
		struct unix_sock *waits = load_other(l, u);

		if (!waits || waits->socket.listening || !socket_is_homeless(&waits->socket)) {
			in_fail(l->in, -EBADMSG);
			return;
		}
		list_push(&u->backlog, &waits->in_backlog);
		u->backlog_used++;
	}
}

/* ---- one ---- */

void save_unix(struct state_save *s, struct socket *sock)
{
	const struct unix_sock *u = unix_of(sock);

	out_number(s->out, u->dead);
	save_place(s, u);
	if (u->dead)
		return;
	out_number(s->out, u->closed);
	save_sender(s, &u->peer_cred);
	out_number(s->out, u->has_peer_cred);
	out_number(s->out, u->peer != NULL);
	if (u->peer)
		save_socket(s, &u->peer->socket);
	list_each(l, (struct list *) (uintptr_t) &u->inbox)
	{
		if (s->out->error == 0)
			save_parcel(s, list_entry(l, struct parcel, link));
	}
	out_number(s->out, 0);
	out_number(s->out, sock->listening);
	if (sock->listening)
		save_backlog(s, u);
}

void load_unix(struct state_load *l, struct socket *sock)
{
	struct unix_sock *u = unix_of(sock), *peer;
	bool dead = in_flag(l->in);

	if (dead && !socket_is_homeless(sock))
		in_fail(l->in, -EBADMSG);
	load_place(l, u);
	if (l->in->error < 0)
		return;
	if (dead) { /* its name is what is left of it */
		unix_retire(u);
		return;
	}
	u->closed = (unsigned int) in_number(l->in, CLOSED_BOTH);
	u->peer_cred = load_sender(l);
	u->has_peer_cred = in_flag(l->in);
	if (in_flag(l->in)) {
		peer = load_other(l, u);
		if (peer && l->in->error == 0)
			unix_set_peer(u, peer);
	}
	while (in_flag(l->in))
		load_parcel(l, u);
	if (in_flag(l->in))
		load_backlog(l, u);
}

bool load_unix_whole(struct socket *sock)
{
	const struct unix_sock *u = unix_of(sock);

	if (u->dead || sock->type == SOCK_DGRAM || !u->peer)
		return list_empty(&u->in_backlog);
	return !sock->listening && u->peer != u && (u->peer->dead || u->peer->peer == u);
}

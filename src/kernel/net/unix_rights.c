/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files on their way in SCM_RIGHTS. A socket in an inbox that only it, or others like it, lead to
 * would stay for ever. Of the sockets that are on their way, a *candidate* is one whose file has no
 * owner but parcels. A candidate is reached when a parcel with it stands in the inbox of something
 * that is no candidate, or of a candidate that is reached. The inboxes of all others are emptied.
 */
#include "kernel/net/unix_sock.h"

static struct list flying = LIST_INIT(flying);
static size_t in_flight;
static struct list doomed = LIST_INIT(doomed);
static struct list reached = LIST_INIT(reached);
static bool discarding;

size_t unix_rights_in_flight(void)
{
	return in_flight;
}

/* NULL: no AF_UNIX socket. */
static struct unix_sock *sock_of(const struct file *f)
{
	struct socket *s = file_socket(f);

	return s && s->domain == AF_UNIX ? unix_of(s) : NULL;
}

int unix_rights_out(const struct rights *r)
{
	if (in_flight + r->count > RIGHTS_IN_FLIGHT) {
		unix_rights_collect();
		if (in_flight + r->count > RIGHTS_IN_FLIGHT)
			return -ETOOMANYREFS;
	}
	in_flight += r->count;
	for (size_t n = 0; n < r->count; n++) {
		struct unix_sock *u = sock_of(r->files[n]);

		if (u && u->in_flight++ == 0)
			list_push(&flying, &u->flying);
	}
	return 0;
}

void unix_rights_in(const struct rights *r)
{
	in_flight -= r->count;
	for (size_t n = 0; n < r->count; n++) {
		struct unix_sock *u = sock_of(r->files[n]);

		if (u && --u->in_flight == 0)
			list_remove(&u->flying);
	}
}

static bool candidate(const struct unix_sock *u)
{
	return u->in_flight > 0 && u->file->owners == u->in_flight;
}

static void each_in_inbox(const struct unix_sock *u, void (*act)(struct unix_sock *found))
{
	list_each(l, &u->inbox)
	{
		const struct rights *r = list_entry(l, struct parcel, link)->rights;

		for (size_t n = 0; r && n < r->count; n++) {
			struct unix_sock *found = sock_of(r->files[n]);

			if (found)
				act(found);
		}
	}
}

/* Its own inbox, and those of the connections that wait for its accept. */
static void each_held(const struct unix_sock *u, void (*act)(struct unix_sock *found))
{
	each_in_inbox(u, act);
	list_each(l, &u->backlog) each_in_inbox(list_entry(l, struct unix_sock, in_backlog), act);
}

static void one_less_outside(struct unix_sock *u)
{
	u->outside--;
}

/* Who goes through `reached` comes to it later. */
static void reach(struct unix_sock *u)
{
	if (u->reached)
		return;
	u->reached = true;
	list_remove(&u->flying);
	list_push(&reached, &u->flying);
}

/* What is left in `flying` is what nobody reaches. */
static void mark(void)
{
	list_each(l, &flying)
	{
		struct unix_sock *u = list_entry(l, struct unix_sock, flying);

		u->outside = u->in_flight;
		u->reached = false;
	}
	list_each(l, &flying)
	{
		const struct unix_sock *u = list_entry(l, struct unix_sock, flying);

		if (candidate(u))
			each_held(u, one_less_outside);
	}
	list_each_safe(l, &flying)
	{
		struct unix_sock *u = list_entry(l, struct unix_sock, flying);

		if (!candidate(u) || u->outside > 0)
			reach(u);
	}
	list_each(l, &reached) each_held(list_entry(l, struct unix_sock, flying), reach);
}

/* The inboxes of what nobody reaches into `to`; false: there is none. */
static bool sweep(struct list *to)
{
	bool found = false;

	list_each(l, &flying)
	{
		struct unix_sock *u = list_entry(l, struct unix_sock, flying);

		found = found || !list_empty(&u->inbox);
		list_splice(to, &u->inbox);
		u->waiting = u->parcels = 0;
		list_each(b, &u->backlog)
		{
			struct unix_sock *waits = list_entry(b, struct unix_sock, in_backlog);

			found = found || !list_empty(&waits->inbox);
			list_splice(to, &waits->inbox);
			waits->waiting = waits->parcels = 0;
		}
	}
	return found;
}

void unix_rights_collect(void)
{
	struct list garbage = LIST_INIT(garbage);

	if (discarding)
		return; /* who discards comes here afterwards */
	while (!list_empty(&flying)) {
		bool found;

		mark();
		found = sweep(&garbage);
		list_splice(&flying, &reached);
		if (!found)
			return;
		unix_discard(&garbage);
	}
}

void unix_discard(struct list *parcels)
{
	struct list *l;

	list_splice(&doomed, parcels);
	/* Closing a socket that was on its way discards more: after this, not within it. */
	if (discarding)
		return;
	discarding = true;
	while ((l = list_pop(&doomed)))
		unix_parcel_free(list_entry(l, struct parcel, link));
	discarding = false;
}

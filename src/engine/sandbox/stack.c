/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/refuse.h"
#include "engine/sandbox/cards.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/server.h"
#include "fmt/spec.h"
#include "proto/interface.h"

#define PROGRAM	  "atoll-netstack"
#define WHO	  "a sandbox with a strict network"
#define LINKS_MAX 64
#define WORDS_MAX 64

int stack_wanted(const struct spec *s, bool *ret, struct err *e)
{
	const char *v = spec_annotation(s, STACK_ANNOTATION);

	*ret = v && streq(v, "strict");
	if (v && !*ret && !streq(v, "broker"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "annotation " STACK_ANNOTATION ": '%.60s' is neither strict nor "
			       "broker",
			       v);
	if (*ret && !s->linux_.ns[SPEC_NS_NETWORK].present)
		return refuse_to(e, WHO,
				 "use the host's interfaces: give it a network namespace (a "
				 "bridge network), or leave out the annotation " STACK_ANNOTATION);
	return 0;
}

struct taking {
	struct sandbox *s;
	int netns;
	struct netlink_link links[LINKS_MAX];
	const struct netlink_link *card; /* NULL: none */
	struct agent_interface interface;
	int fd; /* owned: its packets */
};

static int find(struct taking *t, int sock, struct err *e)
{
	size_t n = 0;
	int r = netlink_links(sock, t->links, LINKS_MAX, &n);

	if (r < 0)
		return err_sys(e, -r, "interfaces of the sandbox's network namespace");
	for (size_t i = 0; i < n; i++) {
		if (!cards_are(&t->links[i]))
			continue;
		if (t->card)
			return refuse_to(e, WHO, "have two interfaces ('%s' and '%s')",
					 t->card->name, t->links[i].name);
		t->card = &t->links[i];
	}
	if (t->card && streq(t->card->alias, CARDS_ALIAS))
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "the network interface '%s' is another workload's alone: a strict "
			       "network cannot be shared",
			       t->card->name);
	return 0;
}

static int take(void *arg, int sock, struct err *e)
{
	struct taking *t = arg;
	struct sandbox *s = t->s;
	int r = find(t, sock, e);

	if (r < 0 || !t->card)
		return r;
	r = interface_read(&s->arena, sock, t->card, &t->interface, e);
	if (r < 0)
		return r;
	t->interface.was = "";
	t->fd = cards_packets(t->card->index);
	if (t->fd < 0)
		return err_sys(e, -t->fd, "packets of '%s'", t->card->name);
	r = cards_note(&s->taken, s->state_fd, t->netns, s->spec->linux_.ns[SPEC_NS_NETWORK].path,
		       &t->interface, 1, e);
	if (r < 0)
		return r;
	r = cards_strip(&s->taken, 0, sock, t->card, &s->arena);
	return r < 0 ? err_sys(e, -r, "take over the network interface '%s'", t->card->name) : 0;
}

struct command {
	char *words[WORDS_MAX + 1];
	size_t n;
	bool failed;
};

/* text: of the arena, NULL: it was full. */
static void add(struct command *c, const char *name, char *text)
{
	if (!text || c->n + 2 > WORDS_MAX) {
		c->failed = true;
		return;
	}
	c->words[c->n++] = (char *) (uintptr_t) name; /* nobody writes to it */
	c->words[c->n++] = text;
}

/* Of IPv4, which the stack has alone; of IPv6 there is nothing while it runs. */
static int add_interface(struct command *c, struct arena *a, const struct agent_interface *i,
			 struct err *e)
{
	const char *own = NULL;

	add(c, "--name", arena_strdup(a, i->name));
	add(c, "--mac", arena_strdup(a, i->mac));
	add(c, "--mtu", arena_printf(a, "%llu", (unsigned long long) i->mtu));
	for (size_t n = 0; n < i->addresses.n; n++) {
		const struct agent_address *v = &i->addresses.v[n];

		if (strchr(v->address, ':'))
			continue;
		if (own || *v->peer)
			return refuse_to(e, WHO, "have '%.60s': it has one address, of a network",
					 v->address);
		own = v->address;
		add(c, "--address", arena_strdup(a, own));
	}
	for (size_t n = 0; own && n < i->routes.n; n++) {
		const struct agent_route *v = &i->routes.v[n];
		const char *to = *v->to ? v->to : "0.0.0.0/0";

		if (strchr(to, ':') || strchr(v->gateway, ':'))
			continue;
		add(c, "--route",
		    arena_printf(a, "%s%s%s", to, *v->gateway ? "," : "", v->gateway));
	}
	return c->failed ? refuse_to(e, WHO, "have more than %d routes", 16) : 0;
}

static int start(struct taking *t, int sock, bool low_ports, int log_fd, struct err *e)
{
	struct sandbox *s = t->s;
	struct command c = {};
	int fds[2] = { FD_NONE, t->fd };
	const struct server how = { .program = PROGRAM,
				    .words = c.words,
				    .fds = fds,
				    .fds_n = t->card ? 2 : 1,
				    .netns_fd = FD_NONE,
				    .log_fd = log_fd };
	pid_t pid;

	c.words[c.n++] = (char[]){ PROGRAM };
	add(&c, "--socket", arena_printf(&s->arena, "fd:%d", SERVER_SOCKET));
	add(&c, "--privileged-ports", arena_strdup(&s->arena, low_ports ? "allow" : "deny"));
	if (t->card)
		add(&c, "--wire", arena_printf(&s->arena, "fd:%d", SERVER_SOCKET + 1));
	if (t->card && add_interface(&c, &s->arena, &t->interface, e) < 0)
		return -1;
	if (c.failed)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	return server_start_at(&how, s->groups, sock, &pid, &s->broker_pidfd, e);
}

int stack_plug(struct sandbox *s, int netns_fd, int sock, bool low_ports, int log_fd, struct err *e)
{
	auto_free struct taking *t = calloc(1, sizeof(*t));
	const char *path = s->spec->linux_.ns[SPEC_NS_NETWORK].path;
	int r = 0;

	if (!t)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	t->s = s;
	t->netns = netns_fd;
	t->fd = FD_NONE;
	if (path)
		r = cards_check(netns_fd, path, WHO, e);
	r = r < 0 ? r : cards_visit(netns_fd, take, t, e);
	r = r < 0 ? r : start(t, sock, low_ports, log_fd, e);
	close_fd(&t->fd);
	return r;
}

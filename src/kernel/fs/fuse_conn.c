/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the FUSE client and their answers: numbered, checked, in any order. */
#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"

#define ERRNO_MOST 133 /* of Linux; above are numbers of this kernel's own */
#define READ_AHEAD (128u << 10)

struct farewell {
	struct list link;
	uint32_t op;
	uint64_t node, handle;
};

static struct list all = LIST_INIT(all);
static struct heap_cache conns = HEAP_CACHE_INIT(struct fuse_conn);
static struct heap_cache farewells = HEAP_CACHE_INIT(struct farewell);

/* ---- out ---- */

static int send(struct fuse_conn *c, struct fuse_in_header *h, const struct fuse_part *in, size_t n)
{
	struct fuse_part parts[1 + FUSE_CALL_PARTS] = { { h, sizeof(*h) } };
	size_t count = 1;
	int r;

	h->len = sizeof(*h);
	for (size_t i = 0; i < n; i++) {
		if (!in[i].n)
			continue;
		parts[count++] = in[i];
		h->len += (uint32_t) in[i].n;
	}
	r = c->lost ? -EIO : c->transport->send(c->transport, parts, count);
	if (r < 0 && r != -EAGAIN && !c->lost)
		fuse_lost(c);
	return r < 0 && r != -EAGAIN ? -EIO : r;
}

/* It has no number, so that no answer comes. */
static int send_farewell(struct fuse_conn *c, const struct farewell *w)
{
	struct fuse_in_header h = { .opcode = w->op, .nodeid = w->node };
	struct fuse_release_in release = { .fh = w->handle };

	return send(c, &h, &(struct fuse_part){ &release, sizeof(release) }, 1);
}

void fuse_farewell(struct fuse_conn *c, uint32_t op, uint64_t node, uint64_t handle)
{
	struct farewell w = { .op = op, .node = node, .handle = handle }, *kept;

	if (list_empty(&c->farewells) && send_farewell(c, &w) != -EAGAIN)
		return;
	kept = heap_cache_alloc(&farewells);
	if (!kept)
		return; /* the server keeps it to the end */
	kept->op = op;
	kept->node = node;
	kept->handle = handle;
	list_push(&c->farewells, &kept->link);
}

/* Behind farewells: a handle is given back before its node. */
void fuse_forget_all(struct fuse_conn *c)
{
	struct fuse_in_header h = { .opcode = FUSE_BATCH_FORGET };
	struct fuse_batch_forget_in in = { .count = c->forgets_n };
	struct fuse_part parts[] = {
		{ &in, sizeof(in) },
		{ c->forgets, c->forgets_n * sizeof(c->forgets[0]) },
	};

	if (c->forgets_n && list_empty(&c->farewells) &&
	    send(c, &h, parts, countof(parts)) != -EAGAIN)
		c->forgets_n = 0;
}

void fuse_forget(struct fuse_conn *c, uint64_t node, uint64_t lookups, bool now)
{
	if (c->forgets_n == FUSE_FORGETS_MOST)
		fuse_forget_all(c);
	if (c->forgets_n == FUSE_FORGETS_MOST)
		return; /* the server keeps it to the end */
	c->forgets[c->forgets_n++] = (struct fuse_forget_one){ .nodeid = node, .nlookup = lookups };
	if (now || c->forgets_n == FUSE_FORGETS_MOST)
		fuse_forget_all(c);
	else if (c->forgets_n == 1)
		(void) waitq_wake(&c->work, 0, 0);
}

void fuse_sendable(struct fuse_conn *c)
{
	while (!list_empty(&c->farewells)) {
		struct farewell *w = list_entry(c->farewells.next, struct farewell, link);

		if (send_farewell(c, w) == -EAGAIN)
			return;
		list_remove(&w->link);
		heap_cache_free(&farewells, w);
	}
	if (c->forgets_n == FUSE_FORGETS_MOST)
		fuse_forget_all(c);
	(void) waitq_wake(&c->room, 0, 0);
}

/* What is said of a file comes in the order of the calls, farewells among them. */
static int try(struct fuse_conn *c, struct fuse_call *q, struct fuse_in_header *h)
{
	if (!list_empty(&c->farewells) && !c->lost)
		fuse_sendable(c);
	if (!list_empty(&c->farewells) && !c->lost)
		return -EAGAIN;
	return send(c, h, q->in, FUSE_CALL_PARTS);
}

int fuse_call(struct fuse_conn *c, struct fuse_call *q)
{
	struct fuse_in_header h = {
		.opcode = q->op, .nodeid = q->node, .uid = q->uid, .gid = q->gid, .pid = 1
	};
	int r = -EAGAIN;

	h.unique = ++c->last;
	(void) waitq_wait(&c->room, (r = try(c, q, &h)) != -EAGAIN, NSEC_NEVER, 0);
	if (r < 0)
		return r;
	q->data = FUSE_NO_DATA;
	q->fiber = fiber_now();
	q->answered = false;
	tree_insert(&c->calls, &q->by_number, h.unique);
	while (!q->answered)
		fiber_park();
	return q->result;
}

/* ---- in ---- */

static void answer(struct fuse_conn *c, struct fuse_call *q, int result)
{
	tree_remove(&c->calls, &q->by_number);
	q->result = result;
	q->answered = true;
	fiber_wake(q->fiber);
}

void fuse_data_close(struct fuse_conn *c, int data)
{
	if (data >= 0)
		c->transport->close(c->transport, data);
}

static bool opens(const struct fuse_call *q)
{
	return q->op == FUSE_OPEN || q->op == FUSE_CREATE || q->op == FUSE_TMPFILE;
}

static int result_of(const struct fuse_call *q, const struct fuse_out_header *h, size_t body)
{
	if (h->error > 0 || h->error < -ERRNO_MOST || (h->error && body))
		return -EIO;
	if (h->error)
		return h->error;
	return body < q->least || body > q->room ? -EIO : 0;
}

int fuse_received(struct fuse_conn *c, const void *message, size_t n, int data)
{
	struct fuse_out_header h;
	struct fuse_call *q;
	struct tree_node *t;
	int r;

	memcpy(&h, message, min_of(n, sizeof(h)));
	t = n < sizeof(h) || h.len != n ? NULL : tree_from(&c->calls, h.unique);
	if (!t || t->key != h.unique) {
		fuse_data_close(c, data);
		return n < sizeof(h) || h.len != n ? -EPROTO : 0; /* of a farewell */
	}
	q = container_of(t, struct fuse_call, by_number);
	r = result_of(q, &h, n - sizeof(h));
	if (r < 0 || !opens(q))
		fuse_data_close(c, data);
	else
		q->data = data;
	if (r == 0) {
		q->got = n - sizeof(h);
		if (q->got)
			memcpy(q->out, (const char *) message + sizeof(h), q->got);
	}
	answer(c, q, r);
	return 0;
}

bool fuse_waits(const struct fuse_conn *c)
{
	return tree_first(&c->calls) != NULL;
}

void fuse_lost(struct fuse_conn *c)
{
	struct tree_node *t;

	if (c->lost)
		return;
	c->lost = true;
	while ((t = tree_first(&c->calls)))
		answer(c, container_of(t, struct fuse_call, by_number), -EIO);
	fuse_sendable(c); /* farewells go nowhere, and who waits to send hears it */
}

/* ---- a connection ---- */

static int begin(struct fuse_conn *c)
{
	struct fuse_init_in in = { .major = FUSE_KERNEL_VERSION,
				   .minor = FUSE_KERNEL_MINOR_VERSION,
				   .max_readahead = READ_AHEAD,
				   .flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC |
					    FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_MAX_PAGES |
					    FUSE_DO_READDIRPLUS };
	struct fuse_init_out out = {};
	struct fuse_call q = { .op = FUSE_INIT,
			       .in = { { &in, sizeof(in) } },
			       .out = &out,
			       .least = FUSE_COMPAT_22_INIT_OUT_SIZE,
			       .room = sizeof(out) };
	int r = fuse_call(c, &q);

	if (r < 0)
		return r;
	if (out.major != FUSE_KERNEL_VERSION || out.minor < 31 ||
	    out.max_write < c->transport->most)
		return -EPROTO;
	return 0;
}

/* Pages that the server has, too, for who has no memory left. */
static bool relieve(void)
{
	list_each(l, &all)
	{
		if (fuse_evict(list_entry(l, struct fuse_conn, all)))
			return true;
	}
	return false;
}

static void conn_free(struct fuse_conn *c)
{
	list_remove(&c->all);
	heap_free(c->bytes);
	heap_cache_free(&conns, c);
}

int fuse_connect(struct fuse_transport *t, struct fuse_conn **ret)
{
	struct fuse_conn *c = heap_cache_alloc(&conns);
	struct fiber *f;
	int r;

	if (!c)
		return -ENOMEM;
	c->transport = t;
	waitq_init(&c->room);
	waitq_init(&c->work);
	sleeplock_init(&c->writing);
	list_init(&c->farewells);
	list_init(&c->recent);
	list_init(&c->reading);
	list_init(&c->cached);
	list_init(&c->dirty);
	c->bytes = heap_alloc(t->most);
	if (!c->bytes) {
		heap_cache_free(&conns, c);
		return -ENOMEM;
	}
	list_push(&all, &c->all);
	frame_set_relief(relieve);
	*ret = c; /* answers come by it */
	r = begin(c);
	if (r == 0)
		r = sched_spawn(fuse_writer, c, &f);
	if (r < 0) {
		*ret = NULL;
		conn_free(c);
	}
	return r;
}

void fuse_conn_free(struct fuse_conn *c)
{
	struct fuse_transport *t = c->transport;

	conn_free(c);
	if (t->gone)
		t->gone(t);
}

void fuse_conn_left(struct fuse_conn *c)
{
	if (--c->users == 0 && c->ends)
		(void) waitq_wake(&c->work, 0, 0);
}

void fuse_disconnect(struct fuse_conn *c)
{
	fuse_lost(c);
	c->ends = true;
	(void) waitq_wake(&c->work, 0, 0);
}

int fuse_sync(void)
{
	struct list *l = all.next;
	int r = 0;

	while (l != &all) {
		struct fuse_conn *c = list_entry(l, struct fuse_conn, all);
		int one;

		c->users++; /* it stays, and so does its place */
		one = fuse_write_all(c);
		r = r < 0 ? r : one;
		l = l->next;
		fuse_conn_left(c);
	}
	return r;
}

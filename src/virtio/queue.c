/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/queue.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Flags of the two rings (virtio 1.2, 2.7.6 and 2.7.8). */
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY	   1

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are read as they are");
static_assert(sizeof(struct queue_desc) == 16, "2.7.5");

/* The rings as arrays of 16 bits: where each field is. */
enum { RING_FLAGS, RING_IDX, RING_ENTRIES };

static uint16_t *used_event(const struct queue *q) /* what the driver wants to be told of */
{
	return &q->avail_ring[RING_ENTRIES + q->size];
}

static uint16_t *avail_event(const struct queue *q) /* what we want to be told of */
{
	return &q->used_ring[RING_ENTRIES + 4 * (size_t) q->size];
}

static uint16_t avail_idx(const struct queue *q)
{
	return __atomic_load_n(&q->avail_ring[RING_IDX], __ATOMIC_ACQUIRE);
}

/* [gpa, gpa + n), aligned here and there; NULL: it is not. */
static void *map_ring(const struct queue *q, uint64_t gpa, size_t n, size_t alignment)
{
	void *p = gpa % alignment == 0 ? guest_memory_at(q->memory, gpa, n) : NULL;

	return (uintptr_t) p % alignment == 0 ? p : NULL;
}

int queue_start(struct queue *q)
{
	size_t size = q->size;
	struct queue_desc *descs;
	uint16_t *avail, *used;

	if (size == 0 || size > QUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	/* Sizes and alignments: 2.7, the table of the three parts. */
	descs = map_ring(q, q->desc, sizeof(*descs) * size, 16);
	avail = map_ring(q, q->avail, 6 + 2 * size, 2);
	used = map_ring(q, q->used, 6 + 8 * size, 4);
	if (!descs || !avail || !used)
		return -EINVAL;
	q->descs = descs;
	q->avail_ring = avail;
	q->used_ring = used;
	q->broken = false;
	q->staged = 0;
	q->signalled = q->next_used;
	q->signalled_ever = false;
	return 0;
}

void queue_resume(struct queue *q, uint16_t next_avail)
{
	q->next_avail = next_avail;
	q->next_used = __atomic_load_n(&q->used_ring[RING_IDX], __ATOMIC_RELAXED);
	q->signalled = q->next_used;
}

void queue_mark_used(const struct queue *q)
{
	guest_memory_mark(q->memory, q->used, 6 + 8 * (uint64_t) q->size);
}

void queue_reset(struct queue *q)
{
	*q = (struct queue){ .memory = q->memory };
}

/* Read once, as the driver may be writing it: from here on only the copy counts. */
static struct queue_desc load_desc(const struct queue_desc *table, size_t at)
{
	struct queue_desc d;

	/* By bytes: an indirect table may lie anywhere (2.7.5.3 asks for no alignment). */
	memcpy(&d, (const uint8_t *) table + at * sizeof(d), sizeof(d));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return d;
}

/* Append the buffer of one descriptor. false: not memory, too much, or out after in (2.7.4.2). */
static bool add_buffer(const struct queue *q, struct chain *c, const struct queue_desc *d)
{
	bool in = d->flags & QUEUE_DESC_WRITE;
	uint64_t gpa = d->addr;
	size_t left = d->len;

	if (!in && c->in_n > 0)
		return false;
	if (left > CHAIN_BYTES_MAX - c->out_bytes - c->in_bytes)
		return false;
	while (left > 0) {
		size_t n = left, parts = c->out_n + c->in_n;
		void *p = guest_memory_span(q->memory, gpa, &n);

		if (!p || parts == CHAIN_PARTS_MAX)
			return false;
		c->parts[parts] = (struct iovec){ p, n };
		if (in) {
			guest_memory_mark(q->memory, gpa, n);
			c->in_n++;
			c->in_bytes += n;
		} else {
			c->out_n++;
			c->out_bytes += n;
		}
		gpa += n;
		left -= n;
	}
	return true;
}

/*
 * The chain that begins at descriptor `at` of a table of n. A chain longer than its table has a
 * loop. *ret_indirect is the descriptor of an indirect table it ends with, if .flags say so.
 */
static bool walk_table(const struct queue *q, const struct queue_desc *table, size_t n, size_t at,
		       struct chain *c, struct queue_desc *ret_indirect)
{
	for (size_t count = 0; count < n; count++) {
		struct queue_desc d;

		if (at >= n)
			return false;
		d = load_desc(table, at);
		if (d.flags & QUEUE_DESC_INDIRECT) {
			*ret_indirect = d;
			return !(d.flags & QUEUE_DESC_NEXT); /* 2.7.5.3.1 */
		}
		if (!add_buffer(q, c, &d))
			return false;
		if (!(d.flags & QUEUE_DESC_NEXT))
			return true;
		at = d.next;
	}
	return false;
}

/* The table that `d` describes (2.7.5.3); it must not lead to another. */
static bool walk_indirect(const struct queue *q, const struct queue_desc *d, struct chain *c)
{
	struct queue_desc nested = {};
	const struct queue_desc *table;

	if (!q->indirect || d->len == 0 || d->len % sizeof(*table) != 0 ||
	    d->len / sizeof(*table) > UINT16_MAX + 1u)
		return false;
	table = guest_memory_at(q->memory, d->addr, d->len);
	if (!table)
		return false;
	return walk_table(q, table, d->len / sizeof(*table), 0, c, &nested) &&
	       !(nested.flags & QUEUE_DESC_INDIRECT);
}

static bool walk(const struct queue *q, struct chain *c)
{
	struct queue_desc indirect = {};

	c->out_n = c->in_n = 0;
	c->out_bytes = c->in_bytes = 0;
	if (!walk_table(q, q->descs, q->size, c->head, c, &indirect))
		return false;
	if ((indirect.flags & QUEUE_DESC_INDIRECT) && !walk_indirect(q, &indirect, c))
		return false;
	c->out = c->parts;
	c->in = c->parts + c->out_n;
	return true;
}

void chain_copy(struct chain *to, const struct chain *from)
{
	size_t n = from->out_n + from->in_n;

	to->head = from->head;
	to->out_n = from->out_n;
	to->in_n = from->in_n;
	to->out_bytes = from->out_bytes;
	to->in_bytes = from->in_bytes;
	memcpy(to->parts, from->parts, n * sizeof(to->parts[0]));
	to->out = to->parts;
	to->in = to->parts + to->out_n;
}

int queue_pop(struct queue *q, struct chain *c)
{
	uint16_t waiting;

	if (!q->descs || q->broken)
		return 0;
	waiting = avail_idx(q) - q->next_avail;
	if (waiting == 0)
		return 0;
	if (waiting <= q->size) {
		size_t slot = q->next_avail & (q->size - 1u);

		c->head = __atomic_load_n(&q->avail_ring[RING_ENTRIES + slot], __ATOMIC_RELAXED);
		if (walk(q, c)) {
			q->next_avail++;
			return 1;
		}
	}
	q->broken = true;
	return -EPROTO;
}

void queue_unpop(struct queue *q)
{
	q->next_avail--;
}

void queue_stage(struct queue *q, uint16_t head, uint32_t written)
{
	size_t slot = (uint16_t) (q->next_used + q->staged) & (q->size - 1u);
	uint16_t *entry = &q->used_ring[RING_ENTRIES + 4 * slot];
	const uint32_t element[2] = { head, written };

	memcpy(entry, element, sizeof(element));
	q->staged++;
}

void queue_publish(struct queue *q)
{
	q->next_used += q->staged;
	q->staged = 0;
	__atomic_store_n(&q->used_ring[RING_IDX], q->next_used, __ATOMIC_RELEASE);
}

void queue_push(struct queue *q, uint16_t head, uint32_t written)
{
	queue_stage(q, head, written);
	queue_publish(q);
}

bool queue_wants_interrupt(struct queue *q)
{
	uint16_t old = q->signalled, new = q->next_used;
	bool ever = q->signalled_ever;

	if (!q->descs || q->broken || new == old)
		return false;
	/* Our index goes out before its event is read; the driver does the same in reverse. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->signalled = new;
	q->signalled_ever = true;
	if (q->event_idx) {
		uint16_t event = __atomic_load_n(used_event(q), __ATOMIC_RELAXED);

		/* 2.7.7.2: whether the step from old to new went past event. */
		return !ever || (uint16_t) (new - event - 1) < (uint16_t) (new - old);
	}
	return !(__atomic_load_n(&q->avail_ring[RING_FLAGS], __ATOMIC_RELAXED) &
		 AVAIL_NO_INTERRUPT);
}

bool queue_enable_kicks(struct queue *q)
{
	if (!q->descs || q->broken)
		return false;
	if (q->event_idx)
		__atomic_store_n(avail_event(q), q->next_avail, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->used_ring[RING_FLAGS], 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_idx(q) != q->next_avail;
}

uint16_t queue_waiting(const struct queue *q)
{
	return q->descs ? (uint16_t) (avail_idx(q) - q->next_avail) : 0;
}

void queue_await_kick(struct queue *q)
{
	if (!q->descs || q->broken)
		return;
	if (q->event_idx)
		__atomic_store_n(avail_event(q), avail_idx(q), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->used_ring[RING_FLAGS], 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void queue_await_chains(struct queue *q, uint16_t n)
{
	if (q->descs && !q->broken && q->event_idx)
		__atomic_store_n(avail_event(q), (uint16_t) (q->next_avail + n - 1),
				 __ATOMIC_RELAXED);
}

void queue_disable_kicks(struct queue *q)
{
	/* With event indices the old one stands, which is behind: no kick until we ask again. */
	if (q->descs && !q->event_idx)
		__atomic_store_n(&q->used_ring[RING_FLAGS], USED_NO_NOTIFY, __ATOMIC_RELAXED);
}

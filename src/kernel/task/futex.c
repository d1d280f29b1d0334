/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/futex.h"

#include <linux/futex.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/core/list.h"
#include "kernel/core/sched.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/platform.h"

/* what: a struct space, at: an address; or a struct pager, which is kept while somebody waits, and
 * an offset in bytes. */
struct key {
	const void *what;
	uint64_t at;
	struct pager *pager;
};

/* Who waits; on its own stack. Out of every queue: woken. */
struct sleeper {
	struct list link;
	struct key key;
	struct fiber *fiber;
	uint32_t bits;
	bool woken;
};

#define QUEUES	   256
#define SWAPS_MOST 10000 /* of a word that others change all the time */

static struct list *queue_of(const struct key *k)
{
	static struct list queues[QUEUES];
	uint64_t h = ((uintptr_t) k->what >> 4 ^ k->at >> 2) * 0x9e3779b97f4a7c15u;
	struct list *q = &queues[h >> 56];

	_Static_assert(QUEUES == 1 << 8, "the upper bits of the hash");
	if (!q->next)
		list_init(q);
	return q;
}

static bool same(const struct key *a, const struct key *b)
{
	return a->what == b->what && a->at == b->at;
}

/* With an owner of the pager, if it is one's; given back by key_drop(). May park. */
static int key_find(struct space *s, uva_t at, bool shared, struct key *ret)
{
	struct vma *v;

	if (at.v & 3)
		return -EINVAL;
	if (at.v >= plat_user_high())
		return -EFAULT;
	*ret = (struct key){ .what = s, .at = at.v };
	if (!shared)
		return 0;
	v = space_find(s, at.v);
	if (!v && space_fault(s, at.v, PLAT_READ) == FAULT_DONE)
		v = space_find(s, at.v); /* a stack that grew */
	if (!v)
		return -EFAULT;
	/* What cannot be read is nobody's word, whoever would wait there. */
	if (space_frame(s, at.v, PLAT_READ) == FRAME_NONE) {
		if (space_fault(s, at.v, PLAT_READ) != FAULT_DONE)
			return -EFAULT;
		v = space_find(s, at.v); /* others ran meanwhile */
		if (!v)
			return -EFAULT;
	}
	if (v->flags & VMA_SHARED && v->pager) {
		*ret = (struct key){
			.what = v->pager,
			.at = (v->first << PAGE_SHIFT) + (at.v - vma_start(v)),
			.pager = v->pager,
		};
		pager_ref(v->pager);
	}
	return 0;
}

static void key_drop(struct key *k)
{
	if (k->pager)
		pager_unref(k->pager);
}

static void sleeper_wake(struct sleeper *w)
{
	list_remove(&w->link);
	w->woken = true;
	fiber_wake(w->fiber);
}

/* Linux's quirk: one is woken where none was asked for. */
static unsigned int wake(const struct key *k, int most, uint32_t bits)
{
	struct list *q = queue_of(k);
	unsigned int n = 0;

	list_each_safe(l, q)
	{
		struct sleeper *w = list_entry(l, struct sleeper, link);

		if (!same(&w->key, k) || !(w->bits & bits))
			continue;
		sleeper_wake(w);
		if ((int) ++n >= most)
			break;
	}
	return n;
}

static sysret_t wake_at(struct space *s, uva_t at, bool shared, int most, uint32_t bits)
{
	struct key k;
	unsigned int n;
	int r;

	if (!bits)
		return -EINVAL;
	r = key_find(s, at, shared, &k);
	if (r < 0)
		return r;
	n = wake(&k, most, bits);
	key_drop(&k);
	return n;
}

sysret_t futex_wake(struct space *s, uva_t at, unsigned int most)
{
	return wake_at(s, at, true, (int) min_of(most, (unsigned int) INT32_MAX),
		       FUTEX_BITSET_MATCH_ANY);
}

/* 0, -EAGAIN, -ETIMEDOUT, -ERESTARTSYS, -EFAULT, -EINVAL. */
static int wait(struct space *s, const struct futex_again *a)
{
	struct sleeper w = { .fiber = fiber_now(), .bits = a->bits };
	uint32_t value;
	int r;

	if (!a->bits)
		return -EINVAL;
	r = key_find(s, uva(a->at), a->shared, &w.key);
	if (r < 0)
		return r;
	/* In the queue before it looks: reading may park, too. */
	list_push(queue_of(&w.key), &w.link);
	r = word_read(s, uva(a->at), &value);
	if (r == 0 && value != a->value)
		r = -EAGAIN;
	while (r == 0 && !w.woken) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(a->deadline);
	}
	list_remove(&w.link);
	key_drop(&w.key); /* which a requeue may have changed */
	return w.woken ? 0 : r;
}

/* ---- several at once ---- */

/* Leaves all queues: which of them was woken first, or none. */
static int out_of_queues(struct sleeper *w, unsigned int n)
{
	int woken = -1;

	while (n-- > 0) {
		list_remove(&w[n].link);
		key_drop(&w[n].key);
		if (w[n].woken)
			woken = (int) n;
	}
	return woken;
}

static bool any_woken(const struct sleeper *w, unsigned int n)
{
	while (n-- > 0) {
		if (w[n].woken)
			return true;
	}
	return false;
}

/* *ret_n: how many of them stand in a queue. */
static int into_queues(struct space *s, const struct futex_word *words, unsigned int n,
		       struct sleeper *w, unsigned int *ret_n)
{
	uint32_t value;
	int r = 0;

	for (unsigned int k = 0; r == 0 && k < n; k++) {
		w[k] = (struct sleeper){ .fiber = fiber_now(), .bits = FUTEX_BITSET_MATCH_ANY };
		r = key_find(s, uva(words[k].at), words[k].shared, &w[k].key);
		if (r < 0)
			break;
		list_push(queue_of(&w[k].key), &w[k].link);
		*ret_n = k + 1;
	}
	for (unsigned int k = 0; r == 0 && k < n; k++) {
		r = word_read(s, uva(words[k].at), &value);
		if (r == 0 && value != words[k].value)
			r = -EAGAIN;
	}
	return r;
}

sysret_t futex_wait_any(struct space *s, const struct futex_word *words, unsigned int n,
			nsec_t deadline)
{
	struct sleeper *w = heap_alloc(n * sizeof(*w));
	unsigned int in = 0;
	int r, woken;

	if (!w)
		return -ENOMEM;
	r = into_queues(s, words, n, w, &in);
	while (r == 0 && !any_woken(w, in)) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(deadline);
	}
	woken = out_of_queues(w, in);
	heap_free(w);
	/* The time is a point on a clock: it is the same when it is begun again. */
	return woken >= 0 ? woken : r;
}

sysret_t futex_go_on(struct space *s, const struct futex_again *again)
{
	int r = wait(s, again);

	return r == -ERESTARTSYS ? -ERESTART_RESTARTBLOCK : r;
}

/* FUTEX_WAIT's time is a span, FUTEX_WAIT_BITSET's a point on a clock. -EFAULT, -EINVAL. */
static int deadline_of(struct space *s, uint64_t time, int op, nsec_t *ret)
{
	struct __kernel_timespec t;
	nsec_t now = plat_now(PLAT_MONOTONIC), n;

	if (copy_in(s, &t, uva(time), sizeof(t)) < 0)
		return -EFAULT;
	if (!clock_nsec(&t, &n))
		return -EINVAL;
	if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT)
		n = clock_add(n, now);
	else if (op & FUTEX_CLOCK_REALTIME)
		n = max_of(n - (plat_now(PLAT_REALTIME) - now), (nsec_t) 0);
	*ret = n;
	return 0;
}

static sysret_t requeue(struct space *s, const uint64_t args[6], bool shared, bool compare)
{
	int most = (int) args[1], move = (int) args[3], n = 0, r;
	struct key from, to;
	uint32_t value;

	if (most < 0 || move < 0)
		return -EINVAL;
	r = key_find(s, uva(args[0]), shared, &from);
	if (r < 0)
		return r;
	r = key_find(s, uva(args[4]), shared, &to);
	if (r < 0) {
		key_drop(&from);
		return r;
	}
	if (compare) {
		r = word_read(s, uva(args[0]), &value);
		if (r == 0 && value != (uint32_t) args[5])
			r = -EAGAIN;
	}
	if (r == 0) {
		list_each_safe(l, queue_of(&from))
		{
			struct sleeper *w = list_entry(l, struct sleeper, link);

			if (!same(&w->key, &from))
				continue;
			if (n - most >= move)
				break;
			if (++n <= most) {
				sleeper_wake(w);
			} else if (!same(&from, &to)) {
				list_remove(&w->link);
				key_drop(&w->key);
				w->key = to;
				if (to.pager)
					pager_ref(to.pager);
				list_push(queue_of(&to), &w->link);
			}
		}
	}
	key_drop(&from);
	key_drop(&to);
	return r < 0 ? r : n;
}

/* The operation of FUTEX_WAKE_OP on what the word was; false: there is none such. */
static bool apply(uint32_t op, uint32_t old, uint32_t *ret_new)
{
	/* Twelve bits with a sign. */
	uint32_t arg = (uint32_t) ((int32_t) (op << 8) >> 20);

	if (op & (uint32_t) FUTEX_OP_OPARG_SHIFT << 28)
		arg = (uint32_t) 1 << (arg & 31);
	switch (op >> 28 & 7) {
	case FUTEX_OP_SET:
		*ret_new = arg;
		return true;
	case FUTEX_OP_ADD:
		*ret_new = old + arg;
		return true;
	case FUTEX_OP_OR:
		*ret_new = old | arg;
		return true;
	case FUTEX_OP_ANDN:
		*ret_new = old & ~arg;
		return true;
	case FUTEX_OP_XOR:
		*ret_new = old ^ arg;
		return true;
	default:
		return false;
	}
}

/* 0 or 1; -ENOSYS: no such comparison. */
static int compares(uint32_t op, uint32_t word)
{
	int32_t arg = (int32_t) (op << 20) >> 20, old = (int32_t) word;

	switch (op >> 24 & 15) {
	case FUTEX_OP_CMP_EQ:
		return old == arg;
	case FUTEX_OP_CMP_NE:
		return old != arg;
	case FUTEX_OP_CMP_LT:
		return old < arg;
	case FUTEX_OP_CMP_LE:
		return old <= arg;
	case FUTEX_OP_CMP_GT:
		return old > arg;
	case FUTEX_OP_CMP_GE:
		return old >= arg;
	default:
		return -ENOSYS;
	}
}

/* The guest's other threads change the word meanwhile, and must not keep the kernel busy by it:
 * -EAGAIN. What it was in *ret_old. */
static int change(struct space *s, uva_t at, uint32_t op, uint32_t *ret_old)
{
	uint32_t old, new, seen;
	int r = word_read(s, at, &old);

	for (int tries = 0; r == 0; old = seen) {
		if (tries++ == SWAPS_MOST)
			return -EAGAIN;
		if (!apply(op, old, &new))
			return -ENOSYS;
		r = word_swap(s, at, old, new, &seen);
		if (r == 0 && seen == old) {
			*ret_old = old;
			return 0;
		}
	}
	return r;
}

static sysret_t wake_op(struct space *s, const uint64_t args[6], bool shared)
{
	uint32_t op = (uint32_t) args[5], old;
	struct key first, second;
	sysret_t n = 0;
	int r = key_find(s, uva(args[0]), shared, &first);

	if (r < 0)
		return r;
	r = key_find(s, uva(args[4]), shared, &second);
	if (r < 0) {
		key_drop(&first);
		return r;
	}
	r = change(s, uva(args[4]), op, &old);
	if (r == 0)
		r = compares(op, old);
	if (r >= 0) {
		n = wake(&first, (int) args[1], FUTEX_BITSET_MATCH_ANY);
		if (r > 0)
			n += wake(&second, (int) args[3], FUTEX_BITSET_MATCH_ANY);
	}
	key_drop(&first);
	key_drop(&second);
	return r < 0 ? r : n;
}

sysret_t futex_call(struct space *s, const uint64_t args[6], struct futex_again *ret_again)
{
	int op = (int) args[1], r;
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	struct futex_again a = {
		.at = args[0],
		.value = (uint32_t) args[2],
		.bits = FUTEX_BITSET_MATCH_ANY,
		.shared = shared,
		.deadline = NSEC_NEVER,
	};
	/* Without the operation. */
	uint64_t rest[6] = { args[0], args[2], 0, args[3], args[4], args[5] };

	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAIT_BITSET:
		a.bits = (uint32_t) args[5];
		[[fallthrough]];
	case FUTEX_WAIT:
		if (args[3]) {
			r = deadline_of(s, args[3], op, &a.deadline);
			if (r < 0)
				return r;
		}
		r = wait(s, &a);
		if (r != -ERESTARTSYS || a.deadline == NSEC_NEVER)
			return r;
		*ret_again = a;
		return -ERESTART_RESTARTBLOCK;
	}
	if (op & FUTEX_CLOCK_REALTIME)
		return -ENOSYS;
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
		return wake_at(s, uva(args[0]), shared, (int) args[2], FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return wake_at(s, uva(args[0]), shared, (int) args[2], (uint32_t) args[5]);
	case FUTEX_REQUEUE:
		return requeue(s, rest, shared, false);
	case FUTEX_CMP_REQUEUE:
		return requeue(s, rest, shared, true);
	case FUTEX_WAKE_OP:
		return wake_op(s, rest, shared);
	default:
		return -ENOSYS;
	}
}

/* ---- robust lists ---- */

/* A lock of a thread that ends. pending: it was being taken or given back. False: unreadable. */
static bool died(struct space *s, uint64_t at, uint32_t tid, bool pi, bool pending)
{
	uint32_t old, new, seen;

	if (word_read(s, uva(at), &old) < 0)
		return false;
	for (int tries = 0; tries < SWAPS_MOST; tries++, old = seen) {
		/* Given back, and nobody told of it yet. */
		if (pending && !pi && !(old & FUTEX_TID_MASK)) {
			(void) futex_wake(s, uva(at), 1); /* it can be read: it can be woken */
			return true;
		}
		if ((old & FUTEX_TID_MASK) != tid)
			return true;
		new = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		if (word_swap(s, uva(at), old, new, &seen) < 0)
			return false;
		if (seen == old) {
			if (!pi && old & FUTEX_WAITERS)
				(void) futex_wake(s, uva(at), 1);
			return true;
		}
	}
	return false;
}

/* The lowest bit of a pointer says that its lock is a PI one. */
static uint64_t entry_at(uint64_t pointer)
{
	return pointer & ~(uint64_t) 1;
}

void futex_robust_exit(struct space *s, uva_t head, uint32_t tid)
{
	/* struct robust_list_head: the first, the distance to the word, one being taken. */
	uint64_t list[3], next;

	if (!head.v || copy_in(s, list, head, sizeof(list)) < 0)
		return;
	uint64_t at = list[0], pending = list[2];

	for (int n = 0; n < ROBUST_LIST_LIMIT && entry_at(at) != head.v; n++) {
		/* Before the lock is free: its next owner may unlink it. */
		bool more = copy_in(s, &next, uva(entry_at(at)), sizeof(next)) == 0;

		if (entry_at(at) != entry_at(pending) &&
		    !died(s, entry_at(at) + list[1], tid, at & 1, false))
			return;
		if (!more)
			break;
		at = next;
	}
	if (entry_at(pending))
		(void) died(s, entry_at(pending) + list[1], tid, pending & 1, true);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes as threads of one space and of two use them, and robust lists, honest and hostile. */
#include <linux/futex.h>
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/futex.h"

#define OWN    ((uint64_t) 0x40000000)
#define COMMON ((uint64_t) 0x50000000) /* in `guest`; another address in `other` */
#define ELSE   ((uint64_t) 0x60000000)
#define TIME   (OWN + 0x800)
#define ROOM   (4 * PAGE_SIZE)

static struct space *guest, *other;

/* One that waits; result: 1 as long as it does. */
struct thread {
	struct space *space;
	uint64_t args[6];
	struct futex_again again;
	sysret_t result;
	struct fiber *fiber;
};

static void body(void *arg)
{
	struct thread *t = arg;

	t->result = futex_call(t->space, t->args, &t->again);
	fiber_exit();
}

static void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

static void begin(struct thread *t, struct space *s, uint64_t at, unsigned int op, uint64_t value,
		  uint64_t time, uint64_t bits)
{
	*t = (struct thread){ .space = s, .args = { at, op, value, time, 0, bits }, .result = 1 };
	CHECK(sched_spawn(body, t, &t->fiber) == 0);
	let_run();
}

static sysret_t call_of(struct space *s, uint64_t at, unsigned int op, uint64_t value, uint64_t d,
			uint64_t at2, uint64_t value3)
{
	struct futex_again again;
	uint64_t args[6] = { at, op, value, d, at2, value3 };
	sysret_t r = futex_call(s, args, &again);

	let_run();
	return r;
}

static void set(struct space *s, uint64_t at, uint32_t value)
{
	CHECK(copy_out(s, uva(at), &value, sizeof(value)) == 0);
}

static uint32_t get(struct space *s, uint64_t at)
{
	uint32_t value = 0xdead;

	CHECK(copy_in(s, &value, uva(at), sizeof(value)) == 0);
	return value;
}

static void set_time(int64_t sec, int64_t nsec)
{
	int64_t t[2] = { sec, nsec };

	CHECK(copy_out(guest, uva(TIME), t, sizeof(t)) == 0);
}

#define P(op)		    (FUTEX_##op | FUTEX_PRIVATE_FLAG)
#define wake_(s, at, op, n) call_of((s), (at), (op), (uint64_t) (n), 0, 0, 0)

static void waits(void)
{
	struct thread t[4];

	set(guest, OWN, 5);
	CHECK(call_of(guest, OWN, P(WAIT), 4, 0, 0, 0) == -EAGAIN);
	CHECK(call_of(guest, OWN + 2, P(WAIT), 5, 0, 0, 0) == -EINVAL);
	CHECK(call_of(guest, OWN + 1, P(WAKE), 5, 0, 0, 0) == -EINVAL);
	CHECK(call_of(guest, 0x1000, P(WAIT), 5, 0, 0, 0) == -EFAULT);
	CHECK(call_of(guest, UINT64_MAX - 3, P(WAKE), 1, 0, 0, 0) == -EFAULT);
	CHECK(call_of(guest, 0x20000, FUTEX_WAKE, 1, 0, 0, 0) == -EFAULT);
	CHECK(call_of(guest, 0x20000, P(WAKE), 1, 0, 0, 0) == 0);
	CHECK(call_of(guest, OWN, P(WAIT_BITSET), 5, 0, 0, 0) == -EINVAL);
	CHECK(call_of(guest, OWN, P(WAKE_BITSET), 5, 0, 0, 0) == -EINVAL);
	CHECK(call_of(guest, OWN, P(WAIT), 5, 0x20000, 0, 0) == -EFAULT);
	CHECK(call_of(guest, OWN, P(LOCK_PI), 0, 0, 0, 0) == -ENOSYS);
	CHECK(call_of(guest, OWN, P(WAKE) | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0) == -ENOSYS);
	CHECK(call_of(guest, OWN, 99, 1, 0, 0, 0) == -ENOSYS);

	/* In the order of their coming; bits choose. */
	for (unsigned int n = 0; n < 4; n++)
		begin(&t[n], guest, OWN, P(WAIT_BITSET), 5, 0, (uint64_t) 1 << (n & 1));
	CHECK(wake_(guest, OWN + 4, P(WAKE), 9) == 0);
	CHECK(wake_(other, OWN, P(WAKE), 9) == 0);
	CHECK(call_of(guest, OWN, P(WAKE_BITSET), 1, 0, 0, 2) == 1);
	CHECK(t[0].result == 1 && t[1].result == 0 && t[2].result == 1 && t[3].result == 1);
	CHECK(wake_(guest, OWN, P(WAKE), 1) == 1 && t[0].result == 0 && t[2].result == 1);
	CHECK(wake_(guest, OWN, P(WAKE), 0) == 1 && t[2].result == 0);
	CHECK(wake_(guest, OWN, P(WAKE), INT32_MAX) == 1 && t[3].result == 0);
	CHECK(wake_(guest, OWN, P(WAKE), 1) == 0);

	begin(&t[0], guest, OWN, P(WAIT), 5, 0, 0);
	fiber_interrupt(t[0].fiber);
	let_run();
	CHECK(t[0].result == -ERESTARTSYS && wake_(guest, OWN, P(WAKE), 1) == 0);
}

static void times(void)
{
	struct thread t;
	nsec_t from = sim_now();

	set_time(0, 700);
	CHECK(call_of(guest, OWN, P(WAIT), 5, TIME, 0, 0) == -ETIMEDOUT && sim_now() == from + 700);
	from = sim_now();
	set_time(from / NSEC_PER_SEC, from % NSEC_PER_SEC + 800);
	CHECK(call_of(guest, OWN, P(WAIT_BITSET), 5, TIME, 0, 1) == -ETIMEDOUT);
	CHECK(sim_now() == from + 800);
	/* What is over is over. */
	CHECK(call_of(guest, OWN, P(WAIT_BITSET), 5, TIME, 0, 1) == -ETIMEDOUT);
	from = plat_now(PLAT_REALTIME);
	set_time(from / NSEC_PER_SEC, from % NSEC_PER_SEC + 900);
	CHECK(call_of(guest, OWN, P(WAIT_BITSET) | FUTEX_CLOCK_REALTIME, 5, TIME, 0, 1) ==
		      -ETIMEDOUT &&
	      plat_now(PLAT_REALTIME) == from + 900);
	set_time(0, NSEC_PER_SEC);
	CHECK(call_of(guest, OWN, P(WAIT), 5, TIME, 0, 0) == -EINVAL);
	set_time(-1, 0);
	CHECK(call_of(guest, OWN, P(WAIT), 5, TIME, 0, 0) == -EINVAL);

	/* Interrupted, it goes on to the same end. */
	set_time(INT64_MAX, 5);
	begin(&t, guest, OWN, P(WAIT), 5, TIME, 0);
	fiber_interrupt(t.fiber);
	let_run();
	CHECK(t.result == -ERESTART_RESTARTBLOCK && t.again.deadline > sim_now());
	t.again.deadline = sim_now() + 300;
	from = sim_now();
	CHECK(futex_go_on(guest, &t.again) == -ETIMEDOUT && sim_now() == from + 300);
}

static void shared(void)
{
	struct thread t[3];

	set(guest, COMMON + 8, 3);
	CHECK(get(other, ELSE + 8) == 3);
	begin(&t[0], guest, COMMON + 8, FUTEX_WAIT, 3, 0, 0);
	begin(&t[1], other, ELSE + 8, FUTEX_WAIT, 3, 0, 0);
	begin(&t[2], guest, COMMON + 8, P(WAIT), 3, 0, 0);
	CHECK(wake_(other, ELSE + 4, FUTEX_WAKE, 5) == 0);
	CHECK(wake_(other, ELSE + 8, FUTEX_WAKE, 5) == 2);
	CHECK(t[0].result == 0 && t[1].result == 0 && t[2].result == 1);
	CHECK(wake_(guest, COMMON + 8, P(WAKE), 5) == 1 && t[2].result == 0);
	/* What the wait knows the word by stays, though the mapping goes. */
	begin(&t[0], other, ELSE + 8, FUTEX_WAIT, 3, 0, 0);
	CHECK(space_unmap(other, ELSE, ROOM) == 0);
	CHECK(wake_(guest, COMMON + 8, FUTEX_WAKE, 5) == 1 && t[0].result == 0);
}

static void requeues(void)
{
	struct thread t[5];

	set(guest, OWN, 5);
	CHECK(call_of(guest, OWN, P(CMP_REQUEUE), 1, 1, OWN + 4, 6) == -EAGAIN);
	CHECK(call_of(guest, OWN, P(REQUEUE), (uint64_t) -1, 1, OWN + 4, 6) == -EINVAL);
	CHECK(call_of(guest, OWN, P(REQUEUE), 1, 1, OWN + 5, 6) == -EINVAL);
	CHECK(call_of(guest, OWN, FUTEX_REQUEUE, 1, 1, 0x20000, 6) == -EFAULT);
	for (unsigned int n = 0; n < 5; n++)
		begin(&t[n], guest, OWN, P(WAIT), 5, 0, 0);
	CHECK(call_of(guest, OWN, P(CMP_REQUEUE), 1, 2, OWN + 4, 5) == 3);
	CHECK(t[0].result == 0 && t[1].result == 1 && t[2].result == 1);
	CHECK(wake_(guest, OWN + 4, P(WAKE), 9) == 2 && t[1].result == 0 && t[2].result == 0);
	/* To where they are: counted, and it ends. */
	CHECK(call_of(guest, OWN, P(REQUEUE), 0, INT32_MAX, OWN, 0) == 2);
	CHECK(call_of(guest, OWN, P(REQUEUE), 0, 0, OWN + 4, 0) == 0);
	CHECK(wake_(guest, OWN, P(WAKE), 9) == 2 && t[3].result == 0 && t[4].result == 0);
	/* Between a page of one's own and a shared one. */
	set(guest, COMMON, 5);
	begin(&t[0], guest, COMMON, FUTEX_WAIT, 5, 0, 0);
	CHECK(call_of(guest, COMMON, FUTEX_REQUEUE, 0, 1, OWN, 0) == 1);
	begin(&t[1], guest, OWN, FUTEX_WAIT, 5, 0, 0);
	CHECK(call_of(guest, OWN, FUTEX_REQUEUE, 0, 5, COMMON + 4, 0) == 2);
	CHECK(wake_(guest, COMMON + 4, FUTEX_WAKE, 9) == 2);
	CHECK(t[0].result == 0 && t[1].result == 0);
}

static uint64_t op_of(unsigned int op, unsigned int arg, unsigned int cmp, unsigned int cmparg)
{
	return FUTEX_OP((uint64_t) op, (uint64_t) arg, (uint64_t) cmp, (uint64_t) cmparg);
}

static void wake_ops(void)
{
	static const struct {
		unsigned int op, arg, old, new;
	} rows[] = {
		{ FUTEX_OP_SET, 7, 3, 7 },
		{ FUTEX_OP_SET, 0xfff, 3, UINT32_MAX },
		{ FUTEX_OP_ADD, 7, 3, 10 },
		{ FUTEX_OP_OR, 6, 3, 7 },
		{ FUTEX_OP_ANDN, 2, 3, 1 },
		{ FUTEX_OP_XOR, 1, 3, 2 },
		{ FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, 3, 1u << 31 },
	};
	static const struct {
		unsigned int cmp, arg, old;
		bool second;
	} compared[] = {
		{ FUTEX_OP_CMP_EQ, 3, 3, true },      { FUTEX_OP_CMP_EQ, 4, 3, false },
		{ FUTEX_OP_CMP_NE, 4, 3, true },      { FUTEX_OP_CMP_LT, 4, 3, true },
		{ FUTEX_OP_CMP_LT, 0xfff, 3, false }, { FUTEX_OP_CMP_LE, 3, 3, true },
		{ FUTEX_OP_CMP_GT, 0xfff, 3, true },  { FUTEX_OP_CMP_GE, 4, 3, false },
	};
	struct thread t[2];

	for (size_t n = 0; n < countof(rows); n++) {
		set(guest, OWN + 4, rows[n].old);
		CHECK(call_of(guest, OWN, P(WAKE_OP), 1, 1, OWN + 4,
			      op_of(rows[n].op, rows[n].arg, FUTEX_OP_CMP_EQ, 0)) == 0);
		CHECK(get(guest, OWN + 4) == rows[n].new);
	}
	for (size_t n = 0; n < countof(compared); n++) {
		set(guest, OWN, 5);
		set(guest, OWN + 4, compared[n].old);
		begin(&t[0], guest, OWN, P(WAIT), 5, 0, 0);
		begin(&t[1], guest, OWN + 4, P(WAIT), compared[n].old, 0, 0);
		CHECK(call_of(guest, OWN, P(WAKE_OP), 9, 9, OWN + 4,
			      op_of(FUTEX_OP_ADD, 0, compared[n].cmp, compared[n].arg)) ==
		      (compared[n].second ? 2 : 1));
		CHECK(t[0].result == 0 && t[1].result == (compared[n].second ? 0 : 1));
		CHECK(wake_(guest, OWN + 4, P(WAKE), 9) == (compared[n].second ? 0 : 1));
	}
	CHECK(call_of(guest, OWN, P(WAKE_OP), 1, 1, OWN + 4, op_of(6, 0, 0, 0)) == -ENOSYS);
	CHECK(call_of(guest, OWN, P(WAKE_OP), 1, 1, OWN + 4, op_of(1, 0, 9, 0)) == -ENOSYS);
	CHECK(call_of(guest, OWN, P(WAKE_OP), 1, 1, 0x20000, op_of(1, 0, 0, 0)) == -EFAULT);
}

/* The list: a head, then two locks, each a pointer and, 16 bytes on, its word. */
static void robust(void)
{
	uint64_t head[3] = { OWN + 64, 16, 0 }, first = OWN + 128, last = OWN;
	struct thread t[3];

	CHECK(copy_out(guest, uva(OWN), head, sizeof(head)) == 0 &&
	      copy_out(guest, uva(OWN + 64), &first, 8) == 0 &&
	      copy_out(guest, uva(OWN + 128), &last, 8) == 0);
	set(guest, OWN + 80, 77 | FUTEX_WAITERS);
	set(guest, OWN + 144, 78);
	begin(&t[0], guest, OWN + 80, FUTEX_WAIT, 77 | FUTEX_WAITERS, 0, 0);
	begin(&t[1], guest, OWN + 80, FUTEX_WAIT, 77 | FUTEX_WAITERS, 0, 0);
	begin(&t[2], guest, OWN + 144, FUTEX_WAIT, 78, 0, 0);
	futex_robust_exit(guest, uva(OWN), 77);
	let_run();
	CHECK(get(guest, OWN + 80) == (FUTEX_OWNER_DIED | FUTEX_WAITERS));
	CHECK(get(guest, OWN + 144) == 78);
	CHECK(t[0].result == 0 && t[1].result == 1 && t[2].result == 1);
	futex_robust_exit(guest, uva(OWN), 78);
	CHECK(get(guest, OWN + 144) == FUTEX_OWNER_DIED);
	CHECK(wake_(guest, OWN + 80, FUTEX_WAKE, 9) == 1);
	CHECK(wake_(guest, OWN + 144, FUTEX_WAKE, 9) == 1);

	/* One that was being given back: its word is free, who waits is told. */
	head[0] = OWN;
	head[2] = OWN + 64;
	CHECK(copy_out(guest, uva(OWN), head, sizeof(head)) == 0);
	set(guest, OWN + 80, 0);
	begin(&t[0], guest, OWN + 80, FUTEX_WAIT, 0, 0, 0);
	futex_robust_exit(guest, uva(OWN), 77);
	let_run();
	CHECK(t[0].result == 0 && get(guest, OWN + 80) == 0);
	/* Locks that lead nowhere, in circles, behind the end of numbers. */
	head[0] = OWN + 64;
	first = OWN + 64;
	CHECK(copy_out(guest, uva(OWN), head, sizeof(head)) == 0 &&
	      copy_out(guest, uva(OWN + 64), &first, 8) == 0);
	futex_robust_exit(guest, uva(OWN), 77);
	head[1] = UINT64_MAX;
	CHECK(copy_out(guest, uva(OWN), head, sizeof(head)) == 0);
	futex_robust_exit(guest, uva(OWN), 77);
	head[0] = head[2] = UINT64_MAX - 7;
	CHECK(copy_out(guest, uva(OWN), head, sizeof(head)) == 0);
	futex_robust_exit(guest, uva(OWN), 77);
	futex_robust_exit(guest, uva(0x20000), 77);
	futex_robust_exit(guest, uva(0), 77);
}

static void map(struct space *s, uint64_t where, struct pager *p)
{
	uint64_t at;

	CHECK(space_map(s,
			&(struct space_mapping){ .at = where,
						 .len = ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .flags = p ? VMA_SHARED : 0,
						 .pager = p,
						 .fixed = true },
			&at) == 0);
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	static const struct pager_ops ops;
	struct pager common;

	(void) arg;
	pager_init(&common, &ops, ROOM);
	guest = space_new(&wide);
	other = space_new(&wide);
	map(guest, OWN, NULL);
	map(other, OWN, NULL);
	map(guest, COMMON, &common);
	map(other, ELSE, &common);
	waits();
	times();
	shared();
	requeues();
	wake_ops();
	robust();
	space_unref(guest);
	space_unref(other);
	CHECK(common.owners == 0);
	pager_fini(&common);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(1024, all);
}

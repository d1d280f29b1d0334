/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates on the real thing: guests whose calls have the form that is patched, from copies of
 * test_gate_guests.h's functions; what becomes of their registers, flags and stacks, and of those
 * that jump to the instruction itself, fork, are kicked, have or lose a gs of their own, go step by
 * step, stand in code that becomes again what it was, end, and go on after their end.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/test_gate_guests.h"

#define RAM  ((uint64_t) 8192)
#define CODE ((uint64_t) 0x400000)
#define ENDS 40 /* enough to be patched on the way */

static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };

struct guest {
	struct space *space;
	struct plat_user *user;
	struct fiber *fiber;
	long value;
	bool ended;
	unsigned int calls, kicks, sites, traps, found, steps;
	bool is_looked; /* whatever is thought of that */
	bool let_go;	/* CALL_HOLD */
	uint64_t code;	/* where its is */
	struct guest *child;
	long answer; /* that is known */
	unsigned int told;
	struct ktimer learn; /* it is another */
	struct ktimer timer; /* kicks it, again and again */
	nsec_t every;
};

static nsec_t learns; /* when it learns another, after the first; 0: not by itself */
static int load;      /* as /proc/loadavg */
static bool parts;    /* it goes apart on the way */
static struct waitq changed = { LIST_INIT(changed.waiters) };

static uint64_t offset(void (*f)(long))
{
	return (uint64_t) ((uintptr_t) f - (uintptr_t) __start_guest);
}

static void check_place(struct guest *g)
{
	uint64_t size = (uint64_t) (__stop_guest - __start_guest);
	struct plat_regs r;

	plat_user_regs(g->user, &r);
	CHECK(r.ip >= g->code && r.ip < g->code + size);
}

static void map(struct space *s, uint64_t at, uint64_t len)
{
	struct space_mapping m = {
		.at = at, .len = len, .prot = PROT_READ | PROT_WRITE, .fixed = true
	};
	uint64_t got;

	CHECK(space_map(s, &m, &got) == 0);
}

static struct space *fresh(unsigned int prot)
{
	struct space *s = space_new(&wide);
	size_t size = (size_t) (__stop_guest - __start_guest);

	map(s, CODE, size);
	CHECK(copy_out(s, uva(CODE), __start_guest, size) == 0);
	CHECK(space_protect(s, CODE, page_up(size), prot) == 0);
	map(s, HEAP, PAGE_SIZE);
	map(s, STACK, 8 * STACK_SIZE);
	return s;
}

static void serve(void *arg);

static void begin(struct guest *g, struct space *s, const struct plat_regs *regs)
{
	*g = (struct guest){ .space = s, .code = CODE };
	space_ref(s);
	g->user = plat_user_new(s->plat, regs);
	CHECK(g->user && sched_spawn(serve, g, &g->fiber) == 0);
}

static sysret_t fork_it(struct guest *g)
{
	struct space *s = space_fork(g->space, 4);
	struct plat_regs regs;

	plat_user_regs(g->user, &regs);
	regs.ax = 0;
	begin(g->child, s, &regs);
	space_unref(s);
	(void) waitq_wait(&changed, g->child->ended, NSEC_NEVER, 0);
	CHECK(g->child->value == 8);
	return 1;
}

static void change_regs(struct guest *g, unsigned int nr, uint64_t a)
{
	struct plat_regs regs;

	plat_user_regs(g->user, &regs);
	CHECK(regs.orig_ax == nr && regs.cx == regs.ip && regs.di == a);
	if (nr == CALL_GS) {
		CHECK(regs.gs_base == 0);
		regs.gs_base = a;
	} else {
		CHECK(regs.bx == 5);
		regs.bx += a;
		regs.ip += 2; /* over ud2 */
	}
	plat_user_set_regs(g->user, &regs);
}

/* xmm7's low half: Intel SDM 1, 13.4.1. */
static void add_to_vector(struct guest *g, uint64_t a)
{
	static _Alignas(64) unsigned char area[16384];
	uint64_t components, word;

	CHECK(plat_fp_size(&components) <= sizeof(area));
	plat_user_fp(g->user, area);
	memcpy(&word, area + 160 + 7 * 16, sizeof(word));
	word += a;
	memcpy(area + 160 + 7 * 16, &word, sizeof(word));
	plat_user_set_fp(g->user, area);
	if (a == CALLS - 2) {
		struct plat_regs regs;

		/* No gate from here on. */
		plat_user_regs(g->user, &regs);
		regs.gs_base = HEAP;
		plat_user_set_regs(g->user, &regs);
	}
}

static int processors_of(int tid, int but)
{
	cpu_set_t set;

	CHECK(sched_getaffinity(tid, sizeof(set), &set) == 0);
	return but >= 0 && CPU_ISSET(but, &set) ? -1 : CPU_COUNT(&set);
}

/* A while of 6 ms, of which so many were waited. */
static nsec_t spend(nsec_t now, nsec_t waited_ms)
{
	host.apart.since = host.apart.from = now;
	host.apart.waited = 0;
	now += 6 * NSEC_PER_SEC / 1000;
	apart_waits(now - waited_ms * NSEC_PER_SEC / 1000);
	apart_waited(now);
	return now;
}

/* Who looks, who calls, and what is made later are where they are to be. */
static void goes_apart(struct guest *g)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);
	struct plat_space *other;
	int all, own;

	/* By itself, perhaps. */
	apart_end();
	host.apart.not_before = 0;
	all = processors_of(0, -1);
	now = spend(now, 6);
	CHECK(!host.apart.is);
	host_limit_cpus(1000, 100000);
	now = spend(now, 1);
	CHECK(!host.apart.is);
	host_limit_cpus(0, 0);
	now = spend(now, 1);
	CHECK(host.apart.is == (all > 1));
	if (!host.apart.is)
		return;
	own = sched_getcpu();
	CHECK(processors_of(0, -1) == 1 && processors_of(g->user->tid, own) == all - 1);
	CHECK(processors_of(g->user->space->pid, own) == all - 1);
	other = plat_space_new();
	CHECK(other && processors_of(other->pid, own) == all - 1);
	now = spend(now, 4);
	CHECK(host.apart.is);
	now = spend(now, 6);
	CHECK(!host.apart.is && processors_of(0, -1) == all);
	CHECK(processors_of(g->user->tid, -1) == all && processors_of(other->pid, -1) == all);
	plat_space_free(other);
	/* Not at once again; and no more when nobody looks. */
	now = spend(now, 1);
	CHECK(!host.apart.is);
	(void) spend(now + 2 * NSEC_PER_SEC, 1);
	CHECK(host.apart.is);
	apart_taken(now, 100 * 1000);
	CHECK(host.apart.is);
	apart_taken(now, NSEC_PER_SEC / 1000);
	CHECK(!host.apart.is && processors_of(g->user->tid, -1) == all);
	host.apart.not_before = 0;
}

/* Who is answered where another runs goes on elsewhere. */
static void goes_elsewhere(struct plat_user *u)
{
	int all, here;
	cpu_set_t one;

	apart_end();
	host.look.looks = false;
	all = processors_of(0, -1);
	here = sched_getcpu();
	if (all < 2)
		return;
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	place_answer(u);
	CHECK(u->place.at == here && processors_of(u->tid, -1) == all);
	host.place.on[here]++;
	host.look.looks = true;
	place_answer(u);
	CHECK(processors_of(u->tid, -1) == all);
	host.look.looks = false;
	place_answer(u);
	CHECK(u->place.at != here && processors_of(u->tid, here) == all - 1);
	/* More of them than processors. */
	host.look.own += host.look.cpus + 1;
	place_answer(u);
	CHECK(processors_of(u->tid, -1) == all);
	host.look.own -= host.look.cpus + 1;
	place_answer(u);
	CHECK(processors_of(u->tid, here) == all - 1);
	host.place.on[here]--;
	place_answer(u);
	CHECK(u->place.at == here && processors_of(u->tid, -1) == all);
	CHECK(sched_setaffinity(0, sizeof(host.apart.before), &host.apart.before) == 0);
}

/* After 6 ms of waiting beside so many, in which so many calls came. */
static bool goes_on_looking(uint32_t own, uint32_t served)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);
	uint32_t was = host.look.own;

	host.look.looks = true;
	host.look.began = host.look.since = now - 6 * NSEC_PER_SEC / 1000;
	host.look.wanted = 0;
	host.look.served = served;
	host.look.own = own;
	look_waited(host.look.since, now);
	host.look.own = was;
	(void) look_for_calls(now);
	return host.look.looks;
}

/* The guests' own use of the processors is set against what the calls are worth. */
static void is_worth_while(void)
{
	uint32_t all = host.look.cpus;
	nsec_t pause = host.look.pause;

	CHECK(goes_on_looking(all - 1, 10) && host.look.pause == pause);
	CHECK(goes_on_looking(all, 2000) && host.look.wanted == 0);
	CHECK(!goes_on_looking(all, 100) && host.look.pause == 2 * pause);
	host.look.pause = pause;
	host.look.not_before = 0;
}

static sysret_t serve_name(struct guest *g, const uint64_t *a)
{
	char text[256];
	int64_t n = copy_text(g->space, text, uva(a[0]), sizeof(text));

	g->told++;
	if (n < 0)
		return n;
	if (a[2] == 0)
		return -EINVAL;
	plat_user_name(g->user, text, (size_t) n, (int) -g->answer);
	return -g->answer;
}

static bool serve_call(struct guest *g, unsigned int nr, const uint64_t *a)
{
	sysret_t r = 0;

	if (++g->calls == 50 && parts)
		goes_apart(g);
	if (g->calls == 60 && parts)
		goes_elsewhere(g->user);
	if (g->calls == 70 && parts)
		is_worth_while();
	g->found += g->user->gate.up_found;
	if (g->is_looked)
		host.look.looks = true;
	if (nr == CALL_DONE || nr == SYS_exit_group || nr == SYS_exit) {
		g->value = (long) a[0];
		return false;
	}
	if (nr == CALL_KNOWN || nr == CALL_OTHER) {
		g->told++;
		r = g->answer + (nr == CALL_OTHER);
		plat_user_know(g->user, nr, (uint32_t) r);
	} else if (nr == CALL_LEARN) {
		g->answer = (long) a[0];
		if (g->answer == 22)
			plat_names_forget();
		else
			plat_user_forget(g->user);
		if (learns)
			ktimer_set(&g->learn, plat_now(PLAT_MONOTONIC) + learns);
	} else if (nr == SYS_readlink) {
		r = serve_name(g, a);
	} else if (nr == CALL_ADD || nr == SYS_tgkill || nr == SYS_read)
		r = (sysret_t) (a[0] + a[1]);
	else if (nr == CALL_FORK)
		r = fork_it(g);
	else if (nr == CALL_FP || nr == SYS_clone3 || nr == SYS_vfork)
		add_to_vector(g, a[0]);
	else if (nr == CALL_HOLD)
		(void) waitq_wait(&changed, g->let_go, NSEC_NEVER, 0);
	else
		change_regs(g, nr, a[0]);
	plat_user_result(g->user, r);
	return true;
}

static bool serve_trap(struct guest *g, const struct plat_event *e)
{
	enum space_patched was = PATCHED_NOTHING;
	struct plat_regs r;

	check_place(g);
	if (e->signal == SIGTRAP) {
		g->steps++;
		return true;
	}
	g->traps++;
	if (e->signal == SIGILL)
		was = space_patched(g->space, e->address);
	if (was != PATCHED_CALL)
		return was == PATCHED_NO_MORE;
	plat_user_regs(g->user, &r);
	r.ip += 2;
	plat_user_set_regs(g->user, &r);
	return serve_call(g, (unsigned int) r.ax, (uint64_t[]){ r.di, r.si });
}

static bool serve_event(struct guest *g, const struct plat_event *e)
{
	struct plat_regs r;

	switch (e->kind) {
	case PLAT_SYSCALL:
		if (e->site) {
			space_patch(g->space, e->site, e->nr);
			g->sites++;
		}
		return serve_call(g, e->nr, e->args);
	case PLAT_FAULT:
		check_place(g);
		return space_fault(g->space, e->address, e->access) == FAULT_DONE;
	case PLAT_KICKED:
		g->kicks++;
		check_place(g);
		plat_user_regs(g->user, &r);
		if (g->kicks % 2)
			plat_user_set_regs(g->user, &r);
		return true;
	case PLAT_TRAP:
		return serve_trap(g, e);
	case PLAT_GONE:
		break;
	}
	return false;
}

static void serve(void *arg)
{
	struct guest *g = arg;
	struct plat_event e;

	do
		plat_user_run(g->user, &e);
	while (serve_event(g, &e));
	ktimer_cancel(&g->timer);
	ktimer_cancel(&g->learn);
	plat_user_free(g->user);
	space_unref(g->space);
	g->ended = true;
	(void) waitq_wake(&changed, 0, 0);
	fiber_exit();
}

static void kick(struct ktimer *t)
{
	struct guest *g = container_of(t, struct guest, timer);

	plat_user_kick(g->user);
	ktimer_set(t, plat_now(PLAT_MONOTONIC) + g->every);
}

static void learn(struct ktimer *t)
{
	struct guest *g = container_of(t, struct guest, learn);

	g->answer++;
	plat_user_forget(g->user);
}

/* ---- tests ---- */

static bool looked;

static struct guest run_at(struct space *s, uint64_t code, void (*f)(long), uint64_t arg,
			   nsec_t every)
{
	struct plat_regs regs = { .ip = code + offset(f), .di = arg, .sp = STACK + STACK_SIZE - 8 };
	struct guest child = {}, g;

	begin(&g, s, &regs);
	g.is_looked = looked;
	g.child = &child;
	g.code = code;
	g.timer.fire = kick;
	g.every = every;
	g.learn.fire = learn;
	if (every)
		ktimer_set(&g.timer, plat_now(PLAT_MONOTONIC) + every);
	(void) waitq_wait(&changed, g.ended, NSEC_NEVER, 0);
	return g;
}

static struct guest run_in(struct space *s, void (*f)(long), uint64_t arg, nsec_t every)
{
	return run_at(s, CODE, f, arg, every);
}

static struct guest run(void (*f)(long), uint64_t arg, nsec_t every)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g = run_in(s, f, arg, every);

	space_unref(s);
	return g;
}

#define SUM ((long) CALLS * (CALLS - 1) / 2)

static void forms(void)
{
	struct guest g = run(guest_adds, 5, 0);

	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_adds_otherwise, 5, 0);
	CHECK(g.value == 5 + 2 * SUM && g.calls == 2 * CALLS + 1 && g.sites == 2);
	g = run(guest_adds_between, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_reads, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_reads_in_threads, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.sites == 1 && g.traps == 0);
	g = run(guest_adds_all_over, 5, 0);
	CHECK(g.value == 5 + 24L * (CALLS / 10) * (CALLS / 10 - 1) / 2);
	CHECK(g.sites > 20 && g.traps == 0);
	g = run(guest_adds_addresses, 5, 0);
	CHECK(g.value == 5 + SUM && g.calls == 2 * CALLS + 1 && g.sites == 2 && g.traps == 0);
	g = run(guest_keeps, 3, 0);
	CHECK(g.value == 3 && g.sites == 1);
	g = run(guest_moves, 1, 0);
	CHECK(g.value == 1 + 5 * CALLS + SUM && g.sites == 1);
	g = run(guest_forks, 7, 0);
	CHECK(g.value == 7 && g.calls == CALLS + 21);
}

/* Bytes of the guests' code at `at` that are not what they were. */
static size_t differing(struct space *s, uint64_t at)
{
	static unsigned char now[4 * PAGE_SIZE];
	size_t size = (size_t) (__stop_guest - __start_guest), differ = 0;

	CHECK(size <= sizeof(now) && copy_in(s, now, uva(at), size) == 0);
	for (size_t n = 0; n < size; n++)
		differ += now[n] != (unsigned char) __start_guest[n];
	return differ;
}

/* The page is the guest's own afterwards; what may be written to stays as it is. */
static void pages(void)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g = run_in(s, guest_adds, 0, 0);
	struct space *child = space_fork(s, 0);
	size_t differ = differing(child, CODE);

	CHECK(g.value == SUM && differ > 0 && differ <= 7);
	g = run_in(child, guest_adds, 1, 0);
	CHECK(g.value == 1 + SUM && g.sites == 0);
	space_unref(child);
	space_unref(s);

	s = fresh(PROT_READ | PROT_WRITE | PROT_EXEC);
	g = run_in(s, guest_adds, 0, 0);
	CHECK(g.value == SUM && g.sites == 1 && differing(s, CODE) == 0);
	space_unref(s);
}

/* Who may write, and who moves it, has what it was; and it is patched anew. */
static void back(void)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC), *child;
	uint64_t size = page_up((size_t) (__stop_guest - __start_guest)), to;
	struct guest g;

	for (int n = 0; n < 3; n++) {
		g = run_in(s, guest_adds, 0, 0);
		CHECK(g.value == SUM && g.sites == 1 && differing(s, CODE) > 0);
		child = space_fork(s, 0);
		CHECK(space_protect(s, CODE, size, PROT_READ | PROT_WRITE) == 0);
		CHECK(differing(s, CODE) == 0 && differing(child, CODE) > 0);
		CHECK(space_protect(s, CODE, size, PROT_READ | PROT_EXEC) == 0);
		g = run_in(child, guest_adds, 1, 0);
		CHECK(g.value == 1 + SUM && g.sites == 0);
		sleeplock_take(&child->lock);
		CHECK(space_unpatch(child, 0, plat_user_high()) == 0);
		sleeplock_give(&child->lock);
		CHECK(differing(child, CODE) == 0);
		space_unref(child);
	}
	g = run_in(s, guest_adds, 0, 0);
	CHECK(g.value == SUM && differing(s, CODE) > 0);
	CHECK(space_remap(s, CODE, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, 4 * CODE, &to) == 0);
	CHECK(to == 4 * CODE && differing(s, to) == 0);
	g = run_at(s, to, guest_adds, 2, 0);
	CHECK(g.value == 2 + SUM && g.sites == 1 && differing(s, to) > 0);
	space_unref(s);
}

/* Two that run it while it changes, again and again. */
static void under_way(void (*f)(long), long sum)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	struct guest g[2];
	unsigned int n = 0;

	for (unsigned int k = 0; k < 2; k++) {
		struct plat_regs regs = { .ip = CODE + offset(f),
					  .sp = STACK + (k + 1) * STACK_SIZE - 8 };

		begin(&g[k], s, &regs);
	}
	while (!g[0].ended || !g[1].ended) {
		(void) waitq_wait(&changed, g[0].ended && g[1].ended,
				  plat_now(PLAT_MONOTONIC) + 100000, 0);
		sleeplock_take(&s->lock);
		CHECK(space_unpatch(s, 0, plat_user_high()) == 0);
		n += differing(s, CODE) == 0;
		sleeplock_give(&s->lock);
	}
	CHECK(n > 1);
	for (unsigned int k = 0; k < 2; k++)
		CHECK(g[k].value == sum && g[k].calls == (unsigned int) (sum / SUM) * CALLS + 1);
	space_unref(s);
}

static void jumps(void)
{
	struct guest g = run(guest_jumps_in, 0, 0);

	CHECK(g.value == 2 * SUM && g.calls == 2 * CALLS + 1 && g.traps > 0);
	/* What is jumped to in between is as it was from then on. */
	g = run(guest_jumps_between, 1, 0);
	CHECK(g.value == 1 + SUM && g.calls == CALLS + 1 && g.sites == 2 && g.traps == 1);
	g = run(guest_with_gs, 1, 0);
	CHECK(g.value == 1 + SUM);
	g = run(guest_loads_gs, 1, 0);
	CHECK(g.value == 1 + SUM && g.calls == CALLS + 1 && g.sites == 1);
}

/* What is between a call's begin and its end is none of the guest's. */
static void steps(void)
{
	struct guest g = run(guest_steps, 1, 0);

	CHECK(g.value == 1 + SUM && g.sites == 1 && g.steps >= 3 && g.steps <= 3 * 6);
	g = run(guest_without_stack, 1, 0);
	CHECK(g.calls == CALLS - 1 && g.sites == 1);
}

static void kicks(void)
{
	unsigned int kicked = 0;

	for (nsec_t every = 7; every < 60; every += 5) {
		struct guest g = run(guest_adds, 5, every * 1000);

		CHECK(g.value == 5 + SUM && g.traps == 0);
		kicked += g.kicks;
		g = run(guest_keeps, 3, every * 1000);
		CHECK(g.value == 3);
		kicked += g.kicks;
		g = run(guest_adds_between, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
		g = run(guest_adds_addresses, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == 2 * CALLS + 1);
		g = run(guest_reads, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
		g = run(guest_reads_in_threads, 5, every * 1000);
		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1);
	}
	CHECK(kicked > 0);
}

/* Who runs, and calls, comes into the kernel as often as something has changed. */
static void known(void)
{
	for (int n = 0; n < 3; n++) {
		struct guest g = run(guest_knows, 3, 0);

		/* A dozen before it is a site; the first after each change. */
		CHECK(g.value == 3 && g.sites == 1 && g.told >= CALLS / 50 && g.told < 40);
		g = run(guest_knows_others, 4, 0);
		CHECK(g.value == 4 && g.sites == 3 && g.told == 2 * CALLS);
	}
	for (nsec_t every = 0; every < 60; every += 7) {
		struct guest g;

		learns = 20 * 1000 * 1000;
		g = run(guest_knows_long, 5, every * 1000);
		learns = 0;
		CHECK(g.value == 5 && g.told < 100 && (g.kicks > 0) == (every > 0));
		g = run(guest_knows, 3, every * 1000);
		CHECK(g.value == 3);
	}
}

/* Of names it is asked once each, but for those that share a place, and those that do not fit. */
static void names(void)
{
	for (nsec_t every = 0; every < 60; every += 9) {
		struct guest g = run(guest_names, 3, every * 1000);

		CHECK(g.value == 3 && g.traps == 0 && g.told > 4 * CALLS / 40);
		CHECK(g.told < 4 * CALLS / 3 && (g.kicks > 0) == (every > 0));
		g = run(guest_names_nowhere, 4, every * 1000);
		CHECK(g.value == 4 && g.traps == 0 && list_empty(&host.named));
	}
}

static void settle(void)
{
	for (int n = 0; n < 400; n++) {
		uint32_t ready = 0;

		list_each(l, &host.spares) ready++;
		if (ready == host.spare_count)
			return;
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
	}
	CHECK(!"a stub is ready, or has ended");
}

/* Found in the handler by looks, or not; stubs serve on after an end there. */
static void handlers(void)
{
	unsigned int found = 0;

	for (int n = 0; n < 24; n++) {
		uint32_t spares = host.spare_count;
		struct guest g;

		looked = n >= 8;
		g = run(guest_traps, 3, n % 4 * 17 * 1000);
		CHECK(g.value == 3 + 2 * SUM && g.calls == 2 * CALLS + 1 && g.traps == 0);
		found += looked ? g.found : 0;
		settle();
		CHECK(host.spare_count >= max_of(spares, 1u));
		g = run(n % 3 == 0   ? guest_with_vectors
			: n % 3 == 1 ? guest_clones
				     : guest_vforks,
			1, n % 4 * 23 * 1000);
		CHECK(g.value == 1 + SUM && g.calls == CALLS + 1);
		settle();
	}
	looked = false;
	CHECK(found > 0 || host.look.cpus < 2);
}

/* ---- ends ---- */

static void keep(struct guest *g, struct space *s)
{
	const struct plat_regs regs = { .ip = CODE + offset(guest_holds),
					.sp = STACK + STACK_SIZE - 8 };

	begin(g, s, &regs);
	while (g->calls == 0 && !g->ended)
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 100000);
}

static void let_go(struct guest *g)
{
	g->let_go = true;
	(void) waitq_wake(&changed, 0, 0);
	(void) waitq_wait(&changed, g->ended, NSEC_NEVER, 0);
}

static void begin_other(struct guest *g, struct space *s, void (*f)(long), uint64_t arg)
{
	const struct plat_regs regs = { .ip = CODE + offset(f),
					.di = arg,
					.sp = STACK + 2 * STACK_SIZE - 8 };

	begin(g, s, &regs);
}

/* As many as there are, when they have rung. */
static uint32_t waiting(struct space *s, bool *ret_all)
{
	uint32_t n = 0;

	*ret_all = true;
	list_each(l, &s->plat->idle)
	{
		const struct plat_user *u = list_entry(l, struct plat_user, link);

		n += u->in_gate;
		*ret_all &= u->ring.waits;
	}
	return n;
}

/* One after the other, each as if it were new, whatever the last one has left. */
static void ends(nsec_t every)
{
	static _Alignas(64) unsigned char area[16384];
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	const uint32_t first_mxcsr = 0x1f80;
	unsigned int sites = 0;
	struct guest keeper, g;
	bool all = false;

	keep(&keeper, s);
	for (uint64_t n = 0; n < ENDS; n++) {
		uint64_t said[2], components = 3, vector = n % 2 ? 1000 : 0;

		begin_other(&g, s, guest_ends, n);
		CHECK(g.user->gate.known == 0);
		plat_user_know(g.user, CALL_KNOWN, 1);
		g.is_looked = looked;
		g.timer.fire = kick;
		g.every = every;
		if (every)
			ktimer_set(&g.timer, plat_now(PLAT_MONOTONIC) + every);
		/* Intel SDM 1, 13.4: MXCSR, XMM7, XSTATE_BV. */
		memcpy(area + 24, &first_mxcsr, sizeof(first_mxcsr));
		memcpy(area + 160 + 7 * 16, &vector, sizeof(vector));
		memcpy(area + 512, &components, sizeof(components));
		if (vector)
			plat_user_set_fp(g.user, area);
		(void) waitq_wait(&changed, g.ended, NSEC_NEVER, 0);
		sites += g.sites;
		CHECK(copy_in(s, said, uva(HEAP + 64), sizeof(said)) == 0);
		CHECK(said[0] == n + vector && said[1] == first_mxcsr);
	}
	CHECK(sites == 1);
	/* One that was kicked comes by the handler, or ends. */
	for (int n = 0; n < 400 && !all; n++) {
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
		CHECK(every || waiting(s, &all) > 0);
		(void) waiting(s, &all);
	}
	CHECK(all);
	let_go(&keeper);
	space_unref(s);
	settle();
	CHECK(host.spare_count > 0);
}

/* Its call is taken, though it does not ring. */
static void await_end(struct guest *g)
{
	while (!g->ended) {
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 100000);
		if (g->ended || g->user->state != USER_RUNNING || g->user->gate.runs)
			continue;
		list_push(&host.look.run, &g->user->gate.link);
		host.look.run_count++;
		g->user->gate.runs = true;
		user_gate_calls();
	}
}

/* Who goes on has its stub's end of it, or what the next one has. */
static void goes_on(uint64_t how)
{
	struct space *s = fresh(PROT_READ | PROT_EXEC);
	const uint64_t one = 1;
	struct guest keeper, g, next;
	int pid = s->plat->pid;
	bool all;

	keep(&keeper, s);
	begin_other(&g, s, guest_goes_on, how);
	await_end(&g);
	CHECK(waiting(s, &all) == 1 && !all);
	if (how == 2)
		begin_other(&next, s, guest_ends, 1);
	CHECK(copy_out(s, uva(HEAP), &one, sizeof(one)) == 0);
	if (how == 2) {
		(void) waitq_wait(&changed, next.ended, NSEC_NEVER, 0);
		CHECK(next.value == 5 && !s->plat->dead);
	} else if (how < 2) {
		for (int n = 0; n < 400 && !s->plat->dead; n++)
			(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
		CHECK(s->plat->dead);
	}
	let_go(&keeper);
	space_unref(s);
	/* It serves nobody any more. */
	for (int n = 0; n < 400 && how != 2 && kill(pid, 0) == 0; n++)
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + NSEC_PER_SEC / 200);
	CHECK(how == 2 || kill(pid, 0) < 0);
}

static void processors(void)
{
	parts = true;
	forms();
	parts = false;
}

static void write_load(unsigned int running)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "0.00 0.00 0.00 %u/1000 1\n", running);

	CHECK(ftruncate(load, 0) == 0 && pwrite(load, text, (size_t) n, 0) == n);
}

/* Calls until it has come to that, or for five seconds. */
static void until_trial(bool (*is)(enum look_trial))
{
	nsec_t late = plat_now(PLAT_MONOTONIC) + 5 * NSEC_PER_SEC;

	while (!is(host.look.trial) && plat_now(PLAT_MONOTONIC) < late) {
		struct guest g = run(guest_adds, 5, 0);

		CHECK(g.value == 5 + SUM && g.calls == CALLS + 1 && g.traps == 0);
	}
	CHECK(is(host.look.trial));
}

static bool is_tried(enum look_trial t)
{
	return t == LOOK_TRY_NONE || t == LOOK_TRY;
}

static bool is_known(enum look_trial t)
{
	return t == LOOK_GOES_WELL || t == LOOK_NONE;
}

static bool is_over(enum look_trial t)
{
	return t == LOOK_ALWAYS;
}

/* Others want the processors, and what is better is found out; and do no more. */
static void beside_others(void)
{
	if (host.look.cpus < 2)
		return;
	write_load(500);
	until_trial(is_tried);
	until_trial(is_known);
	until_trial(is_tried);
	write_load(1);
	until_trial(is_over);
}

static void all_ends(void)
{
	ends(0);
	for (nsec_t every = 11; every < 60; every += 8)
		ends(every * 1000);
	looked = true;
	ends(0);
	ends(19 * 1000);
	looked = false;
	for (uint64_t how = 0; how < 4; how++)
		goes_on(how);
}

static void body(void *arg)
{
	(void) arg;
	forms();
	pages();
	back();
	under_way(guest_jumps_in, 2 * SUM);
	under_way(guest_adds_between, SUM);
	under_way(guest_jumps_between, SUM);
	under_way(guest_reads, SUM);
	under_way(guest_reads_in_threads, SUM);
	jumps();
	steps();
	kicks();
	known();
	names();
	handlers();
	host_limit_cpus(150000, 100000);
	CHECK(host.look.cpus < 2 || host.look.spin < 400);
	forms();
	kicks();
	host_limit_cpus(0, 100000);
	CHECK(host.look.spin == 400);
	processors();
	beside_others();
	all_ends();
	host_stop();
	fiber_exit();
}

/* Where the host gives the sites no place there are none. */
static void without_place(void)
{
	struct err e = {};
	int status = 0, pid = fork();

	if (pid == 0) {
		void *at = mmap((void *) STUB_SITES, PAGE_SIZE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		_exit(at == MAP_FAILED || host_begin(RAM, true, &e) < 0 || host.gates);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	struct fiber *f;
	struct err e = {};

	load = memfd_create("load", MFD_CLOEXEC);
	write_load(1); /* as of a host where nobody else runs */
	if (host_begin(RAM, true, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return e.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	CHECK(host.gates);
	without_place();
	host_watch_load(load);
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}

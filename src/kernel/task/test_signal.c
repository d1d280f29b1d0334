/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as programs meet them: each program is a C function on the sim platform, served by a loop
 * that knows the calls of signals alone.
 */
#include <linux/sched.h>
#include <linux/signal.h>
/* Needs the one above. */
#include <asm/sigcontext.h>
#include <asm/unistd_64.h>
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/futex.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_calls.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

#define DATA	 ((uint64_t) 0x40000000)
#define STACK	 ((uint64_t) 0x50000000)
#define STACK_SP (STACK + 0x20000 - 64)
#define ALT	 ((uint64_t) 0x60000000)
#define RESTORER 0x70000000

static struct cred root_cred = { .effective = UINT64_MAX, .permitted = UINT64_MAX };
static struct cred user_cred = { .uid = 1000, .euid = 1000, .suid = 1000 };
static struct path top;
static struct space *guest;
static struct descriptors *files;

static const struct {
	unsigned int nr;
	sysret_t (*call)(struct task *t, const uint64_t *a);
} calls[] = {
	{ __NR_rt_sigaction, sys_rt_sigaction },
	{ __NR_rt_sigprocmask, sys_rt_sigprocmask },
	{ __NR_rt_sigpending, sys_rt_sigpending },
	{ __NR_rt_sigsuspend, sys_rt_sigsuspend },
	{ __NR_rt_sigtimedwait, sys_rt_sigtimedwait },
	{ __NR_rt_sigreturn, sys_rt_sigreturn },
	{ __NR_sigaltstack, sys_sigaltstack },
	{ __NR_pause, sys_pause },
	{ __NR_kill, sys_kill },
	{ __NR_tkill, sys_tkill },
	{ __NR_tgkill, sys_tgkill },
	{ __NR_rt_sigqueueinfo, sys_rt_sigqueueinfo },
	{ __NR_rt_tgsigqueueinfo, sys_rt_tgsigqueueinfo },
	{ __NR_restart_syscall, sys_restart_syscall },
	{ __NR_futex, sys_futex },
};

static sysret_t call_by(struct task *t, unsigned int nr, const uint64_t *a)
{
	for (size_t n = 0; n < countof(calls); n++) {
		if (calls[n].nr == nr)
			return calls[n].call(t, a);
	}
	return -ENOSYS;
}

/* ---- threads and processes ---- */

static int ended; /* tasks, ever */

static void finish(struct task *t)
{
	list_remove(&t->in_process);
	t->process->thread_count--;
	signals_end(t);
	t->state = TASK_ENDED;
	t->fiber->owner = NULL;
	t->fiber = NULL;
	ended++;
	fiber_exit();
}

static void settle(struct task *t)
{
	if (t->fiber->interrupted && !t->dying)
		signals_deliver(t);
	if (t->dying)
		finish(t);
}

static void serve(void *arg)
{
	struct task *t = arg;
	struct plat_event e;

	t->state = TASK_LIVE;
	for (;;) {
		settle(t);
		plat_user_run(t->user, &e);
		if (e.kind == PLAT_GONE)
			finish(t);
		if (e.kind == PLAT_FAULT)
			signal_page_fault(t, space_fault(t->space, e.address, e.access), e.address,
					  e.access);
		if (e.kind != PLAT_SYSCALL)
			continue;
		t->call = (struct task_call){ .in = true, .nr = e.nr };
		memcpy(t->call.args, e.args, sizeof(e.args));
		do {
			t->call.result = call_by(t, t->call.nr, t->call.args);
			if (t->call.in)
				plat_user_result(t->user, t->call.result);
			settle(t);
		} while (t->call.in && t->call.result <= -ERESTARTSYS &&
			 t->call.result >= -ERESTART_RESTARTBLOCK);
		t->call.in = false;
	}
}

static void let_run(void)
{
	for (int n = 0; n < 4; n++)
		(void) fiber_park_until(sim_now() + 1000); /* the others' turn, and their times' */
}

/* What a task has beside its signals; r: what those gave. */
static int equip(struct task *t, void (*main)(void *))
{
	struct plat_regs regs = { .sp = STACK_SP, .cs = 0x33, .ss = 0x2b, .flags = 0x202 };

	regs.ip = sim_entry(main);
	t->space = guest;
	space_ref(guest);
	t->user = plat_user_new(guest->plat, &regs);
	CHECK(t->user != NULL && sched_spawn(serve, t, &t->fiber) == 0);
	t->fiber->owner = t;
	signals_recalc(t);
	return 0;
}

/* The first, which is number 1, and never runs: for others to be children of. */
static struct task *init_task(void)
{
	struct task_first q = { .cred = &root_cred, .root = &top, .files = files, .comm = "init" };
	struct task *t = NULL;

	CHECK(task_new_first(&q, &t) == 0 && signals_clone(t, NULL, 0) == 0);
	return t;
}

static struct task *child(struct task *parent, const struct cred *who, void (*main)(void *))
{
	struct process *p;
	struct task *t = NULL;

	CHECK(process_new(&p) == 0 && task_new(p, &t) == 0);
	memcpy(p->limits, parent->process->limits, sizeof(p->limits));
	p->parent = parent->process;
	p->exit_signal = SIGCHLD;
	list_push(&p->parent->children, &p->in_parent);
	group_enter(p, parent->process->group);
	t->cred = who;
	CHECK(signals_clone(t, parent, 0) == 0);
	if (main)
		(void) equip(t, main);
	return t;
}

static struct task *thread(struct task *of, void (*main)(void *))
{
	struct task *t = NULL;

	CHECK(task_new(of->process, &t) == 0);
	t->cred = of->cred;
	CHECK(signals_clone(t, of, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD) == 0);
	(void) equip(t, main);
	return t;
}

static void reap(struct process *p)
{
	list_each_safe(l, &p->threads)
	{
		struct task *t = task_of_list(l);

		if (t != p->leader)
			task_free(t);
	}
	if (p->leader && p->leader->signals)
		signals_end(p->leader);
	signals_end_process(p);
	process_free(p);
}

/* ---- inside programs ---- */

static int handled[8]; /* numbers, in their order */
static int handled_count;
static uint64_t last_info, last_context;
static struct signal_info seen;
static uint64_t seen_mask;
static int64_t got[16];

static void note(int nr, uint64_t info, uint64_t context)
{
	if (handled_count < 8)
		handled[handled_count++] = nr;
	last_info = info;
	last_context = context;
	CHECK(sim_read(info, &seen, sizeof(seen)));
	CHECK(sim_sys(__NR_rt_sigprocmask, SIG_BLOCK, 0, DATA + 0x800, 8) == 0 &&
	      sim_read(DATA + 0x800, &seen_mask, 8));
}

static int64_t on(int nr, void (*handler)(int, uint64_t, uint64_t), uint64_t flags, uint64_t mask)
{
	struct signal_action a = { .handler = handler ? sim_handler(handler) : 0,
				   .flags = flags | SA_RESTORER,
				   .restorer = RESTORER,
				   .mask = mask };

	CHECK(sim_write(DATA, &a, sizeof(a)));
	return sim_sys(__NR_rt_sigaction, nr, DATA, 0, 8);
}

static int64_t ignore(int nr)
{
	struct signal_action a = { .handler = 1 };

	CHECK(sim_write(DATA, &a, sizeof(a)));
	return sim_sys(__NR_rt_sigaction, nr, DATA, 0, 8);
}

static int64_t mask(int how, uint64_t set)
{
	CHECK(sim_write(DATA, &set, 8));
	return sim_sys(__NR_rt_sigprocmask, how, DATA, 0, 8);
}

static int64_t queue(uint32_t to, int nr, int code, uint64_t value)
{
	struct signal_info i = { .code = code, .sent = { .value = value } };

	CHECK(sim_write(DATA + 0x100, &i, sizeof(i)));
	return sim_sys(__NR_rt_sigqueueinfo, to, nr, DATA + 0x100);
}

static int64_t timed(uint64_t set, int64_t nsec)
{
	int64_t t[2] = { 0, nsec };

	CHECK(sim_write(DATA, &set, 8) && sim_write(DATA + 16, t, sizeof(t)));
	int64_t r = sim_sys(__NR_rt_sigtimedwait, DATA, DATA + 64, nsec < 0 ? 0 : DATA + 16, 8);

	if (r > 0)
		CHECK(sim_read(DATA + 64, &seen, sizeof(seen)));
	return r;
}

static uint32_t me; /* the pid of who runs */

/* Handlers: what they are told, masks, SA_*, nesting, orders; all by itself. */
static void program_handlers(void *arg)
{
	(void) arg;
	handled_count = 0;
	CHECK(on(SIGUSR1, note, SA_SIGINFO, SIGNAL_BIT(SIGUSR2)) == 0);
	CHECK(on(SIGUSR2, note, SA_SIGINFO | SA_NODEFER | SA_RESETHAND, 0) == 0);
	CHECK(on(SIGKILL, note, 0, 0) == -EINVAL && on(65, note, 0, 0) == -EINVAL &&
	      on(0, note, 0, 0) == -EINVAL);
	CHECK(sim_sys(__NR_rt_sigaction, SIGUSR1, 0, 0, 4) == -EINVAL);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 0 && handled_count == 1 && handled[0] == SIGUSR1);
	CHECK(seen.nr == SIGUSR1 && seen.code == SI_USER && seen.sent.pid == me);
	CHECK(seen_mask == (SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGUSR2)));
	CHECK((last_context - 8) % 16 == 8 && last_context < STACK_SP - 128);
	CHECK(sim_sys(__NR_kill, me, SIGUSR2) == 0 && handled_count == 2 && seen_mask == 0);
	/* Its handler was for once. */
	struct signal_action a;

	CHECK(sim_sys(__NR_rt_sigaction, SIGUSR2, 0, DATA + 64, 8) == 0);
	CHECK(sim_read(DATA + 64, &a, sizeof(a)) && a.handler == 0);

	/* Blocked: one of each standard one, all of the real-time ones; taken lowest first. */
	CHECK(on(40, note, SA_SIGINFO, UINT64_MAX) == 0);
	CHECK(on(SIGUSR2, note, SA_SIGINFO, UINT64_MAX) == 0);
	CHECK(on(SIGUSR1, note, SA_SIGINFO, UINT64_MAX) == 0);
	CHECK(mask(SIG_SETMASK, UINT64_MAX) == 0);
	handled_count = 0;
	CHECK(queue(me, 40, SI_QUEUE, 7) == 0 && queue(me, 40, SI_QUEUE, 8) == 0);
	CHECK(sim_sys(__NR_kill, me, SIGUSR2) == 0 && sim_sys(__NR_kill, me, SIGUSR1) == 0 &&
	      sim_sys(__NR_tkill, me, SIGUSR1) == 0 && sim_sys(__NR_kill, me, SIGUSR1) == 0);
	uint64_t pending = 0;

	CHECK(sim_sys(__NR_rt_sigpending, DATA + 64, 8) == 0 && sim_read(DATA + 64, &pending, 8));
	CHECK(pending == (SIGNAL_BIT(40) | SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGUSR2)));
	CHECK(timed(SIGNAL_BIT(40), -1) == 40 && seen.sent.value == 7);
	CHECK(mask(SIG_SETMASK, 0) == 0 && handled_count == 4);
	CHECK(handled[0] == SIGUSR1 && handled[1] == SIGUSR1 && handled[2] == SIGUSR2 &&
	      handled[3] == 40);
	/* Where their masks let them, frames stand on each other: what came last runs first. */
	CHECK(on(40, note, SA_SIGINFO, 0) == 0 && on(SIGUSR1, note, SA_SIGINFO, 0) == 0);
	CHECK(mask(SIG_SETMASK, UINT64_MAX) == 0);
	CHECK(queue(me, 40, SI_QUEUE, 7) == 0 && sim_sys(__NR_kill, me, SIGUSR1) == 0);
	handled_count = 0;
	CHECK(mask(SIG_SETMASK, 0) == 0 && handled_count == 2 && handled[0] == 40 &&
	      handled[1] == SIGUSR1);
	handled_count = 4;

	CHECK(timed(SIGNAL_BIT(40), 0) == -EAGAIN && timed(SIGNAL_BIT(40), 500) == -EAGAIN);
	CHECK(timed(SIGNAL_BIT(40), NSEC_PER_SEC) == -EINVAL);
	/* What is ignored goes away, pending or not. */
	CHECK(mask(SIG_BLOCK, SIGNAL_BIT(SIGUSR1)) == 0 && mask(9, 0) == -EINVAL);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 0 && ignore(SIGUSR1) == 0);
	CHECK(sim_sys(__NR_rt_sigpending, DATA + 64, 8) == 0 && sim_read(DATA + 64, &pending, 8));
	CHECK(pending == 0 && mask(SIG_UNBLOCK, UINT64_MAX) == 0);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 0 && handled_count == 4);
	got[0] = 1;
}

/* ---- restarts ---- */

static void program_waits(void *arg)
{
	uint64_t none = 0;
	int64_t second[2] = { 1, 0 };
	uint32_t word = 5;

	(void) arg;
	CHECK(on(SIGUSR1, note, SA_SIGINFO | SA_RESTART, 0) == 0 &&
	      on(SIGUSR2, note, SA_SIGINFO, 0) == 0);
	CHECK(mask(SIG_BLOCK, SIGNAL_BIT(SIGUSR1)) == 0);
	CHECK(sim_write(DATA, &none, 8));
	got[1] = 1;
	got[2] = sim_sys(__NR_rt_sigsuspend, DATA, 8); /* SIGUSR1 */
	uint64_t after = 0;

	CHECK(sim_sys(__NR_rt_sigprocmask, SIG_BLOCK, 0, DATA + 64, 8) == 0 &&
	      sim_read(DATA + 64, &after, 8) && after == SIGNAL_BIT(SIGUSR1));
	CHECK(mask(SIG_SETMASK, 0) == 0);
	got[1] = 2;
	CHECK(sim_write(DATA + 0x200, &word, 4));
	got[3] = sim_sys(__NR_futex, DATA + 0x200, 128, 5, 0); /* SIGUSR1, then woken */
	got[1] = 3;
	got[4] = sim_sys(__NR_futex, DATA + 0x200, 128, 5, 0); /* SIGUSR2 */
	got[1] = 4;
	CHECK(sim_write(DATA + 0x300, second, 16));
	got[5] = sim_sys(__NR_futex, DATA + 0x200, 128, 5, DATA + 0x300); /* SIGURG: ignored */
	got[1] = 5;
	got[6] = sim_sys(__NR_futex, DATA + 0x200, 128, 5, DATA + 0x300); /* SIGUSR1: no restart */
	got[1] = 6;
	CHECK(mask(SIG_BLOCK, SIGNAL_BIT(SIGHUP)) == 0);
	got[7] = timed(SIGNAL_BIT(SIGHUP), -1); /* SIGHUP: awaited, it does not end it */
	got[8] = timed(SIGNAL_BIT(SIGHUP), -1); /* SIGUSR1 */
	got[1] = 7;
	(void) sim_sys(__NR_pause); /* SIGTERM */
	got[1] = 8;
}

static void waits(struct task *init)
{
	struct task *t = child(init, &user_cred, program_waits);
	struct process *p = t->process;
	nsec_t from;

	let_run();
	CHECK(got[1] == 1);
	handled_count = 0;
	signal_process(p, SIGUSR1);
	let_run();
	CHECK(got[2] == -EINTR && handled_count == 1 && seen_mask == SIGNAL_BIT(SIGUSR1) &&
	      seen.code == SI_KERNEL);
	CHECK(got[1] == 2);
	signal_process(p, SIGUSR1);
	let_run();
	CHECK(handled_count == 2 && got[1] == 2);
	CHECK(futex_wake(guest, uva(DATA + 0x200), 1) == 1);
	let_run();
	CHECK(got[3] == 0 && got[1] == 3);
	signal_process(p, SIGUSR2);
	let_run();
	CHECK(got[4] == -EINTR && handled_count == 3 && got[1] == 4);
	from = sim_now();
	signal_process(p, SIGURG);
	signal_process(p, SIGCONT);
	let_run();
	CHECK(got[1] == 4);
	fiber_interrupt(t->fiber); /* and nothing is there: it goes on */
	let_run();
	CHECK(got[1] == 4);
	(void) fiber_park_until(from + NSEC_PER_SEC + NSEC_PER_SEC / 2);
	CHECK(got[5] == -ETIMEDOUT && got[1] == 5 && handled_count == 3);
	signal_task(t, SIGUSR1);
	let_run();
	CHECK(got[6] == -EINTR && got[1] == 6 && handled_count == 4);
	signal_process(p, SIGHUP);
	let_run();
	CHECK(got[7] == SIGHUP && !t->dying);
	signal_process(p, SIGUSR1);
	let_run();
	CHECK(got[8] == -EINTR && got[1] == 7 && handled_count == 5);
	signal_process(p, SIGTERM);
	let_run();
	CHECK(got[1] == 7 && p->exiting && p->exit_status == SIGTERM && t->state == TASK_ENDED);
	reap(p);
}

/* ---- stacks, frames, sigreturn ---- */

static int depth;

static void on_alt(int nr, uint64_t info, uint64_t context)
{
	struct {
		uint64_t at;
		uint32_t flags, pad;
		uint64_t size;
	} s = {}, frame = {};

	(void) nr;
	CHECK(info > ALT && info < ALT + 0x4000 && context > ALT);
	CHECK(sim_sys(__NR_sigaltstack, 0, DATA + 0x700) == 0 &&
	      sim_read(DATA + 0x700, &s, sizeof(s)));
	CHECK(sim_read(context + 16, &frame, sizeof(frame)));
	if (frame.flags & SS_AUTODISARM || !frame.size) {
		/* What came on top found no alternate stack. */
		CHECK(s.flags == SS_DISABLE && frame.at == (frame.size ? ALT : 0));
	} else {
		CHECK(frame.at == ALT);
		CHECK(s.flags == SS_ONSTACK && s.size == frame.size);
		CHECK(sim_sys(__NR_sigaltstack, DATA + 0x700, 0) == -EPERM);
	}
	if (depth++ == 0)
		CHECK(sim_sys(__NR_kill, me, SIGUSR2) == 0);
}

/* Writes over what the frame says. */
static void forge(int nr, uint64_t info, uint64_t context)
{
	uint64_t ax = 4711, flags = UINT64_MAX, segments = UINT64_MAX, fp = 0;
	uint32_t mxcsr = UINT32_MAX, magic = 0;

	(void) nr;
	(void) info;
	/* uc_flags, uc_link, uc_stack, then the registers: ax is the 14th, flags the 18th. */
	CHECK(sim_write(context + 40 + 13 * 8, &ax, 8) &&
	      sim_write(context + 40 + 17 * 8, &flags, 8) &&
	      sim_write(context + 40 + 18 * 8, &segments, 8));
	CHECK(sim_read(context + 40 + 23 * 8, &fp, 8) && fp % 64 == 0);
	CHECK(sim_read(fp + 464, &magic, 4) && magic == FP_XSTATE_MAGIC1);
	CHECK(sim_read(fp + 576, &magic, 4) && magic == FP_XSTATE_MAGIC2);
	CHECK(sim_write(fp + 24, &mxcsr, 4) && sim_write(fp, "changed", 7));
	memset(sim_fp(), 0x55, 512);
}

static void forge_header(int nr, uint64_t info, uint64_t context)
{
	uint64_t fp = 0, all = UINT64_MAX;

	(void) nr;
	(void) info;
	CHECK(sim_read(context + 40 + 23 * 8, &fp, 8) && sim_write(fp + 512 + 16, &all, 8));
}

static struct plat_regs regs_of_one;
static struct task *one;

static void program_frames(void *arg)
{
	struct {
		uint64_t at;
		uint32_t flags, pad;
		uint64_t size;
	} s = { ALT, 0, 0, 0x4000 };

	(void) arg;
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)));
	CHECK(sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == 0);
	CHECK(on(SIGUSR1, on_alt, SA_SIGINFO | SA_ONSTACK, 0) == 0 &&
	      on(SIGUSR2, on_alt, SA_SIGINFO | SA_ONSTACK, 0) == 0);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 0 && depth == 2);
	s.flags = SS_AUTODISARM;
	depth = 0;
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)) &&
	      sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == 0);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 0 && depth == 2);
	CHECK(sim_sys(__NR_sigaltstack, 0, DATA + 0x600) == 0 &&
	      sim_read(DATA + 0x600, &s, sizeof(s)) && s.at == ALT && s.flags == SS_AUTODISARM);
	s.size = 2047;
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)) &&
	      sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == -ENOMEM);
	s.flags = 77;
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)) &&
	      sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == -EINVAL);

	CHECK(on(SIGUSR1, forge, SA_SIGINFO, 0) == 0);
	memcpy(sim_fp(), "before.", 7);
	CHECK(sim_sys(__NR_kill, me, SIGUSR1) == 4711);
	CHECK(memcmp(sim_fp(), "changed", 7) == 0 && sim_fp()[26] == 0 && sim_fp()[464] == 0);
	plat_user_regs(one->user, &regs_of_one);
	CHECK(regs_of_one.cs == 0x33 && regs_of_one.ss == 0x2b &&
	      regs_of_one.flags == (0x202 | 0x50dd5));
	got[9] = 1;
	CHECK(on(SIGUSR1, forge_header, SA_SIGINFO, 0) == 0);
	(void) sim_sys(__NR_kill, me, SIGUSR1); /* SIGSEGV: the processor would not take it */
	got[9] = 2;
}

/* A handler whose frame has no room is SIGSEGV's, and that one's its end. */
static void program_overflow(void *arg)
{
	struct {
		uint64_t at;
		uint32_t flags, pad;
		uint64_t size;
	} s = { ALT, 0, 0, 2048 };

	(void) arg;
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)) &&
	      sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == 0);
	CHECK(on(SIGUSR1, on_alt, SA_ONSTACK, 0) == 0 && on(SIGSEGV, on_alt, SA_ONSTACK, 0) == 0);
	got[9] = 3;
	depth = 1;
	(void) sim_sys(__NR_kill, me, SIGUSR1); /* fits */
	CHECK(depth == 2);
	s.at = 0x20000; /* nothing is there */
	CHECK(sim_write(DATA + 0x600, &s, sizeof(s)) &&
	      sim_sys(__NR_sigaltstack, DATA + 0x600, 0) == 0);
	(void) sim_sys(__NR_kill, me, SIGUSR1);
	got[9] = 4;
}

/* Whatever a program writes over its frame is its own loss. */
static uint64_t seed;

static uint64_t dice(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 29;
}

static void scribble(int nr, uint64_t info, uint64_t context)
{
	static const uint64_t bounds[] = {
		0,    1,   UINT64_MAX, UINT64_MAX - 7, (uint64_t) 1 << 47,
		DATA, ALT, STACK,      STACK + 0x1ffc0
	};
	uint64_t fp = 0, some;

	(void) nr;
	(void) info;
	CHECK(sim_read(context + 40 + 23 * 8, &fp, 8));
	for (uint64_t n = dice() % 24; n > 0; n--) {
		some = dice() % 2 ? bounds[dice() % countof(bounds)] : dice() << 30 ^ dice();
		if (dice() % 2)
			CHECK(sim_write(context + dice() % 38 * 8, &some, 8));
		else
			CHECK(sim_write(fp + (dice() % 2 ? 464 + dice() % 16 * 8 : dice() % 72 * 8),
					&some, 8));
	}
}

static void program_scribbles(void *arg)
{
	(void) arg;
	CHECK(on(SIGUSR1, scribble, SA_SIGINFO | (dice() % 2 ? SA_ONSTACK : 0), 0) == 0);
	for (int n = 0; n < 4; n++)
		(void) sim_sys(__NR_kill, me, SIGUSR1);
	(void) sim_sys(__NR_tkill, me, SIGKILL);
}

static void scribbles(struct task *init)
{
	for (uint64_t n = 0; n < 200; n++) {
		struct task *t = child(init, &user_cred, program_scribbles);
		struct process *p = t->process;

		seed = n;
		me = p->pid;
		let_run();
		signal_process(p, SIGKILL);
		let_run();
		CHECK(t->state == TASK_ENDED &&
		      (p->exit_status == SIGSEGV || p->exit_status == SIGKILL));
		reap(p);
	}
}

static int faults;

static void on_fault(int nr, uint64_t info, uint64_t context)
{
	uint64_t cr2 = 0, error = 0;

	CHECK(nr == SIGSEGV && sim_read(info, &seen, sizeof(seen)));
	CHECK(sim_read(context + 40 + 22 * 8, &cr2, 8) &&
	      sim_read(context + 40 + 19 * 8, &error, 8));
	CHECK(cr2 == 0x20010 && error == 6 && seen.code == SEGV_MAPERR &&
	      seen.fault.address == 0x20010);
	faults++;
}

static void program_faults(void *arg)
{
	(void) arg;
	CHECK(on(SIGSEGV, on_fault, SA_SIGINFO, 0) == 0);
	CHECK(!sim_write(0x20010, "x", 1) && faults == 2);
	got[9] = 5;
	CHECK(mask(SIG_BLOCK, SIGNAL_BIT(SIGSEGV)) == 0);
	(void) sim_write(0x20010, "x", 1);
	got[9] = 6;
}

static void runs(struct task *init, void (*main)(void *), int status)
{
	struct task *t = child(init, &user_cred, main);
	struct process *p = t->process;

	one = t;
	me = p->pid;
	let_run();
	CHECK(t->state == TASK_ENDED && p->exit_status == status);
	reap(p);
}

/* ---- who may, and whom ---- */

static sysret_t kill_by(struct task *t, int64_t to, int nr)
{
	uint64_t a[6] = { (uint64_t) to, (uint64_t) nr };

	return sys_kill(t, a);
}

static void sleeper(void *arg)
{
	(void) arg;
	for (;;)
		(void) sim_sys(__NR_pause);
}

static void rights(struct task *init)
{
	struct task *a = child(init, &user_cred, sleeper), *b = child(init, &user_cred, sleeper);
	struct task *r = child(init, &root_cred, sleeper);

	let_run();
	CHECK(kill_by(a, r->tid, 0) == -EPERM && kill_by(a, b->tid, 0) == 0 &&
	      kill_by(r, a->tid, 0) == 0 && kill_by(a, 9999, 0) == -ESRCH);
	CHECK(kill_by(a, b->tid, 65) == -EINVAL && kill_by(a, -9999, 0) == -ESRCH &&
	      kill_by(a, INT32_MIN, 0) == -ESRCH);
	/* The same session. */
	CHECK(kill_by(a, r->tid, SIGCONT) == 0 && kill_by(a, r->tid, SIGTERM) == -EPERM);
	CHECK(kill_by(a, -1, 0) == 0 && kill_by(a, 0, 0) == 0 && kill_by(a, -1, SIGKILL) == 0);
	let_run();
	CHECK(b->state == TASK_ENDED && !a->dying && !r->dying && !init->dying);
	/* Init has no handler: nothing from inside ends it. */
	CHECK(kill_by(r, 1, SIGKILL) == 0 && kill_by(r, 1, SIGTERM) == 0 && !init->dying &&
	      signals_pending(init) == 0);
	/* sigqueue: nobody pretends to be the kernel. */
	struct signal_info i = { .code = SI_KERNEL };
	uint64_t q[6] = { a->tid, SIGUSR1, DATA + 0x100 };

	CHECK(copy_out(guest, uva(q[2]), &i, sizeof(i)) == 0 &&
	      sys_rt_sigqueueinfo(r, q) == -EPERM);
	q[2] = 0x20000;
	CHECK(sys_rt_sigqueueinfo(r, q) == -EFAULT);
	uint64_t tg[6] = { r->tid, a->tid, SIGKILL };

	CHECK(sys_tgkill(r, tg) == -ESRCH);
	tg[0] = 0;
	CHECK(sys_tgkill(r, tg) == -EINVAL);
	tg[0] = a->tid;
	CHECK(sys_tgkill(r, tg) == 0);
	let_run();
	CHECK(a->state == TASK_ENDED);
	/* A zombie is there, and hears nothing. */
	CHECK(kill_by(r, a->tid, SIGTERM) == 0);
	signal_process(r->process, SIGKILL);
	let_run();
	reap(a->process);
	reap(b->process);
	reap(r->process);
}

/* ---- threads ---- */

static void blocks_all(void *arg)
{
	(void) arg;
	CHECK(mask(SIG_SETMASK, UINT64_MAX) == 0);
	got[10] = timed(SIGNAL_BIT(SIGUSR2), -1);
	sleeper(NULL);
}

static void takes_one(void *arg)
{
	(void) arg;
	CHECK(on(SIGUSR1, note, SA_SIGINFO | SA_RESTART, 0) == 0);
	got[11] = sim_sys(__NR_pause);
	CHECK(mask(SIG_BLOCK, SIGNAL_BIT(SIGUSR1)) == 0);
	got[11] = 2;
	sleeper(NULL);
}

static void threads(struct task *init)
{
	struct task *t = child(init, &user_cred, blocks_all), *u;
	struct process *p = t->process;

	me = p->pid;
	let_run();
	u = thread(t, takes_one);
	/* A thread inherits the mask. */
	CHECK(u->signals->blocked == t->signals->blocked);
	u->signals->blocked = 0;
	let_run();
	handled_count = 0;
	signal_process(p, SIGUSR1);
	let_run();
	CHECK(handled_count == 1 && got[11] == 2 && got[10] == 0);
	/* Nobody takes it now; who takes it out of the process' queue gets it. */
	signal_process(p, SIGUSR1);
	signal_process(p, SIGUSR2);
	let_run();
	CHECK(handled_count == 1 && got[10] == SIGUSR2);
	CHECK(p->signals->pending.set == SIGNAL_BIT(SIGUSR1));

	/* All of them stop, and the parent is told once; then they go on. */
	init->signals->blocked = SIGNAL_BIT(SIGCHLD);
	signal_process(p, SIGSTOP);
	let_run();
	CHECK(process_stops(p) && t->signals->stopped && u->signals->stopped &&
	      p->stop == STOP_STOPPED && p->stop_signal == SIGSTOP);
	struct signal_info i = {};

	CHECK(signals_take(init, SIGNAL_BIT(SIGCHLD), &i) && i.code == CLD_STOPPED &&
	      i.child.pid == p->pid && i.child.status == SIGSTOP && i.child.uid == 1000);
	signal_process(p, SIGTERM);
	let_run();
	CHECK(process_stops(p));
	signal_process(p, SIGTSTP);
	signal_process(p, SIGCONT);
	CHECK(!(p->signals->pending.set & SIGNAL_BIT(SIGTSTP)) && p->stop == STOP_CONTINUED);
	CHECK(signals_take(init, SIGNAL_BIT(SIGCHLD), &i) && i.code == CLD_CONTINUED);
	let_run();
	CHECK(p->exiting && p->exit_status == SIGTERM && t->state == TASK_ENDED &&
	      u->state == TASK_ENDED);
	task_free(u);
	reap(p);

	/* A stopped one is killed all the same; SA_NOCLDSTOP. */
	init->handlers->actions[SIGCHLD - 1].flags = SA_NOCLDSTOP;
	t = child(init, &user_cred, sleeper);
	p = t->process;
	signal_process(p, SIGSTOP);
	let_run();
	CHECK(process_stops(p) && !signals_take(init, SIGNAL_BIT(SIGCHLD), &i));
	signal_child(p, CLD_KILLED, 9);
	CHECK(signals_take(init, SIGNAL_BIT(SIGCHLD), &i) && i.code == CLD_KILLED);
	CHECK(!signals_no_zombies(init->process));
	init->handlers->actions[SIGCHLD - 1].flags = SA_NOCLDWAIT;
	CHECK(signals_no_zombies(init->process));
	init->handlers->actions[SIGCHLD - 1].flags = 0;
	signal_process(p, SIGKILL);
	let_run();
	CHECK(t->state == TASK_ENDED && p->exit_status == SIGKILL);
	reap(p);

	/* Its group is an orphan: a terminal's stop does nothing. */
	t = child(init, &user_cred, sleeper);
	p = t->process;
	CHECK(group_orphaned(p->group, NULL));
	let_run();
	signal_group(p->group, SIGTSTP);
	let_run();
	CHECK(!p->signals->stopping);
	/* The memory of its queue is bounded. */
	p->limits[RLIMIT_SIGPENDING].soft = 2;
	t->signals->blocked = UINT64_MAX;
	i = (struct signal_info){ .nr = 40, .code = SI_QUEUE };
	CHECK(signal_send_process(p, &i, true) == 0 && signal_send_process(p, &i, true) == 0 &&
	      signal_send_process(p, &i, true) == -EAGAIN);
	i.nr = SIGUSR1;
	CHECK(signal_send_process(p, &i, true) == 0);
	i.code = SI_USER;
	CHECK(signal_send_task(t, &i, true) == 0);
	CHECK(signals_take(t, SIGNAL_BIT(SIGUSR1), &i) && i.code == SI_USER);
	signal_process(p, SIGKILL);
	let_run();
	reap(p);
}

/* ---- exec, and memory that fails ---- */

static void lives(struct task *init)
{
	struct task *t = child(init, &user_cred, NULL), *u;
	struct process *p = t->process;

	t->handlers->actions[SIGUSR1 - 1] = (struct signal_action){ .handler = 0x1000, .mask = 5 };
	t->handlers->actions[SIGUSR2 - 1].handler = 1;
	t->signals->stack = (struct signal_stack){ ALT, 0x4000, 0 };
	CHECK(task_new(p, &u) == 0 &&
	      signals_clone(u, t, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD) == 0);
	CHECK(u->handlers == t->handlers && u->signals->stack.flags == SS_DISABLE);
	CHECK(signals_unshare(u) == 0 && u->handlers != t->handlers);
	signals_exec(u);
	CHECK(u->handlers->actions[SIGUSR1 - 1].handler == 0 &&
	      u->handlers->actions[SIGUSR1 - 1].mask == 0 &&
	      u->handlers->actions[SIGUSR2 - 1].handler == 1);
	signals_exec(t);
	CHECK(t->signals->stack.flags == SS_DISABLE);
	signals_end(u);
	task_free(u);
	CHECK(task_new(p, &u) == 0 &&
	      signals_clone(u, t, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD) == 0);
	heap_fail_at(1);
	CHECK(signals_unshare(u) == -ENOMEM && u->handlers == t->handlers);
	heap_fail_at(0);
	signals_end(u);
	task_free(u);
	for (unsigned long n = 1; n < 8; n++) {
		struct signal_info i = { .nr = 40, .code = SI_QUEUE };
		struct process *q;
		bool made, sent;

		CHECK(process_new(&q) == 0 && task_new(q, &u) == 0);
		memcpy(q->limits, p->limits, sizeof(q->limits));
		u->cred = &user_cred;
		heap_fail_at(n);
		made = signals_clone(u, t, 0) == 0;
		CHECK(made == (n > 3));
		if (made) {
			u->signals->blocked = UINT64_MAX;
			sent = signal_send_process(q, &i, true) == 0;
			CHECK((q->signals->pending.set != 0) == sent);
			/* What it did itself is never lost. */
			signal_trap(u, SIGSEGV, SEGV_MAPERR, 16);
			CHECK(signals_take(u, SIGNAL_BIT(SIGSEGV), &i));
		}
		heap_fail_at(0);
		reap(q);
	}
	reap(p);
}

static void map(uint64_t where, uint64_t len)
{
	uint64_t at;

	CHECK(space_map(guest,
			&(struct space_mapping){ .at = where,
						 .len = len,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");
	struct task *init;

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	files = descriptors_new();
	guest = space_new(&wide);
	map(DATA, 0x1000);
	map(STACK, 0x20000);
	map(ALT, 0x4000);
	init = init_task();
	runs(init, program_handlers, 0);
	CHECK(got[0] == 1);
	waits(init);
	runs(init, program_frames, SIGSEGV);
	CHECK(got[9] == 1);
	runs(init, program_overflow, SIGSEGV);
	CHECK(got[9] == 3);
	runs(init, program_faults, SIGSEGV);
	CHECK(got[9] == 5);
	scribbles(init);
	rights(init);
	threads(init);
	lives(init);
	reap(init->process);
	descriptors_unref(files);
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(8192, all);
}

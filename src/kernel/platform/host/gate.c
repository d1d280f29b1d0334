/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates: the way of a call into the kernel without the host's (gate_x86_64.S, the guest's side of
 * it). Each thread has one, in its area. A call is put there with all its registers and a number,
 * one more than the last; the answer is that number, with a result alone or all registers.
 *
 *   who looks     The kernel looks for the next call for a while after an answer, and says so in
 *                 GATE_SPIN, so that the thread looks for the answer, too: neither sleeps, and no
 *                 signal or switch is needed. Else the thread rings, and waits as in any call.
 *   when          While that has gone well lately: calls that come at once after an answer make it
 *                 worth while; looks in vain, or more threads that run on the host than it has
 *                 processors, end it. Those that are looked at may share one: they wait for no
 *                 other's work there, and what they ask for is done here meanwhile.
 *
 * What is known   Answers of calls that are the same each time stand in the gate, too: the thread
 *   takes them from there, and tells nobody. Only numbers are taken away while it runs: who has
 *   found one finds its answer.
 *
 * The handler of signals, into which faults and calls about registers come, has a part of the gate
 * and is looked at in the same way: its frame is in memory that both see anyhow.
 *
 * All of a gate is the guest's to write. What it lies there is about the call of a thread of its
 * own, as in that thread's registers; what is read from it is read once.
 */
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"

struct gate {
	uint32_t seq, unused;
	uint64_t ax, di, si, dx, r10, r8, r9;
	uint32_t done, full, spin, ask;
	uint64_t result, room[5];
	uint64_t ip, sp, flags, fs, bx, bp, r12, r13, r14, r15, r11, cx, more_room[4];
	uint32_t up_seq, up_unused;
	uint64_t up_frame, up_fs, up_gs, up_signal, last_room[3];
	uint32_t up_done, up_result;
	uint64_t known_room[23];
	struct {
		uint32_t negative, answer;
	} known[KNOWN_SLOTS];
};
_Static_assert(offsetof(struct gate, known) == GATE_KNOWN && KNOWN_SLOTS * 8 == 256,
	       "the assembler's, which counts with bytes");
_Static_assert(offsetof(struct gate, ax) == GATE_AX && offsetof(struct gate, r9) == GATE_R9 &&
		       offsetof(struct gate, done) == GATE_DONE &&
		       offsetof(struct gate, full) == GATE_FULL &&
		       offsetof(struct gate, spin) == GATE_SPIN &&
		       offsetof(struct gate, ask) == GATE_ASK &&
		       offsetof(struct gate, result) == GATE_RESULT &&
		       offsetof(struct gate, ip) == GATE_IP &&
		       offsetof(struct gate, flags) == GATE_FLAGS &&
		       offsetof(struct gate, bx) == GATE_BX && offsetof(struct gate, cx) == GATE_CX,
	       "the assembler's");
_Static_assert(offsetof(struct gate, up_seq) == GATE_UP_SEQ &&
		       offsetof(struct gate, up_frame) == GATE_UP_FRAME &&
		       offsetof(struct gate, up_fs) == GATE_UP_FS &&
		       offsetof(struct gate, up_gs) == GATE_UP_GS &&
		       offsetof(struct gate, up_signal) == GATE_UP_SIGNAL &&
		       offsetof(struct gate, up_done) == GATE_UP_DONE &&
		       offsetof(struct gate, up_result) == GATE_UP_RESULT,
	       "the assembler's");
_Static_assert(AREA_GATE + sizeof(struct gate) <= AREA_STACK && AREA_GATE % 64 == 0,
	       "beside the stack of signals");

#define LOOK (25 * 1000) /* ns: an answer or a call that comes does so within it */
/* Where time of processors is limited: less than what a call by the host's kernel takes of it, so
 * that looking in vain costs no more than what is saved elsewhere. */
#define LOOK_LITTLE (4 * 1000)
/* From an answer to a ring, with the host's switches there and back, which looking saves. */
#define SOON	    (50 * 1000)
#define NOTICE	    (2 * 1000)	      /* between looks at what else there is */
#define ASK	    (2 * 1000 * 1000) /* between looks at how many others run */
#define GAP	    (50 * 1000)	      /* longer between two looks: somebody else ran here */
#define VAIN	    (2 * 1000 * 1000) /* without a look, when they have been in vain */
#define PAUSE_LEAST (10 * 1000 * 1000)
#define PAUSE_MOST  (640 * 1000 * 1000)
#define SPIN	    400 /* times that a thread looks for its answer: about as long as LOOK */
#define SPIN_LITTLE 64
#define RUN_MOST    8 /* that are looked at */
#define CREDIT	    8
#define CREDIT_LOOK 4

#define FLAG_TF 0x100u

static struct gate *gate_of(const struct plat_user *u)
{
	return (struct gate *) (void *) ((char *) chunk_ptr(u->area->chunk) + AREA_GATE);
}

/* Of no call in this slot: 0 is read(2)'s, of the first. */
static uint32_t known_none(unsigned int slot)
{
	return slot == 0;
}

void gate_begin(void)
{
	list_init(&host.look.run);
	list_init(&host.look.called);
	host.look.pause = PAUSE_LEAST;
	host.look.load_fd = FD_NONE;
	host.look.cpus = plat_cpus();
	host_limit_cpus(0, 0);
	host_sync_wakes(true);
}

void gate_reset(struct plat_user *u)
{
	memset(gate_of(u), 0, sizeof(struct gate));
	gate_of(u)->known[0].negative = known_none(0);
	u->gate = (typeof(u->gate)){};
	list_init(&u->gate.link);
}

void gate_renew(struct plat_user *u)
{
	uint32_t done = u->gate.done, up_done = u->gate.up_done;

	/* What was known was about another. */
	plat_user_forget(u);
	u->gate = (typeof(u->gate)){ .done = done, .up_done = up_done };
	list_init(&u->gate.link);
}

void plat_user_know(struct plat_user *u, unsigned int nr, uint32_t answer)
{
	unsigned int slot = nr % KNOWN_SLOTS;
	struct gate *g = gate_of(u);

	g->known[slot].answer = answer;
	__atomic_store_n(&g->known[slot].negative, -nr, __ATOMIC_RELEASE);
	u->gate.known |= 1u << slot;
}

void plat_user_forget(struct plat_user *u)
{
	struct gate *g = gate_of(u);

	for (unsigned int slot = 0; u->gate.known; slot++) {
		if (u->gate.known >> slot & 1)
			__atomic_store_n(&g->known[slot].negative, known_none(slot),
					 __ATOMIC_RELEASE);
		u->gate.known &= ~(1u << slot);
	}
}

void gate_forget(struct plat_user *u)
{
	host.look.run_count -= u->gate.runs;
	u->gate.runs = false;
	list_remove(&u->gate.link);
}

bool gate_has_call(const struct plat_user *u)
{
	return __atomic_load_n(&gate_of(u)->seq, __ATOMIC_ACQUIRE) != u->gate.done;
}

void gate_take(struct plat_user *u)
{
	const volatile struct gate *g = gate_of(u);

	gate_forget(u);
	list_push(&host.look.called, &u->gate.link);
	u->gate.done = g->seq;
	u->gate.idle_rings = 0;
	u->nr = (unsigned int) g->ax;
	u->gate.told_fp = u->nr == SYS_clone3 || (u->nr >= SYS_clone && u->nr <= SYS_vfork);
	u->event = (struct plat_event){
		.kind = PLAT_SYSCALL,
		.nr = u->nr,
		.args = { g->di, g->si, g->dx, g->r10, g->r8, g->r9 },
	};
	u->result = -ENOSYS;
	u->known = u->dirty = false;
	u->fp = FP_OWN;
}

static void load(struct plat_user *u)
{
	struct gate g;

	memcpy(&g, gate_of(u), sizeof(g));
	u->regs = (struct plat_regs){
		.r15 = g.r15,
		.r14 = g.r14,
		.r13 = g.r13,
		.r12 = g.r12,
		.bp = g.bp,
		.bx = g.bx,
		.r11 = g.flags,
		.r10 = g.r10,
		.r9 = g.r9,
		.r8 = g.r8,
		.ax = (uint64_t) u->result,
		.cx = g.ip,
		.dx = g.dx,
		.si = g.si,
		.di = g.di,
		.orig_ax = u->nr,
		.ip = g.ip,
		.cs = 0x33,
		.flags = g.flags,
		.sp = g.sp,
		.ss = 0x2b,
		.fs_base = g.fs,
	};
	if (u->state != USER_GATE && u->gate.full) {
		u->regs.ax = g.ax;
		u->regs.cx = g.cx;
		u->regs.r11 = g.r11;
	}
	u->known = true;
}

void gate_load(struct plat_user *u)
{
	if (!u->known)
		load(u);
}

bool gate_restores(const struct plat_user *u)
{
	return !u->regs.gs_base && !(u->regs.flags & FLAG_TF);
}

static void store(struct gate *g, const struct plat_regs *r)
{
	g->ax = r->ax;
	g->di = r->di;
	g->si = r->si;
	g->dx = r->dx;
	g->r10 = r->r10;
	g->r8 = r->r8;
	g->r9 = r->r9;
	g->ip = r->ip;
	g->sp = r->sp;
	g->flags = r->flags;
	g->fs = r->fs_base;
	g->bx = r->bx;
	g->bp = r->bp;
	g->r12 = r->r12;
	g->r13 = r->r13;
	g->r14 = r->r14;
	g->r15 = r->r15;
	g->r11 = r->r11;
	g->cx = r->cx;
}

/* It is one of those that are looked at, if any are; else it rings. */
static void look_at(struct plat_user *u, bool looks)
{
	gate_forget(u);
	looks = looks && host.look.looks && host.look.run_count < RUN_MOST;
	__atomic_store_n(&gate_of(u)->spin, looks ? host.look.spin : 0, __ATOMIC_RELAXED);
	if (looks) {
		list_push(&host.look.run, &u->gate.link);
		host.look.run_count++;
		u->gate.runs = true;
	}
}

void gate_answer(struct plat_user *u)
{
	struct gate *g = gate_of(u);

	u->gate.idle_rings = 0;
	if (!u->dirty)
		u->gate.full = 0;
	else if (u->fp == FP_OWN)
		u->gate.full = FULL_REGS;
	else
		u->gate.full = u->fp == FP_FIRST ? FULL_FIRST : FULL_FP;
	if (u->dirty)
		store(g, &u->regs);
	if (u->gate.full == FULL_FIRST)
		sigframe_place_first(u);
	g->full = u->gate.full;
	g->result = (uint64_t) u->result;
	look_at(u, true);
	__atomic_store_n(&g->done, u->gate.done, __ATOMIC_RELEASE);
	user_becomes(u, USER_RUNNING);
	u->known = u->dirty = false;
	host.look.answered = plat_now(PLAT_MONOTONIC);
	if (u->ring.waits)
		host_answer(&u->ring, 0);
}

void gate_left(struct plat_user *u)
{
	struct gate *g = gate_of(u);

	gate_forget(u);
	__atomic_store_n(&g->spin, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&g->done, u->gate.done, __ATOMIC_RELEASE);
	u->dirty = true;
}

bool gate_inside(uint64_t ip)
{
	return (ip >= STUB_SITES && ip < STUB_SITES + CHUNK_SIZE) ||
	       (ip >= stub_address(stub_gate) && ip < stub_address(stub_gate_end));
}

/*
 * Before the call was told it is begun again where the guest has it; after the answer it is done.
 * Between the two it would have been taken.
 */
void gate_settle(struct plat_user *u)
{
	uint64_t ip;

	sigframe_load(u);
	ip = u->regs.ip;
	if (ip >= STUB_SITES && ip < STUB_SITES + CHUNK_SIZE) {
		u->regs.ip = site_settled(u->space, ip);
		u->dirty = true;
	} else if (ip == stub_address(stub_gate)) {
		u->regs.ip = site_start(u->space, u->regs.cx);
		u->dirty = true;
	} else if (ip >= stub_address(stub_gate_known) && ip < stub_address(stub_gate_asks)) {
		u->regs.ip = u->regs.cx = gate_of(u)->ip;
		u->dirty = true;
	} else if (ip > stub_address(stub_gate) && ip <= stub_address(stub_gate_saved)) {
		u->regs.ip = site_start(u->space, gate_of(u)->ip);
		u->dirty = true;
	} else if (ip > stub_address(stub_gate_saved) && ip < stub_address(stub_gate_called)) {
		u->regs.sp = gate_of(u)->sp;
		u->regs.ax = gate_of(u)->ax;
		u->regs.di = gate_of(u)->di;
		u->regs.dx = gate_of(u)->dx;
		if (ip > stub_address(stub_gate_flagged))
			u->regs.flags = (gate_of(u)->flags & ~(uint64_t) FLAG_TF) |
					(u->regs.flags & FLAG_TF);
		u->regs.ip = site_start(u->space, gate_of(u)->ip);
		u->dirty = true;
	} else if (ip >= stub_address(stub_gate_called) && ip < stub_address(stub_gate_end)) {
		load(u);
		u->dirty = true;
		/* It may not have been taken yet. */
		if (u->gate.full >= FULL_FP)
			u->fp = u->gate.full == FULL_FIRST ? FP_FIRST : FP_GIVEN;
	}
}

void gate_ask(struct plat_user *u)
{
	u->gate.asked = true;
	look_at(u, !u->ring.waits);
	__atomic_store_n(&gate_of(u)->ask, 1, __ATOMIC_RELEASE);
	if (u->ring.waits)
		host_answer(&u->ring, 0);
}

bool gate_has_fp(const struct plat_user *u)
{
	return u->gate.asked && !__atomic_load_n(&gate_of(u)->ask, __ATOMIC_ACQUIRE);
}

bool gate_told(struct plat_user *u)
{
	bool told = gate_has_fp(u);

	u->gate.asked = false;
	__atomic_store_n(&gate_of(u)->ask, 0, __ATOMIC_RELAXED);
	/* It looks for the answer, as before. */
	gate_forget(u);
	list_push(&host.look.called, &u->gate.link);
	return told;
}

/* ---- the handler ---- */

bool gate_has_upcall(const struct plat_user *u)
{
	return __atomic_load_n(&gate_of(u)->up_seq, __ATOMIC_ACQUIRE) != u->gate.up_done;
}

struct upcall gate_take_upcall(struct plat_user *u)
{
	const volatile struct gate *g = gate_of(u);

	gate_forget(u);
	list_push(&host.look.called, &u->gate.link);
	u->gate.up_done = g->up_seq;
	u->gate.idle_rings = 0;
	return (struct upcall){ g->up_frame, g->up_fs, g->up_gs, (int) g->up_signal };
}

void gate_answer_upcall(struct plat_user *u, uint32_t how)
{
	struct gate *g = gate_of(u);

	look_at(u, true);
	g->up_result = how;
	__atomic_store_n(&g->up_done, u->gate.up_done, __ATOMIC_RELEASE);
	host.look.answered = plat_now(PLAT_MONOTONIC);
	if (u->ring.waits)
		host_answer(&u->ring, how);
}

void gate_await_upcall(struct plat_user *u)
{
	look_at(u, u->state == USER_GATE && !u->ring.waits);
}

void gate_quiet(struct plat_user *u)
{
	look_at(u, false);
}

/* ---- looking ---- */

void host_watch_load(int fd)
{
	host.look.load_fd = fd;
}

void host_limit_cpus(uint64_t quota, uint64_t period)
{
	bool little = quota > 0 && quota / host.look.cpus < period;

	host.look.time = little ? LOOK_LITTLE : LOOK;
	host.look.spin = little ? SPIN_LITTLE : SPIN;
}

/* proc(5): after three averages, how many threads run, of how many; UINT_MAX: nobody knows. */
static unsigned int running(void)
{
	char text[64];
	struct iovec to = { text, sizeof(text) - 1 };
	ssize_t n = preadv2(host.look.load_fd, &to, 1, 0, 0);
	const char *p = text;
	unsigned int found = 0;

	if (n <= 0)
		return UINT_MAX;
	text[n] = '\0';
	for (int spaces = 0; *p && spaces < 3; p++)
		spaces += *p == ' ';
	for (; *p >= '0' && *p <= '9' && found < 100000; p++)
		found = found * 10 + (unsigned int) (*p - '0');
	return found > 0 ? found : UINT_MAX;
}

/* Its gate may have news. */
static bool runs(const struct plat_user *u)
{
	return u->state == USER_RUNNING || u->fetching || u->gate.asked;
}

/*
 * Others want all processors: while this one and a guest's look at each other they have none. Who
 * is served here is no other, and `own` of those run: they have nothing of it if nobody looks.
 */
static bool crowded(nsec_t now, uint32_t own)
{
	if (now - host.look.asked > ASK) {
		host.look.asked = now;
		host.look.crowded = host.look.cpus < 2 || running() > host.look.cpus + own;
	}
	return host.look.crowded;
}

static void look_no_more(void)
{
	host.look.credit = 0;
	if (host.look.looks)
		host_sync_wakes(true);
	host.look.looks = false;
}

/* Somebody else wants this processor: for as long as it was looked from, at most, or for longer
 * each time. */
static void give_way(nsec_t now)
{
	bool well = host.look.looks && now - host.look.began >= host.look.pause;

	host.look.not_before = now + host.look.pause;
	host.look.pause = well ? max_of(host.look.pause / 2, (nsec_t) PAUSE_LEAST)
			       : min_of(2 * host.look.pause, (nsec_t) PAUSE_MOST);
	look_no_more();
}

/* This processor was somebody else's for a while. If that was one of those that are looked at, or
 * is over, it is nobody's loss; where time of processors is limited it may have been used up. */
static bool was_taken(nsec_t now)
{
	host.look.asked = 0;
	return host.look.time < LOOK || crowded(now, host.look.own);
}

void gate_rang(void)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);

	if (host.look.looks || host.look.load_fd < 0 || now < host.look.not_before)
		return;
	if (now - host.look.answered > (host.look.time < LOOK ? host.look.time : SOON)) {
		host.look.credit -= host.look.credit > 0;
	} else if (++host.look.credit >= CREDIT_LOOK && crowded(now, host.look.own - 1)) {
		give_way(now);
	} else if (host.look.credit >= CREDIT_LOOK) {
		host.look.credit = CREDIT;
		host.look.looks = true;
		host.look.began = now;
		host_sync_wakes(false);
	}
}

bool gate_has_news(const struct plat_user *u)
{
	if (u->gate.asked)
		return gate_has_fp(u);
	return runs(u) && (gate_has_upcall(u) || (!u->fetching && gate_has_call(u)));
}

static bool any_news(void)
{
	list_each(l, &host.look.run)
	{
		if (gate_has_news(list_entry(l, struct plat_user, gate.link)))
			return true;
	}
	return false;
}

/* Whether any of them may call: others are served in another way by now. */
static bool any_runs(void)
{
	list_each(l, &host.look.run)
	{
		if (runs(list_entry(l, struct plat_user, gate.link)))
			return true;
	}
	return false;
}

/* Those that run are told to ring; true: one has called meanwhile. */
static bool leave(void)
{
	bool any;

	list_each(l, &host.look.run)
	{
		struct plat_user *u = list_entry(l, struct plat_user, gate.link);

		__atomic_store_n(&gate_of(u)->spin, 0, __ATOMIC_RELAXED);
	}
	/* Before the last look: the thread tells its call, and then reads whether to ring. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	any = any_news();
	list_each_safe(l, &host.look.run)
	{
		struct plat_user *u = list_entry(l, struct plat_user, gate.link);

		if (!gate_has_news(u))
			gate_forget(u);
	}
	return any;
}

bool gate_look(nsec_t deadline)
{
	nsec_t now, end, last, notice;
	struct list *l;

	/* What is not answered by now takes longer. */
	while ((l = list_pop(&host.look.called)))
		__atomic_store_n(&gate_of(list_entry(l, struct plat_user, gate.link))->spin, 0,
				 __ATOMIC_RELAXED);
	if (!any_runs())
		return false;
	last = plat_now(PLAT_MONOTONIC);
	if (crowded(last, host.look.own)) {
		give_way(last);
		return leave();
	}
	end = min_of(deadline, last + host.look.time);
	notice = last + NOTICE;
	for (;;) {
		if (any_news()) {
			host.look.credit = min_of(host.look.credit + 1, (unsigned int) CREDIT);
			return true;
		}
		__builtin_ia32_pause();
		now = plat_now(PLAT_MONOTONIC);
		if (now - last > GAP) {
			if (was_taken(now)) {
				give_way(now);
				return leave();
			}
			end = min_of(deadline, now + host.look.time);
		}
		last = now;
		if (now >= end)
			break;
		if (now >= notice) {
			if (host_has_notice())
				return false;
			notice = now + NOTICE;
			last = plat_now(PLAT_MONOTONIC);
		}
	}
	if (end == deadline)
		return false;
	if (host.look.credit > 0)
		host.look.credit--;
	if (host.look.credit == 0) {
		host.look.not_before = now + VAIN;
		look_no_more();
	}
	return leave();
}

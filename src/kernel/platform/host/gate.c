/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates: the way of a call into the kernel without the host's (gate_x86_64.S, the guest's side of
 * it). Each thread has one, in its area. A call is put there with all its registers and a number,
 * one more than the last; the answer is that number, with a result alone or all registers.
 *
 * Where it pays the kernel looks for the next call for a while after an answer (look.c), and says
 * so in GATE_SPIN, so that the thread looks for the answer, too: neither sleeps, and no signal or
 * switch is needed. Else the thread rings, and waits as in any call.
 *
 * What is known   Answers of calls that are the same each time stand in the gate, too: the thread
 *   takes them from there, and tells nobody. Only numbers are taken away while it runs: who has
 *   found one finds its answer. Errors of readlink(2) stand in a table beside (names.c).
 *
 * The handler of signals, into which faults and calls about registers come, has a part of the gate
 * and is looked at in the same way: its frame is in memory that both see anyhow.
 *
 * All of a gate is the guest's to write. What it lies there is about the call of a thread of its
 * own, as in that thread's registers; what is read from it is read once.
 */
#include <string.h>
#include <sys/syscall.h>

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
	uint64_t names, known_room[22];
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
		       offsetof(struct gate, up_result) == GATE_UP_RESULT &&
		       offsetof(struct gate, names) == GATE_NAMES,
	       "the assembler's");
_Static_assert(AREA_GATE + sizeof(struct gate) <= AREA_STACK && AREA_GATE % 64 == 0,
	       "beside the stack of signals");

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
	names_clear(u);
}

bool gate_has_call(const struct plat_user *u)
{
	return __atomic_load_n(&gate_of(u)->seq, __ATOMIC_ACQUIRE) != u->gate.done;
}

void gate_take(struct plat_user *u)
{
	const volatile struct gate *g = gate_of(u);

	look_called(u);
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
	look_answered();
	if (u->ring.waits) {
		place_answer(u);
		host_answer(&u->ring, 0);
	}
}

void gate_left(struct plat_user *u)
{
	struct gate *g = gate_of(u);

	look_forget(u);
	gate_spin(u, 0);
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
	look_called(u);
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

	look_called(u);
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
	look_answered();
	if (u->ring.waits) {
		place_answer(u);
		host_answer(&u->ring, how);
	}
}

void gate_await_upcall(struct plat_user *u)
{
	look_at(u, u->state == USER_GATE && !u->ring.waits);
}

void gate_quiet(struct plat_user *u)
{
	look_at(u, false);
}

void gate_names(struct plat_user *u, uint64_t at)
{
	__atomic_store_n(&gate_of(u)->names, at, __ATOMIC_RELEASE);
}

bool gate_names_fault(struct plat_user *u)
{
	uint64_t ip = sigframe_ip(u);

	if (ip < stub_address(stub_gate_names) || ip >= stub_address(stub_gate_unnamed) ||
	    u->gs != gate_address(u->area))
		return false;
	sigframe_load(u);
	u->regs.ip = stub_address(stub_gate_unnamed);
	u->regs.ax = gate_of(u)->ax;
	u->regs.dx = gate_of(u)->dx;
	u->dirty = true;
	return true;
}

void gate_spin(struct plat_user *u, uint32_t times)
{
	__atomic_store_n(&gate_of(u)->spin, times, __ATOMIC_RELAXED);
}

bool gate_runs(const struct plat_user *u)
{
	return u->state == USER_RUNNING || u->fetching || u->gate.asked;
}

bool gate_has_news(const struct plat_user *u)
{
	if (u->gate.asked)
		return gate_has_fp(u);
	return gate_runs(u) && (gate_has_upcall(u) || (!u->fetching && gate_has_call(u)));
}

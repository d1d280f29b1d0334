/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: a guest's threads. What they wait for is a notification that was not answered: of a
 * system call of their own (USER_CALL), which can be given a result alone, or of the handler in the
 * stub (USER_UPCALL), where all registers stand in the signal's frame. From the first to the
 * second: a signal is sent before the call is answered, so that it is delivered on the way back.
 *
 * The frame and all around it is the guest's to write. What it lies there is about itself.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/core/heap.h"
#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"

/* What Linux puts on the stack for a handler on x86-64, as far as it is read here: the address to
 * return to, ucontext with its sigcontext, siginfo. */
struct frame {
	uint64_t restorer;
	uint64_t flags, link;
	uint64_t stack;
	uint32_t stack_flags, unused;
	uint64_t stack_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, mask_low, cr2, state, reserved[8];
	uint64_t mask;
	union {
		struct {
			int signal, error, code, unused;
			uint64_t address;
		} info;
		struct {
			uint64_t fs_base, gs_base; /* put there by us: layout.h */
		};
		char size[128];
	};
};
_Static_assert(offsetof(struct frame, info) == FRAME_INFO, "arch/x86/include/asm/sigframe.h");
_Static_assert(offsetof(struct frame, fs_base) == FRAME_FS_BASE, "the assembler's");
_Static_assert(offsetof(struct frame, gs_base) == FRAME_GS_BASE, "the assembler's");

/* uapi/asm/ucontext.h: the stack segment is in the frame, and is restored as it is. */
#define FRAME_FLAGS 6u
#define USER_CS	    0x33
#define USER_SS	    0x2b
/* uapi/asm/sigcontext.h and asm/trap_pf.h */
#define TRAP_PAGE   14
#define ERROR_WRITE 2u
#define ERROR_FETCH 16u

static struct heap_cache users = HEAP_CACHE_INIT(struct plat_user);

/* ---- the frame ---- */

static struct frame *frame_ptr_of(const struct plat_user *u)
{
	return (struct frame *) (void *) ((char *) chunk_ptr(u->area->chunk) +
					  (u->frame - area_address(u->area)));
}

static bool frame_fits(const struct plat_user *u, uint64_t frame)
{
	uint64_t low = area_address(u->area);

	return frame >= low && frame <= low + CHUNK_SIZE - sizeof(struct frame) && frame % 8 == 0;
}

/* Once, from what the guest may change meanwhile. */
static void regs_load(struct plat_user *u)
{
	struct frame f;

	if (u->known)
		return;
	memcpy(&f, frame_ptr_of(u), sizeof(f));
	u->regs = (struct plat_regs){
		.r15 = f.r15,
		.r14 = f.r14,
		.r13 = f.r13,
		.r12 = f.r12,
		.bp = f.bp,
		.bx = f.bx,
		.r11 = f.r11,
		.r10 = f.r10,
		.r9 = f.r9,
		.r8 = f.r8,
		.ax = f.ax,
		.cx = f.cx,
		.dx = f.dx,
		.si = f.si,
		.di = f.di,
		.orig_ax = UINT64_MAX,
		.ip = f.ip,
		.cs = f.cs,
		.flags = f.eflags,
		.sp = f.sp,
		.ss = f.ss,
		.fs_base = u->fs,
		.gs_base = u->gs,
	};
	u->known = true;
}

static void regs_store(struct plat_user *u, bool whole)
{
	const struct plat_regs *g = &u->regs;
	struct frame *f = frame_ptr_of(u);

	if (whole) {
		memset(f, 0, sizeof(*f));
		f->stack = area_address(u->area);
		f->stack_size = CHUNK_SIZE;
	}
	f->flags |= FRAME_FLAGS;
	f->r8 = g->r8;
	f->r9 = g->r9;
	f->r10 = g->r10;
	f->r11 = g->r11;
	f->r12 = g->r12;
	f->r13 = g->r13;
	f->r14 = g->r14;
	f->r15 = g->r15;
	f->di = g->di;
	f->si = g->si;
	f->bp = g->bp;
	f->bx = g->bx;
	f->dx = g->dx;
	f->ax = g->ax;
	f->cx = g->cx;
	f->sp = g->sp;
	f->ip = g->ip;
	f->eflags = g->flags;
	f->cs = USER_CS;
	f->ss = USER_SS;
	f->mask = 0;
	f->fs_base = g->fs_base;
	f->gs_base = g->gs_base;
}

/* ---- what it does ---- */

static void tell(struct plat_user *u, const struct plat_event *event)
{
	u->event = *event;
	u->ready = true;
	if (u->fiber)
		fiber_wake(u->fiber);
}

void user_lost(struct plat_user *u)
{
	if (u->state == USER_ENDING && u->space->reaped)
		plat_user_free(u);
	else if (u->fiber)
		fiber_wake(u->fiber);
}

static void called(struct plat_user *u, const struct seccomp_notif *n)
{
	struct plat_event event = { .kind = PLAT_SYSCALL, .nr = (unsigned int) n->data.nr };

	memcpy(event.args, n->data.args, sizeof(event.args));
	u->state = USER_CALL;
	u->nr = event.nr;
	u->ip = n->data.instruction_pointer;
	u->result = -ENOSYS;
	u->known = u->dirty = false;
	tell(u, &event);
}

static struct plat_event fault_of(struct plat_user *u, int signal)
{
	struct frame f;
	struct plat_event event = { .kind = PLAT_TRAP, .signal = signal };

	memcpy(&f, frame_ptr_of(u), sizeof(f));
	event.code = f.info.code;
	event.address = f.info.address;
	if (signal == SIGSEGV && f.trap == TRAP_PAGE) {
		event.kind = PLAT_FAULT;
		event.address = f.cr2;
		event.access = f.error & ERROR_WRITE   ? PLAT_WRITE
			       : f.error & ERROR_FETCH ? PLAT_EXEC
						       : PLAT_READ;
	}
	return event;
}

/* Those that have the handler. */
static bool is_fault(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
	       signal == SIGTRAP || signal == SIGSYS;
}

static void resume(struct plat_user *u);

/* The handler has been entered. */
static void upcall(struct plat_user *u, const struct seccomp_notif *n)
{
	int signal = (int) n->data.args[4];
	struct plat_event event;

	u->state = USER_UPCALL;
	u->frame = n->data.args[1];
	u->fs = n->data.args[2];
	u->gs = n->data.args[3];
	if (u->fetching) {
		/* The registers may have been set without those of the frame. */
		if (!u->dirty)
			regs_load(u);
	} else {
		u->known = u->dirty = false;
		if (u->answered)
			regs_load(u);
	}
	if (u->answered && u->known && !u->dirty) {
		if (u->regs.ip == u->ip - 2) {
			u->regs.ip = u->ip;
			u->dirty = true;
		}
		u->regs.ax = (uint64_t) u->result;
	}
	u->answered = false;
	if (u->fetching) {
		u->fetching = u->signalled = false;
		if (u->fiber)
			fiber_wake(u->fiber);
		return;
	}
	if (signal == SIGUSR1) {
		u->signalled = false;
		if (!u->kicked) {
			resume(u);
			return;
		}
		u->kicked = false;
		tell(u, &(struct plat_event){ .kind = PLAT_KICKED });
		return;
	}
	if (!is_fault(signal)) {
		stub_condemn(u->space);
		return;
	}
	event = fault_of(u, signal);
	tell(u, &event);
}

void user_notified(struct plat_user *u, const struct seccomp_notif *n)
{
	uint64_t ip = n->data.instruction_pointer;
	bool inside = ip >= STUB_BASE && ip < STUB_DATA; /* as the filter has it */
	bool door = ip == stub_address(stub_door_site) && n->data.nr == SYS_exit &&
		    frame_fits(u, n->data.args[1]);

	u->ring = (struct ring){ .id = n->id, .waits = true };
	if (u->space->dead)
		return;
	if (u->state == USER_NEW && door && n->data.args[0] == DOOR_BORN) {
		u->frame = n->data.args[1];
		u->ready = (int64_t) n->data.args[2] == 0;
	} else if (u->state == USER_ENDING) {
		/* Something else than its end is not answered; the stub's end will be its own. */
		if (door)
			plat_user_free(u);
	} else if (u->state == USER_RUNNING && door && n->data.args[0] == DOOR_UPCALL) {
		upcall(u, n);
	} else if (u->state == USER_RUNNING && !inside && !u->fetching) {
		called(u, n);
	} else {
		stub_condemn(u->space);
	}
}

/* ---- what the kernel does with it ---- */

static void unlink_user(struct plat_user *u)
{
	if (u->tid > 0 && radix_get(&host.tids, (uint64_t) u->tid) == u)
		(void) radix_take(&host.tids, (uint64_t) u->tid);
	list_remove(&u->link);
	list_push(&u->space->areas, &u->area->link);
	heap_cache_free(&users, u);
}

struct plat_user *plat_user_new(struct plat_space *s, const struct plat_regs *regs)
{
	struct plat_user *u = s->dead ? NULL : heap_cache_alloc(&users);

	if (!u)
		return NULL;
	u->space = s;
	list_init(&u->link);
	u->area = stub_area(s);
	if (!u->area) {
		heap_cache_free(&users, u);
		return NULL;
	}
	list_push(&s->users, &u->link);
	u->frame = area_address(u->area) + CHUNK_SIZE - 1024;
	u->tid = stub_thread(s, u->area, u->frame);
	if (u->tid > 0 && radix_set(&host.tids, (uint64_t) u->tid, u) < 0)
		u->tid = -ENOMEM;
	/* A thread that is not known is sent away when it rings. */
	stub_thread_go(s);
	while (u->tid > 0 && !u->ring.waits && !s->dead)
		s->dead = !host_receive(s->pidfd);
	if (u->tid <= 0 || s->dead || !u->ready) {
		if (u->ring.waits && !s->dead)
			host_let_end(&u->ring);
		unlink_user(u);
		return NULL;
	}
	u->ready = false;
	u->regs = *regs;
	u->known = u->dirty = true;
	return u;
}

static void signal_it(struct plat_user *u)
{
	if (u->signalled)
		return;
	u->signalled = true;
	/* It is there: its process was not reaped. */
	(void) syscall(SYS_tgkill, u->space->pid, u->tid, SIGUSR1);
}

/* Answers its system call; a signal that is under way meets it on the way back. */
static void answer_call(struct plat_user *u)
{
	u->answered = u->signalled;
	u->state = USER_RUNNING;
	host_answer(&u->ring, u->result);
}

void plat_user_free(struct plat_user *u)
{
	if (!u)
		return;
	u->fiber = NULL;
	if (u->space->dead) {
		/* Its area is given back with the stub's end at the latest. */
		unlink_user(u);
		return;
	}
	if (u->ring.waits && (u->state != USER_CALL || u->nr == SYS_exit)) {
		host_let_end(&u->ring);
		unlink_user(u);
		return;
	}
	/* It ends in the handler. */
	signal_it(u);
	if (u->state == USER_CALL)
		answer_call(u);
	u->state = USER_ENDING;
}

static void resume(struct plat_user *u)
{
	bool fresh = u->state == USER_NEW, store = fresh || u->dirty;

	if (u->state == USER_CALL) {
		answer_call(u);
		return;
	}
	if (store)
		regs_store(u, fresh);
	u->state = USER_RUNNING;
	u->known = u->dirty = false;
	host_answer(&u->ring, store);
}

/* From its system call into the handler; false: it is gone. */
static bool enter_handler(struct plat_user *u)
{
	u->fetching = true;
	signal_it(u);
	answer_call(u);
	u->fiber = fiber_now();
	while (u->fetching && !u->space->dead)
		fiber_park();
	u->fiber = NULL;
	return !u->space->dead;
}

void plat_user_run(struct plat_user *u, struct plat_event *ret_event)
{
	struct plat_space *s = u->space;

	/* Orders that fail leave pages out, which fault. */
	if (s->queued > 0)
		(void) plat_space_commit(s);
	if (u->kicked && !s->dead) {
		u->kicked = false;
		*ret_event = (struct plat_event){ .kind = PLAT_KICKED };
		return;
	}
	if (u->state == USER_CALL && u->dirty && !s->dead)
		(void) enter_handler(u);
	if (!s->dead)
		resume(u);
	u->fiber = fiber_now();
	while (!u->ready && !s->dead)
		fiber_park();
	u->fiber = NULL;
	*ret_event = s->dead ? (struct plat_event){ .kind = PLAT_GONE } : u->event;
	u->ready = false;
}

void plat_user_result(struct plat_user *u, sysret_t result)
{
	u->result = result;
	if (u->state == USER_CALL && !u->known)
		return;
	if (u->state == USER_UPCALL)
		regs_load(u);
	u->regs.ax = (uint64_t) result;
	u->dirty = true;
}

void plat_user_regs(struct plat_user *u, struct plat_regs *ret_regs)
{
	*ret_regs = (struct plat_regs){};
	if (u->state == USER_CALL && !u->known) {
		if (u->space->dead || !enter_handler(u))
			return;
		u->regs.orig_ax = u->nr;
	}
	if (u->state == USER_UPCALL)
		regs_load(u);
	*ret_regs = u->regs;
}

void plat_user_set_regs(struct plat_user *u, const struct plat_regs *regs)
{
	u->regs = *regs;
	u->known = u->dirty = true;
}

void plat_user_kick(struct plat_user *u)
{
	u->kicked = true;
	if (u->state == USER_RUNNING && !u->space->dead)
		signal_it(u);
}

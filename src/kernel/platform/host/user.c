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

/* Threads of a space that wait for work. */
#define IDLE_MOST 8

static struct heap_cache users = HEAP_CACHE_INIT(struct plat_user);

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
	else if (u->server && u->state == USER_CALL)
		fiber_interrupt(u->server); /* who waits for its call comes back, and is told */
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
	u->fp = FP_OWN;
	u->frame = n->data.args[1];
	u->fs = n->data.args[2];
	u->gs = n->data.args[3];
	if (u->fetching) {
		/* The registers may have been set without those of the frame. */
		if (!u->dirty)
			sigframe_load(u);
	} else {
		u->known = u->dirty = false;
		if (u->answered)
			sigframe_load(u);
	}
	if (u->answered && u->known && !u->dirty) {
		u->dirty = u->regs.ip == u->ip - 2 || u->regs.ax != (uint64_t) u->result;
		u->regs.ip = u->ip;
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
	event = sigframe_fault(u, signal);
	tell(u, &event);
}

/* One that was given back is where it can wait for the next, or end. */
static void came(struct plat_user *u, const struct seccomp_notif *n)
{
	bool upcall = n->data.args[0] == DOOR_UPCALL;

	u->frame = n->data.args[1];
	if (u->space->use == STUB_ENTERS && upcall)
		spare_entered(u);
	else if (u->space->use == STUB_SERVES && upcall && u->space->idle_count < IDLE_MOST)
		user_idle(u);
	else
		plat_user_free(u);
}

void user_notified(struct plat_user *u, const struct seccomp_notif *n)
{
	uint64_t ip = n->data.instruction_pointer;
	bool inside = ip >= STUB_BASE && ip < STUB_DATA; /* as the filter has it */
	bool door = ip == stub_address(stub_door_site) && n->data.nr == SYS_exit &&
		    sigframe_fits(u, n->data.args[1]);

	u->ring = (struct ring){ .id = n->id, .waits = true };
	if (u->space->dead)
		return;
	if (u->state == USER_NEW && door && n->data.args[0] == DOOR_BORN) {
		u->frame = n->data.args[1];
		u->ready = (int64_t) n->data.args[2] == 0;
	} else if (u->state == USER_ENDING) {
		/* Something else than its end is not answered; the stub's end will be its own. */
		if (door)
			came(u, n);
	} else if (u->state == USER_RUNNING && door && n->data.args[0] == DOOR_UPCALL) {
		upcall(u, n);
	} else if (u->state == USER_RUNNING && !inside && !u->fetching) {
		called(u, n);
	} else {
		stub_condemn(u->space);
	}
}

/* ---- what the kernel does with it ---- */

static void drop(struct plat_user *u)
{
	if (u->tid > 0 && radix_get(&host.tids, (uint64_t) u->tid) == u)
		(void) radix_take(&host.tids, (uint64_t) u->tid);
	list_remove(&u->link);
	list_push(&u->space->areas, &u->area->link);
	heap_cache_free(&users, u);
}

static void unlink_user(struct plat_user *u)
{
	u->space->active -= !u->parked;
	drop(u);
}

void user_idle(struct plat_user *u)
{
	u->state = USER_IDLE;
	u->space->active--;
	u->space->idle_count++;
	list_remove(&u->link);
	list_push(&u->space->idle, &u->link);
}

void user_forget(struct plat_user *u)
{
	u->space->idle_count--;
	drop(u);
}

/* One that waits in the handler, as if it were new; NULL: there is none. */
static struct plat_user *take_idle(struct plat_space *s, const struct plat_regs *regs)
{
	struct list *l = list_pop(&s->idle);
	struct plat_user *u = l ? list_entry(l, struct plat_user, link) : NULL;

	if (!u)
		return NULL;
	s->idle_count--;
	s->active++;
	*u = (struct plat_user){ .space = s,
				 .tid = u->tid,
				 .area = u->area,
				 .ring = u->ring,
				 .frame = u->frame,
				 .regs = *regs,
				 .known = true,
				 .dirty = true };
	list_push(&s->users, &u->link);
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
	/* No result of the host's own calls that are begun again. */
	host_answer(&u->ring, u->fetching ? 0 : u->result);
}

void user_end_call(struct plat_user *u)
{
	if (u->parked) {
		u->parked = false;
		u->space->active++;
		u->state = USER_CALL;
	}
	signal_it(u);
	if (u->state == USER_CALL)
		answer_call(u);
	u->state = USER_ENDING;
}

/* Those that waited for the stub's end, which is not to come yet. */
static void unpark(struct plat_space *s)
{
	list_each(l, &s->users)
	{
		struct plat_user *u = list_entry(l, struct plat_user, link);

		if (u->parked)
			user_end_call(u);
	}
}

struct plat_user *plat_user_new(struct plat_space *s, const struct plat_regs *regs)
{
	struct plat_user *u;

	if (s->dead)
		return NULL;
	unpark(s);
	u = take_idle(s, regs);
	if (u)
		return u;
	u = heap_cache_alloc(&users);
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
	s->active++;
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

void plat_user_free(struct plat_user *u)
{
	if (!u)
		return;
	u->fiber = u->server = NULL;
	if (u->space->dead) {
		/* Its area is given back with the stub's end at the latest. */
		unlink_user(u);
		return;
	}
	if (u->ring.waits && u->state != USER_CALL) {
		host_let_end(&u->ring);
		unlink_user(u);
		return;
	}
	/* The last one: most often its stub ends now, too. */
	if (u->state == USER_CALL && u->space->active == 1) {
		u->parked = true;
		u->space->active--;
		u->state = USER_ENDING;
		return;
	}
	user_end_call(u);
}

static void resume(struct plat_user *u)
{
	bool fresh = u->state == USER_NEW, store = fresh || u->dirty;

	if (u->state == USER_CALL) {
		answer_call(u);
		return;
	}
	if (store)
		sigframe_store(u, fresh);
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

	u->server = fiber_now();
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
		sigframe_load(u);
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
		sigframe_load(u);
	*ret_regs = u->regs;
}

void plat_user_set_regs(struct plat_user *u, const struct plat_regs *regs)
{
	u->regs = *regs;
	u->known = u->dirty = true;
}

/* Where it has a frame; false: it is gone. */
static bool has_frame(struct plat_user *u)
{
	if (u->space->dead)
		return false;
	return u->state == USER_CALL ? enter_handler(u) : u->state != USER_RUNNING;
}

size_t plat_fp_size(uint64_t *ret_components)
{
	*ret_components = host.fp_components;
	return host.fp_size;
}

void plat_user_fp(struct plat_user *u, void *to)
{
	memset(to, 0, host.fp_size);
	if (has_frame(u))
		sigframe_fp(u, to);
}

void plat_user_set_fp(struct plat_user *u, const void *from)
{
	if (!has_frame(u))
		return;
	if (u->state == USER_UPCALL)
		sigframe_load(u);
	u->dirty = true;
	sigframe_set_fp(u, from);
}

bool plat_user_gone(const struct plat_user *u)
{
	return u->space->dead;
}

void plat_user_kick(struct plat_user *u)
{
	u->kicked = true;
	if (u->state == USER_RUNNING && !u->space->dead)
		signal_it(u);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: a guest's threads. What they wait for is a notification that was not answered: of a
 * system call of their own (USER_CALL), which can be given a result alone, or of the handler in the
 * stub (USER_UPCALL), where all registers stand in the signal's frame. From the first to the
 * second: a signal is sent before the call is answered, so that it is delivered on the way back.
 * Calls that want that always come by the handler themselves (filter.c).
 *
 * A thread that has ended waits for the next one's registers: in the handler, or in its gate if its
 * last call stands there. What its guest's code does until then is about its own memory alone:
 * whatever it asks the host for ends the stub.
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

/* Of a gate without a call, since the last one: on their way as it was answered. */
#define IDLE_RINGS 2
/* For a thread in its gate to tell more, of which another may have said that it is there. */
#define IN_TIME NSEC_PER_SEC
/* Threads of a space that wait for work. */
#define IDLE_MOST 8

static struct heap_cache users = HEAP_CACHE_INIT(struct plat_user);

/* ---- what it does ---- */

static void tell(struct plat_user *u, const struct plat_event *event)
{
	host.look.calls++;
	host.look.served++;
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
	else if (u->server && (u->state == USER_CALL || u->state == USER_GATE || u->trapped))
		fiber_interrupt(u->server); /* who waits for its call comes back, and is told */
}

void user_becomes(struct plat_user *u, enum user_state state)
{
	host.look.own -= u->state == USER_RUNNING;
	host.look.own += state == USER_RUNNING;
	place_becomes(u, state == USER_RUNNING);
	u->state = state;
}

static void called(struct plat_user *u, const struct seccomp_notif *n)
{
	struct plat_event event = { .kind = PLAT_SYSCALL, .nr = (unsigned int) n->data.nr };

	memcpy(event.args, n->data.args, sizeof(event.args));
	user_becomes(u, USER_CALL);
	u->nr = event.nr;
	u->ip = site_outside(u->space, n->data.instruction_pointer);
	if (u->ip == n->data.instruction_pointer && site_counts(u->space, u->ip))
		event.site = u->ip;
	u->result = -ENOSYS;
	u->known = u->dirty = false;
	u->fp = FP_OWN;
	tell(u, &event);
}

/* Its call has brought it into the handler. */
static void trapped(struct plat_user *u)
{
	struct plat_event event = { .kind = PLAT_SYSCALL };
	const struct plat_regs *g = &u->regs;

	sigframe_load(u);
	event.nr = u->nr = (unsigned int) g->ax;
	memcpy(event.args, (uint64_t[]){ g->di, g->si, g->dx, g->r10, g->r8, g->r9 },
	       sizeof(event.args));
	u->regs.orig_ax = event.nr;
	u->ip = g->ip;
	u->trapped = true;
	/* Where it begins it leaves no gate. */
	if (event.nr != SYS_execve && event.nr != SYS_execveat && site_counts(u->space, u->ip))
		event.site = u->ip;
	plat_user_result(u, -ENOSYS);
	/* That is not answered: who waits for it is to sleep. */
	if (u->nr == SYS_exit || u->nr == SYS_exit_group)
		gate_quiet(u);
	tell(u, &event);
}

/* What stands in its gate. */
static void called_by_gate(struct plat_user *u)
{
	gate_take(u);
	user_becomes(u, USER_GATE);
	/* That is not answered, or not soon: who waits for it is to sleep. */
	if (u->nr == SYS_exit)
		gate_quiet(u);
	tell(u, &u->event);
}

static void has_fp(struct plat_user *u)
{
	if (u->fiber)
		fiber_wake(u->fiber);
}

static void upcall(struct plat_user *u, const struct upcall *c);

void user_gate_calls(void)
{
	/* Those that go on at once are looked at anew, but not here: they might never leave it. */
	uint32_t left = host.look.run_count;

	list_each_safe(l, &host.look.run)
	{
		struct plat_user *u = list_entry(l, struct plat_user, gate.link);
		struct upcall c;

		if (left-- == 0)
			break;
		if (!gate_has_news(u))
			continue;
		if (u->gate.asked) {
			has_fp(u);
			continue;
		}
		if (!gate_has_upcall(u)) {
			called_by_gate(u);
			continue;
		}
		c = gate_take_upcall(u);
		u->gate.up_found = true;
		if (sigframe_fits(u, c.frame))
			upcall(u, &c);
		else
			stub_condemn(u->space);
	}
}

/* The gate's own ring: nobody looks for its call, or it has waited for long. */
static void gate_ring(struct plat_user *u)
{
	if (u->state == USER_ENDING) {
		plat_user_free(u);
	} else if (gate_has_fp(u)) {
		has_fp(u);
	} else if (u->state == USER_GATE && !u->fetching && !u->gate.asked) {
		/* Its answer ends the ring, too. */
	} else if (u->state == USER_RUNNING && !u->fetching && gate_has_call(u)) {
		look_rang();
		called_by_gate(u);
	} else if (u->gate.idle_rings++ < IDLE_RINGS) {
		/* It was answered meanwhile, or a signal is on its way. */
		host_answer(&u->ring, 0);
	} else {
		stub_condemn(u->space);
	}
}

/* Those that have the handler. */
static bool is_fault(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
	       signal == SIGTRAP;
}

static void resume(struct plat_user *u);

/*
 * What a guest has not written is not told to it: a step of one that goes step by step is done as
 * if nothing had come; what has failed, has where its call begins. Its base of gs is lost, as one
 * that loads a selector there has it: the call is begun again, with that as it must be, or for good
 * without gates where it has its own. True: it goes on.
 */
static bool inside_fault(struct plat_user *u, int signal)
{
	if (signal == SIGTRAP) {
		resume(u);
		return true;
	}
	gate_settle(u);
	if (signal != SIGSEGV || u->gs == gate_address(u->area))
		return false;
	u->dirty = true;
	resume(u);
	return true;
}

/* The handler has been entered. */
static void upcall(struct plat_user *u, const struct upcall *c)
{
	struct plat_event event;
	int signal = c->signal;

	if (u->state == USER_GATE && signal == SIGTRAP) {
		/* A step to where it waits for its answer. */
		gate_answer_upcall(u, UP_BACK);
		return;
	}
	if (u->state == USER_GATE && signal != SIGUSR1) {
		stub_condemn(u->space);
		return;
	}
	if (u->state == USER_GATE && !u->fetching) {
		/* A kick that the call has made idle: it goes on to wait for its answer. */
		u->signalled = false;
		host_answer(&u->ring, UP_BACK);
		return;
	}
	if (u->state == USER_GATE) {
		gate_load(u);
		gate_left(u);
	}
	user_becomes(u, USER_UPCALL);
	if (!u->fetching)
		u->fp = FP_OWN;
	u->frame = c->frame;
	u->fs = c->fs;
	u->gs = c->gs;
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
		u->dirty = u->regs.ip != u->ip || u->regs.ax != (uint64_t) u->result;
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
		if (gate_has_call(u)) {
			gate_take(u);
			gate_load(u);
			gate_left(u);
			tell(u, &u->event);
			return;
		}
		gate_settle(u);
		u->kicked = false;
		tell(u, &(struct plat_event){ .kind = PLAT_KICKED });
		return;
	}
	if (signal == SIGSYS) {
		trapped(u);
		return;
	}
	if (!is_fault(signal)) {
		stub_condemn(u->space);
		return;
	}
	if ((signal == SIGSEGV || signal == SIGBUS) && gate_names_fault(u)) {
		names_failed(u);
		resume(u);
		return;
	}
	if (gate_inside(sigframe_ip(u)) && inside_fault(u, signal))
		return;
	event = sigframe_fault(u, signal);
	tell(u, &event);
}

/* The handler rings: nobody looked for it in time. */
static void upcall_ring(struct plat_user *u, const struct seccomp_notif *n)
{
	struct upcall c = { n->data.args[1], n->data.args[2], n->data.args[3],
			    (int) n->data.args[4] };

	bool found = u->gate.up_found && !gate_has_upcall(u);

	u->gate.up_found = false;
	if (found && u->state == USER_UPCALL) {
		/* Its answer ends the ring, too. */
	} else if (found) {
		/* It was answered meanwhile. */
		host_answer(&u->ring, UP_TOLD);
	} else if (u->state != USER_UPCALL) {
		if (host.gates && u->state == USER_RUNNING)
			look_rang();
		(void) gate_take_upcall(u);
		upcall(u, &c);
	} else {
		stub_condemn(u->space);
	}
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

	bool rang = u->ring.waits;

	u->ring = (struct ring){ .id = n->id, .waits = true };
	if (u->space->dead)
		return;
	if (ip == stub_address(stub_gate_site) && n->data.nr == SYS_exit &&
	    n->data.args[0] == DOOR_GATE && u->state == USER_IDLE && u->in_gate) {
		/* It is the next one's. */
		return;
	}
	if (ip == stub_address(stub_gate_site) && n->data.nr == SYS_exit &&
	    n->data.args[0] == DOOR_GATE &&
	    (u->state == USER_RUNNING || u->state == USER_GATE || u->state == USER_ENDING)) {
		gate_ring(u);
		return;
	}
	if (u->state == USER_NEW && door && n->data.args[0] == DOOR_BORN) {
		u->frame = n->data.args[1];
		u->ready = (int64_t) n->data.args[2] == 0;
	} else if (u->state == USER_ENDING && u->parked && u->trapped) {
		/* Where it waits, and may be let go, is the handler alone. */
		if (!door || rang)
			stub_condemn(u->space);
		else if (u->space->use == STUB_ENTERS)
			user_end_call(u);
	} else if (u->state == USER_ENDING) {
		/* Something else than its end is not answered; the stub's end will be its own. */
		if (door)
			came(u, n);
	} else if ((u->state == USER_RUNNING || u->state == USER_GATE ||
		    (u->state == USER_UPCALL && !rang)) &&
		   door && n->data.args[0] == DOOR_UPCALL) {
		upcall_ring(u, n);
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
	look_forget(u);
	names_free(u);
	user_becomes(u, USER_IDLE);
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
	user_becomes(u, USER_IDLE);
	look_forget(u);
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

/* One that waits, as if it were new; NULL: there is none. In its gate it is in a call, whose answer
 * is all registers, with floating point as a program begins, or what is given. */
static struct plat_user *take_idle(struct plat_space *s, const struct plat_regs *regs)
{
	struct list *l = list_pop(&s->idle);
	struct plat_user *u = l ? list_entry(l, struct plat_user, link) : NULL;
	bool in_gate;

	if (!u)
		return NULL;
	in_gate = u->in_gate;
	s->idle_count--;
	s->active++;
	*u = (struct plat_user){ .space = s,
				 .tid = u->tid,
				 .area = u->area,
				 .ring = u->ring,
				 .frame = u->frame,
				 .regs = *regs,
				 .known = true,
				 .dirty = true,
				 .gate = u->gate };
	if (in_gate) {
		user_becomes(u, USER_GATE);
		u->nr = SYS_exit;
		u->fp = FP_FIRST;
		gate_renew(u);
	} else {
		gate_reset(u);
	}
	list_init(&u->names.link);
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
	user_becomes(u, USER_RUNNING);
	place_answer(u);
	/* No result of the host's own calls that are begun again. */
	host_answer(&u->ring, u->fetching ? 0 : u->result);
}

/* In the handler already; where it says that it stands there is its guest's word. */
static void end_trapped(struct plat_user *u)
{
	struct plat_space *s = u->space;

	u->trapped = false;
	user_becomes(u, USER_ENDING);
	if (!u->ring.waits) {
		/* came() is next. */
	} else if (s->use == STUB_ENTERS) {
		/* Whatever its stack was, it goes on at 0, and comes again. */
		memset(chunk_ptr(u->area->chunk), 0, CHUNK_SIZE);
		u->regs = (struct plat_regs){};
		u->fp = FP_FIRST;
		sigframe_store(u, true);
		host_answer(&u->ring, UP_BASES);
	} else if (s->use == STUB_SERVES && s->idle_count < IDLE_MOST) {
		user_idle(u);
	} else {
		host_let_end(&u->ring);
		unlink_user(u);
	}
}

void user_end_call(struct plat_user *u)
{
	gate_quiet(u);
	/* Its ring is still to come, and comes back here. */
	if (u->parked && u->trapped && !u->ring.waits && u->space->use == STUB_ENTERS)
		return;
	if (u->parked) {
		u->parked = false;
		u->space->active++;
		user_becomes(u, u->trapped ? USER_UPCALL : USER_CALL);
	}
	if (u->trapped) {
		end_trapped(u);
		return;
	}
	if (u->state != USER_UPCALL)
		signal_it(u);
	if (u->state == USER_CALL)
		answer_call(u);
	user_becomes(u, USER_ENDING);
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
	place_begin(u);
	list_init(&u->link);
	list_init(&u->names.link);
	u->area = stub_area(s);
	if (!u->area) {
		heap_cache_free(&users, u);
		return NULL;
	}
	gate_reset(u);
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

/* Its last call stands in its gate, and no signal is on its way that would take it out of there;
 * others of its stub go on. */
static bool ends_in_gate(const struct plat_user *u)
{
	const struct plat_space *s = u->space;

	return u->state == USER_GATE && u->nr == SYS_exit && !u->signalled && !u->fetching &&
	       s->use == STUB_SERVES && s->active > 1 && s->idle_count < IDLE_MOST;
}

void plat_user_free(struct plat_user *u)
{
	if (!u)
		return;
	u->fiber = u->server = NULL;
	names_free(u);
	if (u->space->dead) {
		/* Its area is given back with the stub's end at the latest. */
		unlink_user(u);
		return;
	}
	if (ends_in_gate(u)) {
		u->in_gate = true;
		gate_quiet(u);
		user_idle(u);
		return;
	}
	if (u->ring.waits && u->state != USER_CALL && !u->trapped) {
		host_let_end(&u->ring);
		unlink_user(u);
		return;
	}
	/* The last one: most often its stub ends now, too. */
	if ((u->state == USER_CALL || u->trapped) && u->space->active == 1) {
		gate_quiet(u);
		u->parked = true;
		u->space->active--;
		user_becomes(u, USER_ENDING);
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
	if (u->state == USER_GATE) {
		gate_answer(u);
		return;
	}
	if (store)
		sigframe_store(u, fresh);
	user_becomes(u, USER_RUNNING);
	u->known = u->dirty = u->trapped = false;
	gate_answer_upcall(u, store ? UP_BASES : UP_BACK);
}

/* From its system call into the handler; false: it is gone. */
static bool enter_handler(struct plat_user *u)
{
	u->fetching = true;
	gate_await_upcall(u);
	signal_it(u);
	if (u->state == USER_CALL)
		answer_call(u);
	else if (u->ring.waits)
		host_answer(&u->ring, 0);
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
	if (s->due)
		(void) plat_space_commit(s);
	if (u->kicked && !s->dead) {
		u->kicked = false;
		*ret_event = (struct plat_event){ .kind = PLAT_KICKED };
		return;
	}
	if (u->dirty && !s->dead &&
	    (u->state == USER_CALL || (u->state == USER_GATE && !gate_restores(u))))
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
	if ((u->state == USER_CALL || u->state == USER_GATE) && !u->known)
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
	if (u->state == USER_GATE)
		gate_load(u);
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
	return u->state == USER_CALL || u->state == USER_GATE ? enter_handler(u)
							      : u->state != USER_RUNNING;
}

/* Its floating point, while a call stands in its gate; false: it is not told. */
static bool fetch_fp(struct plat_user *u)
{
	nsec_t late = plat_now(PLAT_MONOTONIC) + IN_TIME;

	if (u->fp != FP_OWN || u->gate.told_fp)
		return true;
	gate_ask(u);
	u->fiber = fiber_now();
	while (!gate_has_fp(u) && !u->space->dead && plat_now(PLAT_MONOTONIC) < late)
		(void) fiber_park_until(late);
	u->fiber = NULL;
	return gate_told(u);
}

size_t plat_fp_size(uint64_t *ret_components)
{
	*ret_components = host.fp_components;
	return host.fp_size;
}

void plat_user_fp(struct plat_user *u, void *to)
{
	memset(to, 0, host.fp_size);
	if (u->space->dead)
		return;
	if ((u->state == USER_GATE && fetch_fp(u)) || has_frame(u))
		sigframe_fp(u, to);
}

void plat_user_set_fp(struct plat_user *u, const void *from)
{
	if (u->space->dead || (u->state != USER_GATE && !has_frame(u)))
		return;
	if (u->state == USER_UPCALL)
		sigframe_load(u);
	if (u->state == USER_GATE)
		gate_load(u);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this platform share. All of it is under the giant lock. */
#pragma once

#include <linux/seccomp.h>
#include <sched.h>

#include "base/auto.h"
#include "kernel/core/radix.h"
#include "kernel/core/sched.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/host/layout.h"

struct order {
	uint64_t nr, args[6];
};

/* The stub's chunk of orders, as the kernel sees it. */
struct orders {
	uint32_t go_hand, go_thread;
	char unused[ORDERS_FIRST - 8];
	struct order list[(CHUNK_SIZE - ORDERS_FIRST) / ORDER_SIZE];
};

/* A thread that rang a doorbell, and waits for the answer. */
struct ring {
	uint64_t id;
	bool waits;
};

#define PLACES	     64 /* processors of which it is known who runs there */
#define CALLERS	     64
#define CALLERS_NEAR 4
#define FP_PARTS     63

/* What a stub is for (spare.c). */
enum stub_use {
	STUB_SERVES, /* a guest's space */
	STUB_UNMAPS, /* its guest is gone; the hand takes away what was the guest's */
	STUB_ENTERS, /* then its thread comes into the handler */
	STUB_SPARE,  /* ready to serve another */
};

struct plat_space {
	int pid, pidfd;
	uint32_t chunk;
	struct orders *orders;
	uint32_t queued; /* orders that were not given yet */
	bool due;	 /* some of them before the guest goes on */
	struct ring hand;
	int64_t result; /* of the hand's last orders */
	uint32_t left;	/* of them not done */
	bool dead;	/* killed, or ended by itself: nothing of it is to be waited for */
	bool reaped, freed;
	uint32_t active;   /* users that may run: without one, orders wait for it */
	uint32_t serial;   /* of its threads */
	struct list users; /* also those that are about to end */
	struct list idle;  /* threads that wait in the handler or their gates and are nobody's */
	uint32_t idle_count;
	enum stub_use use;
	struct list spare;  /* of host.spares */
	struct ktimer late; /* until it is ready */
	struct list areas;  /* free ones */
	uint32_t areas_made;
	uint32_t sites_chunk; /* 0: none, no call has come often from one place */
	uint32_t sites_made;
	bool gates_closed;
	/* Places that calls have come from, and how often: in sets by the place, the latest first.
	 */
	struct {
		uint32_t place[CALLERS_NEAR];
		uint8_t count[CALLERS_NEAR];
	} callers[CALLERS];
};

/* An area of a stub: a chunk, and at which place it is mapped. */
struct area {
	struct list link;
	uint32_t chunk, slot;
	bool mapped;
};

enum user_state {
	USER_NEW,     /* its thread waits for the first registers */
	USER_RUNNING, /* the guest's */
	USER_CALL,    /* in a system call of its own */
	USER_GATE,    /* in one that stands in its gate; a ring waits, or it looks for the answer */
	USER_UPCALL,  /* in the stub's handler */
	USER_ENDING,  /* given back, and to be idle or to end when it comes */
	USER_IDLE,    /* nobody's; waits in the handler, or its gate */
};

struct plat_user {
	struct plat_space *space;
	struct list link; /* of the space's users */
	int tid;
	struct area *area;
	enum user_state state;
	struct fiber *fiber; /* that waits for it */
	struct fiber
		*server; /* that runs it, for as long as it does: also while it does not wait */
	struct ring ring;
	struct plat_event event;
	bool ready;	/* the event is there */
	bool kicked;	/* plat_user_kick() */
	bool signalled; /* a signal is on its way that ends in the handler */
	bool parked;	/* USER_ENDING, and its call is not answered: the stub will end */
	bool in_gate;	/* USER_IDLE: there, in a call that is not answered; it may still ring */
	bool fetching;	/* the handler is waited for, and no event */
	/* USER_UPCALL, USER_NEW: */
	uint64_t frame;	 /* where, in the area */
	bool known;	 /* regs is what the frame holds, or newer */
	bool dirty;	 /* newer */
	bool trapped;	 /* a call has brought it there, and goes on */
	uint64_t fs, gs; /* the bases that the handler told */
	struct plat_regs regs;
	/* The state of floating point that it gets: what the frame has; as a program begins; what
	 * stands at the area's start. */
	enum { FP_OWN, FP_FIRST, FP_GIVEN } fp;
	/* USER_CALL, USER_GATE: */
	unsigned int nr;
	uint64_t ip;
	sysret_t result;
	struct {
		struct area *area; /* whose chunk it is; NULL: none */
		struct list link;  /* of host.named */
		uint32_t asked;	   /* for names that would have stood there */
		uint32_t failed;
		bool any;
	} names;
	/* The last call was answered while a signal was under way: kernels before 6.17 may lose
	 * the answer and begin the call again. */
	bool answered;
	struct {
		struct list link; /* of those that run, and may call again; of those that called */
		uint32_t done;	  /* the last call that was answered */
		uint32_t up_done; /* the last time in the handler that was taken */
		uint32_t idle_rings;
		bool up_found;	/* by a look: it may still ring */
		bool asked;	/* for its floating point */
		bool told_fp;	/* of itself: its call makes a child */
		uint32_t full;	/* GATE_FULL of the last answer */
		uint32_t known; /* a bit for each slot with an answer */
		bool runs;	/* of the first of the two */
	} gate;
	struct {
		int at;	    /* a processor, if that is known; PLACES */
		int avoids; /* by its affinity; PLACES: none */
	} place;
};

/* Whether calls are looked for where others want the processors, too: the two parts of a trial, and
 * what came of it. */
enum look_trial { LOOK_ALWAYS, LOOK_TRY_NONE, LOOK_TRY, LOOK_GOES_WELL, LOOK_NONE };

struct host_look {
	struct list run, called; /* users, by their gate.link */
	uint32_t run_count;
	uint32_t own;	     /* users that are USER_RUNNING */
	unsigned int credit; /* how well looking has gone */
	bool looks;	     /* it is worth while */
	nsec_t answered, not_before, pause, began;
	int load_fd; /* borrowed, or FD_NONE */
	unsigned int cpus;
	bool limited; /* time of processors is */
	nsec_t time;  /* of one look */
	uint32_t spin;
	nsec_t since;	 /* a window has begun, in which: */
	nsec_t wanted;	 /* it waited, and guests had use for every processor */
	uint32_t served; /* calls, without a ring */
	nsec_t asked;	 /* for others: */
	int others;	 /* that run, on the average */
	enum look_trial trial;
	nsec_t trial_ends;
	uint64_t calls, calls_without; /* of this part of the trial, and of the first */
};

struct host {
	int ram_fd, chunks_fd, listener, epoll;
	unsigned char *ram, *chunks;
	uint64_t frames;
	uint32_t chunks_made; /* so many were given at some time */
	uint32_t *chunks_free;
	uint32_t chunks_free_n;
	struct {
		int pid, pidfd;
		struct ring ring;
		int64_t result;
	} source;
	size_t fp_size;
	uint64_t fp_components;
	struct {
		uint32_t at, bytes;
	} fp_part[FP_PARTS];  /* of a component as of the third, in XSAVE's standard form */
	struct radix tids;    /* users, and spaces by their hand; tagged */
	uint32_t live;	      /* stubs that were not reaped */
	struct list spares;   /* that are ready */
	struct list named;    /* users with a table of names */
	uint32_t spare_count; /* also those that are not ready yet */
	bool locked, stop;
	const char *vdso;  /* this process' own */
	size_t vdso_bytes; /* of it that stubs have: its code and texts; 0: they have none */
	bool gates;
	struct host_look look;
	struct {
		bool can, is;
		cpu_set_t before;     /* where all may run else */
		nsec_t since, waited; /* of the window that has begun then */
		nsec_t from;	      /* it waits since then */
		nsec_t went, not_before, pause;
	} apart;
	struct {
		uint32_t on[PLACES + 1]; /* users that are USER_RUNNING */
	} place;
	struct carrier carrier;
};
extern struct host host;

/* ---- host.c ---- */

/* Waits for one notification, or for this process' end (a pidfd); false: that came. */
bool host_receive(int pidfd);
void host_answer(struct ring *r, int64_t value);
/* Lets it do what it asked the host for: its end. */
void host_let_end(struct ring *r);
uint32_t chunk_alloc(bool zeroed); /* 0: there are no more */
void chunk_free(uint32_t chunk);
static inline void *chunk_ptr(uint32_t chunk)
{
	return host.chunks + (uint64_t) chunk * CHUNK_SIZE;
}
void host_futex_wake(uint32_t *word);
/* Who is woken by an answer, or by a ring, comes where the other is now, or to an idle processor.
 */
void host_sync_wakes(bool sync);
/* A ring, an end of a stub, or what is watched: it is there. */
bool host_has_notice(void);

/* ---- source.c ---- */

[[nodiscard]] int source_begin(struct err *e);
void source_rang(const struct seccomp_notif *n);
/* A new stub whose orders are in this chunk: its pid, or -errno. */
int source_stub(uint32_t chunk);

/* ---- vdso.c ---- */

#define VDSO_PIECES 4

/* In the source alone: what was moved, the vDSO itself first. */
struct vdso {
	char *room; /* while stubs' place for it is not free yet */
	unsigned int pieces;
	struct {
		size_t skip, bytes; /* in the room */
	} piece[VDSO_PIECES];
};

/* From where the host has put it, `own`, to elsewhere below STUB_BASE; pieces 0: there is none. */
void vdso_lift(struct vdso *v, char *own);
/* On to STUB_VDSO; the bytes of the vDSO itself, 0: nothing stands there. */
size_t vdso_place(const struct vdso *v);

/* ---- stub.c ---- */

void stub_hand_rang(struct plat_space *s, const struct seccomp_notif *n);
/* It broke the rules, or cannot be made to do what it must. */
void stub_condemn(struct plat_space *s);
/* Its process has ended. */
void stub_reap(struct plat_space *s);
/* A thread that begins at the frame, in its area: its number, or -errno. */
int stub_thread(struct plat_space *s, struct area *a, uint64_t frame);
void stub_thread_go(struct plat_space *s);
/* The sites' chunk is where they are to stand, by an order; a stub without memory for it ends. */
void stub_map_sites(struct plat_space *s);
/* The area's chunk, to be read alone, by an order; where there is no memory nothing comes there. */
void stub_map_area(struct plat_space *s, const struct area *a);
[[nodiscard]] struct area *stub_area(struct plat_space *s);
/* Those that no thread has. */
void stub_areas_free(struct plat_space *s);
static inline uint64_t area_address(const struct area *a)
{
	return STUB_AREAS + (uint64_t) a->slot * CHUNK_SIZE;
}

/* ---- spare.c ---- */

/* A ready one, or NULL. */
struct plat_space *spare_take(void);
/* Its guest is gone: it is made ready for another; false: it cannot be. */
bool spare_give(struct plat_space *s);
/* The hand has done what it was told to; its thread is in the handler. */
void spare_unmapped(struct plat_space *s);
void spare_entered(struct plat_user *u);
/* It has ended. */
void spare_lost(struct plat_space *s);

/* ---- sigframe.c ---- */

struct sigframe;
/* -ENOSYS, -E2BIG: not this processor's frames. */
[[nodiscard]] int sigframe_begin(void);
/* Of a thread whose guest cannot write any more: signals come into its area, as they must. */
bool sigframe_sound(const struct plat_user *u);
bool sigframe_fits(const struct plat_user *u, uint64_t frame);
/* Registers from and to the frame. whole: it is made anew, for a thread that begins. */
void sigframe_load(struct plat_user *u);
void sigframe_store(struct plat_user *u, bool whole);
/* Where it stood, as its frame has it. */
uint64_t sigframe_ip(const struct plat_user *u);
struct plat_event sigframe_fault(const struct plat_user *u, int signal);
/* As plat_user_fp() and plat_user_set_fp(). */
void sigframe_fp(const struct plat_user *u, void *to);
void sigframe_set_fp(struct plat_user *u, const void *from);
/* Where its area begins: what a processor takes as none of all components. */
void sigframe_place_first(struct plat_user *u);

/* ---- gate.c ---- */

struct gate;
/* The handler was entered. */
struct upcall {
	uint64_t frame, fs, gs;
	int signal;
};
static inline uint64_t gate_address(const struct area *a)
{
	return area_address(a) + AREA_GATE;
}
/* Of a thread that begins: as if it had never called. */
void gate_reset(struct plat_user *u);
/* Of one that waits in its gate, for an answer that makes it another. */
void gate_renew(struct plat_user *u);
/* A call stands in it that was not taken. */
bool gate_has_call(const struct plat_user *u);
/* Takes it: u->event, which is to be told. */
void gate_take(struct plat_user *u);
/* All registers of a call in the gate, and its result. */
void gate_load(struct plat_user *u);
/* Whether the gate can set the registers as they are now; else the handler must. */
bool gate_restores(const struct plat_user *u);
/* With the result alone, or all registers if they are dirty. It runs. */
void gate_answer(struct plat_user *u);
/* Its floating point is to stand where its area begins; it is there. */
void gate_ask(struct plat_user *u);
bool gate_has_fp(const struct plat_user *u);
/* The question is no more; whether it is there. */
bool gate_told(struct plat_user *u);
/* It has left it by the handler. */
void gate_left(struct plat_user *u);
/* Whether what stands at ip are gates' or sites'. */
bool gate_inside(uint64_t ip);
/* In the handler, into which it came from anywhere; its registers are not to be the gate's. */
void gate_settle(struct plat_user *u);
/* A call or an upcall of one that runs or is awaited, which was not taken; what it was asked for.
 */
bool gate_has_news(const struct plat_user *u);
/* It has come into the handler, which was not taken. */
bool gate_has_upcall(const struct plat_user *u);
/* Takes it: where it was found by a look the handler may still ring. */
struct upcall gate_take_upcall(struct plat_user *u);
/* It leaves the handler, by one of UP_*. */
void gate_answer_upcall(struct plat_user *u, uint32_t how);
/* It is on its way into the handler, or nobody waits for it: it rings, unless it spins already and
 * is looked at. */
void gate_await_upcall(struct plat_user *u);
void gate_quiet(struct plat_user *u);
/* Where its table of names is for the guest, or 0. */
void gate_names(struct plat_user *u, uint64_t at);
/* A fault of the gate's own look at the text of a name: its call is the kernel's. False: another.
 */
bool gate_names_fault(struct plat_user *u);
/* How often it looks for its answer before it rings. */
void gate_spin(struct plat_user *u, uint32_t times);
/* Its gate may have news. */
bool gate_runs(const struct plat_user *u);

/* ---- look.c ---- */

void look_begin(void);
/* It is one of those that are looked at, if any are; else it rings. */
void look_at(struct plat_user *u, bool looks);
/* It has called, and is looked at again when it is answered. */
void look_called(struct plat_user *u);
void look_forget(struct plat_user *u);
/* One of them goes on now. */
void look_answered(void);
/* A call or an upcall came by a ring, soon after an answer or not. */
void look_rang(void);
/* Looks for calls for a while, if that is worth while; true: user_gate_calls() finds some. */
bool look_for_calls(nsec_t deadline);
void look_waited(nsec_t from, nsec_t now);

/* ---- apart.c ---- */

void apart_begin(void);
/* Calls are looked for from now on. */
void apart_go(nsec_t now);
/* There is nothing to do from `now` on; until now. */
void apart_waits(nsec_t now);
void apart_waited(nsec_t now);
/* Somebody else had this processor for so long, where there are others for him or for this one. */
void apart_taken(nsec_t now, nsec_t gap);
/* They are not looked for any more. */
void apart_end(void);

/* ---- place.c ---- */

void place_begin(struct plat_user *u);
void place_becomes(struct plat_user *u, bool runs);
/* Its thread may run everywhere again. */
void place_forget(struct plat_user *u);
/* Before one is answered that goes on. */
void place_answer(struct plat_user *u);

/* ---- names.c ---- */

/* No name of its table is answered any more; it has none. */
void names_clear(struct plat_user *u);
void names_free(struct plat_user *u);
/* A text could not be read there. */
void names_failed(struct plat_user *u);

/* ---- patch.c ---- */

/* A call from behind `ip`, of the guest's own code: whether it is time to patch it. */
bool site_counts(struct plat_space *s, uint64_t ip);
/* Where a call came from, or a thread stands, seen from the guest's code; `at` elsewhere. */
uint64_t site_outside(const struct plat_space *s, uint64_t at);
/* The same of a thread that is not to stand in the sites: where it goes on as if it had not come
 * there. */
uint64_t site_settled(const struct plat_space *s, uint64_t at);
/* Where the call begins anew that goes on there; `to` where it was none of the sites. */
uint64_t site_start(const struct plat_space *s, uint64_t to);
void sites_close(struct plat_space *s);
void sites_free(struct plat_space *s);

/* ---- user.c ---- */

/* What stands in gates of threads that run is taken. */
void user_gate_calls(void);

void user_notified(struct plat_user *u, const struct seccomp_notif *n);
/* Its state, and with it how many run. */
void user_becomes(struct plat_user *u, enum user_state state);
/* The stub is gone: so are its users. */
void user_lost(struct plat_user *u);
/* Answers its system call, so that it comes into the handler, where it is idle or ends. */
void user_end_call(struct plat_user *u);
/* Into the handler, or its gate, it has come, and is nobody's. */
void user_idle(struct plat_user *u);
/* An idle one is no more. */
void user_forget(struct plat_user *u);

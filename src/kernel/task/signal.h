/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals (signal(7), Linux 6.12): what a thread and a process know of them, sending, who takes
 * them, and what becomes of them before the guest goes on. The system calls are signal_calls.h,
 * the frame on the guest's stack is signal_frame.h.
 *
 *	send: may it be ignored? -> queue of the thread or of the process -> who could take it is
 *	interrupted (task_interrupt) -> its wait ends, or its guest comes in -> signals_deliver():
 *	    a handler: a frame on the guest's stack
 *	    ends:      process_kill(); the thread is `dying`
 *	    stops:     every thread of the process parks in signals_deliver() until SIGCONT or its
 *end
 *
 * What can be delivered to a thread and its fiber's `interrupted` say the same, always: whoever
 * changes one (a mask, a queue) calls signals_recalc(). Process number 1 is protected as Linux's
 * init is: what it has no handler for does nothing, and SIGKILL and SIGSTOP from inside do not,
 * either.
 */
#pragma once

#include "kernel/core/sched.h"
#include "kernel/mm/space.h"
#include "kernel/task/restart.h"
#include "kernel/task/signal_queue.h"

struct group;
struct pid;
struct process;
struct task;
struct timers;

/* What the guest's struct sigaction is to rt_sigaction(2). */
struct signal_action {
	uint64_t handler, flags, restorer, mask;
};

/* Shared by CLONE_SIGHAND. */
struct signal_handlers {
	unsigned int owners;
	struct signal_action actions[SIGNALS];
	struct waitq arrived; /* of signalfds: woken as one comes, blocked or not */
};

struct signal_stack {
	uint64_t at, size;
	uint32_t flags; /* SS_DISABLE, SS_AUTODISARM */
	uint32_t pad;	/* a checkpoint has all of it: nothing is left to chance */
};

/* What the processor said of the last thing that t did itself: for its handler's context. */
struct signal_trap {
	uint64_t vector, error, address; /* cr2 */
};

struct task_signals {
	struct signal_queue pending;
	uint64_t blocked;
	/* What sigtimedwait has taken out of `blocked` meanwhile: not ignored, not fatal at once.
	 */
	uint64_t awaited;
	/* put_back: `saved` is the mask again when the call is over; a handler runs before that. */
	uint64_t saved;
	bool put_back;
	bool stopped; /* parks in signals_deliver() */
	struct signal_stack stack;
	struct signal_trap trap;
	struct restart restart;
};

struct process_signals {
	struct signal_queue pending;
	bool protected; /* number 1, until it did something that no handler is for */
	/* Job control: all threads have to stop, or have (all_stopped). */
	bool stopping, all_stopped;
	int stop_signal;
	struct waitq go_on;
	struct timers *timers; /* timers.h; NULL: none was ever made */
};

/* ---- lives (task/ calls them) ---- */

/*
 * Fills t->signals, t->handlers and, where t is its process' first, t->process->signals. from NULL:
 * nothing is inherited. flags: CLONE_*. -ENOMEM; -ERESTARTNOINTR: `from` has a signal to take
 * first.
 */
[[nodiscard]] int signals_clone(struct task *t, const struct task *from, uint64_t flags);
/* t has the handlers of another one instead of its own. */
void signals_share(struct task *t, const struct task *with);
/* The thread ends: what was its own goes, what it would have taken of the process' others take. */
void signals_end(struct task *t);
/* No thread is left: timers and what nobody took go. */
void signals_end_process(struct process *p);
/* Before execve can fail no more: handlers of its own. -ENOMEM. */
[[nodiscard]] int signals_unshare(struct task *t);
/* Then: functions become SIG_DFL; no alternate stack, no POSIX timers. */
void signals_exec(struct task *t);
/* What is to be done with signals, stops and ends before t's guest goes on; t runs. May park. Where
 * t is `dying` then, it does not go on. */
void signals_deliver(struct task *t);

/* ---- sending ---- */

/*
 * To one thread, or to a process: whoever of its threads can take it. info->nr: 1 ... SIGNALS. May
 * be ignored. inside: a guest sends it. -EAGAIN: a real-time one from sigqueue that is over the
 * limit. Nobody is asked whether it may.
 */
[[nodiscard]] int signal_send_task(struct task *t, const struct signal_info *info, bool inside);
[[nodiscard]] int signal_send_process(struct process *p, const struct signal_info *info,
				      bool inside);
/* An embedder's entry (signal_entry.taken is set): true, it is queued now, or is ignored and was
 * taken by nobody; false: it is queued already. t: the thread; NULL: the process. */
bool signal_send_entry(struct process *p, struct task *t, struct signal_entry *e);

/* pidfd_send_signal(2) behind its descriptor: info: the guest's, or 0. */
sysret_t signal_send_pid(struct task *t, struct pid *to, int nr, uva_t info);
/* By the kernel itself: SI_KERNEL. */
void signal_task(struct task *t, int nr);
void signal_process(struct process *p, int nr);
void signal_group(struct group *g, int nr);
/* What t did itself (a trap): it cannot be blocked or ignored. code: si_code. */
void signal_trap(struct task *t, int nr, int code, uint64_t address);
/* A call that seccomp turned into SIGSYS: si_errno, si_syscall, si_call_addr. */
void signal_call(struct task *t, unsigned int nr, int32_t error, uint64_t at);
/* A page that could not be made right: SIGSEGV, SIGBUS, or its end where memory is all. access:
 * plat_prot. */
void signal_page_fault(struct task *t, enum space_fault what, uint64_t address,
		       unsigned int access);
/* SIGCHLD with CLD_* to child's parent; for an end (CLD_EXITED, CLD_KILLED, CLD_DUMPED) the child's
 * exit_signal. status: exit code or signal. */
void signal_child(struct process *child, int code, int status);
/* Children that end are nobody's to wait for: SIGCHLD is SIG_IGN or has SA_NOCLDWAIT. */
bool signals_no_zombies(const struct process *parent);
/* All its threads have stopped (job control). */
bool process_stops(const struct process *p);

/* ---- of the running thread ---- */

/* Blocked from now on (without SIGKILL and SIGSTOP, which cannot be). */
void signals_block(struct task *t, uint64_t set);
/* For ppoll, pselect6, epoll_pwait and sigsuspend: `set` until the call is over. */
void signals_block_for_call(struct task *t, uint64_t set);
/* The call is over; interrupted: by a signal (its handler runs before the mask is put back). */
void signals_call_over(struct task *t, bool interrupted);
/* One of `of` that is pending, blocked or not. False: none. */
bool signals_take(struct task *t, uint64_t of, struct signal_info *ret);
uint64_t signals_pending(const struct task *t);
/* Whether t has it blocked or ignores it: what a terminal asks before it stops a job. */
bool signal_deaf(const struct task *t, int nr);
/* t's fiber is interrupted exactly when it has something to take, to stop for or to end for. */
void signals_recalc(struct task *t);

/* ---- of signal*.c alone ---- */

/* What sigaltstack(2) does with a new one, the stack pointer being sp: -EPERM, -EINVAL, -ENOMEM. */
[[nodiscard]] int signal_stack_set(struct task *t, const struct signal_stack *new, uint64_t sp);
/* Whether sp is on t's alternate stack. */
bool signal_stack_holds(const struct task *t, uint64_t sp);

bool signal_ignored_by_default(int nr);
bool signal_stops_by_default(int nr);
bool signal_dumps_by_default(int nr);
/* The disposition of nr was changed to one that ignores it. */
void signals_forget(struct process *p, int nr);
/* SIGSEGV, as one that t did itself; a handler of SIGSEGV that caused it does not count. */
void signal_frame_failed(struct task *t, int nr);
/* A thread has parked or ended: whether all of them stand now, who waits is told. */
void signals_stop_check(struct process *p);

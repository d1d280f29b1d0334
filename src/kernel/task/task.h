/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs: a struct task is a thread of a guest (what Linux calls a task), a struct process all
 * threads that share a number for getpid (a thread group). Under the giant lock: between two parks
 * nothing here changes.
 *
 *	struct task ---- process ---- group ---- session        (pid.h)
 *	  |- fiber      its kernel side: one per thread, runs task_serve()
 *	  |- user       its guest's side: plat_user_run()
 *	  |- space, image, descriptors, fs, handlers: counted, shared by CLONE_VM, FILES, FS,
 *SIGHAND
 *	  |- cred       immutable, counted: task_set_cred() puts another in its place
 *	  `- signals    of the thread; process->signals of all threads together (signal.h)
 *
 * Lives: a task is in its process' `threads` from clone to exit. The struct of the leader stays,
 * without a fiber, until the process is reaped; those of other threads go when they end. A process
 * is a zombie from its last thread's exit to its parent's wait. Pointers to a task or process that
 * is not the caller's own are good until the next park: keep its struct pid instead.
 */
#pragma once

#include <asm/resource.h>

#include "kernel/core/sched.h"
#include "kernel/platform/platform.h"
#include "kernel/task/pid.h"
#include "kernel/task/program.h"
#include "kernel/vfs/dentry.h"

/* rlimit64 of linux/resource.h, which has times in it that a C library's headers have as well. */
struct task_limit {
	uint64_t soft, hard;
};
#define TASK_UNLIMITED UINT64_MAX

struct cred;
struct descriptors;
struct seccomp_filter;
struct sem_undos;
struct space;
/* Of signal.h. */
struct task_signals;	/* blocked, pending, the alternate stack, what sigsuspend puts back ... */
struct process_signals; /* pending for any thread, timers, ... */
struct signal_handlers; /* counted: CLONE_SIGHAND */

/* Root, current directory and umask: counted, shared by CLONE_FS. */
struct fs_context {
	unsigned int owners;
	struct path root, cwd; /* owned */
	uint32_t umask;
};

/* What execve knows of the program in a space: counted, shared as the space is. */
struct task_image {
	unsigned int owners;
	struct program program;	  /* exe is owned; addresses are those of prctl(PR_SET_MM) */
	unsigned int dumpable;	  /* PR_GET_DUMPABLE: 0, 1, 2 */
	unsigned int membarriers; /* MEMBARRIER_CMD_* that were registered for */
};

/* For getrusage, wait4, times and /proc. Times in ns. */
struct task_usage {
	nsec_t user, system;
	uint64_t minor_faults, major_faults, switches, preempted;
	uint64_t most_resident; /* pages */
	uint64_t read, written; /* bytes, by read(2), write(2) and their kin */
	uint64_t reads, writes; /* calls */
};

enum task_state {
	TASK_NEW, /* made, not yet run */
	TASK_LIVE,
	TASK_ENDED, /* of a leader: a zombie's */
};

struct task {
	/* ---- who ---- */
	uint32_t tid;
	struct pid *pid; /* owned */
	struct process *process;
	struct list in_process; /* process->threads */
	enum task_state state;
	char comm[16]; /* with an end */

	/* ---- what runs ---- */
	struct fiber *fiber; /* NULL: it has ended */
	struct plat_user *user;
	nsec_t away_before; /* its fiber's `away`, when plat_user_run() began */
	bool in_user;	    /* that runs: to be kicked */
	bool comes_in;	    /* somebody waits for that: task_came_in() (serve.h) */
	/* It has to end (exit_group, execve of another thread, a fatal signal): interruptible waits
	 * fail, and task_serve() ends it before the guest goes on. Set by process_kill() and
	 * execve alone, never taken back. */
	bool dying;
	/* The system call it is in. signals_deliver() (signal.h) sees it after the result was given
	 * to the platform: -ERESTART* is still in `result`. in: false where none is, and where the
	 * call has set all registers itself (rt_sigreturn, execve). */
	struct task_call {
		bool in;
		unsigned int nr;
		uint64_t args[6];
		sysret_t result;
		nsec_t began; /* trace.h: PLAT_MONOTONIC; 0: nobody looked */
		bool told;    /* its end was, though it may begin again */
	} call;

	/* ---- what it has: counted, maybe shared ---- */
	struct space *space; /* NULL: it has ended */
	struct task_image *image;
	struct descriptors *files;
	struct fs_context *fs;
	const struct cred *cred;
	struct signal_handlers *handlers;
	struct task_signals *signals;	/* its own */
	struct sem_undos *undos;	/* ipc/sem.h: CLONE_SYSVSEM; NULL: none yet */
	struct seccomp_filter *filters; /* seccomp.h, the newest; NULL: none */
	bool strict;			/* SECCOMP_MODE_STRICT */

	/* ---- addresses of the guest, 0: none ---- */
	uva_t clear_child_tid; /* set_tid_address, CLONE_CHILD_CLEARTID */
	uva_t robust_list;     /* set_robust_list */

	/* ---- the rest ---- */
	struct held *held;		    /* it stands (hold.h); NULL: it goes on */
	struct vfork_wait *vfork;	    /* its parent waits for its execve or exit */
	uint32_t personality;		    /* personality(2) */
	int pdeath_signal;		    /* PR_SET_PDEATHSIG; 0: none */
	int nice;			    /* -20 ... 19 */
	unsigned int policy, priority;	    /* SCHED_*, of real-time ones 1 ... 99 */
	bool reset_on_fork;		    /* SCHED_RESET_ON_FORK */
	uint64_t affinity;		    /* of processors 0 ... 63 */
	uint16_t io_priority;		    /* ioprio_set(2): class and level; 0: none was set */
	nsec_t timer_slack, slack_at_birth; /* PR_SET_TIMERSLACK; 0 brings back the second */
	nsec_t started;			    /* PLAT_MONOTONIC */
	struct task_usage usage;
};

enum process_stop { STOP_NONE, STOP_STOPPED, STOP_CONTINUED };

struct process {
	/* ---- who ---- */
	uint32_t pid;
	struct pid *id;	     /* owned */
	struct task *leader; /* the thread with the same number; it may be TASK_ENDED */
	struct list threads; /* struct task.in_process: those that live */
	unsigned int thread_count;
	/* ---- its place ---- */
	struct pid_space *numbers; /* of its tasks; NULL: the first. Its id has it */
	uint32_t container;	   /* a pod's, from which it has come; 0: there is one alone */
	struct process *parent; /* NULL: the kernel's own child (init, an exec): `ended` is told */
	uint32_t parent_tid;	/* the parent's thread that made it: __WNOTHREAD, PDEATHSIG */
	struct list children;	/* struct process.in_parent, zombies too */
	struct list in_parent;
	struct group *group; /* NULL: a zombie that is being reaped */
	struct list in_group;
	bool no_tty;	 /* gave its controlling terminal up (TIOCNOTTY), not its session */
	bool has_execed; /* since fork: setpgid by the parent is over */
	bool subreaper;	 /* PR_SET_CHILD_SUBREAPER */
	int exit_signal; /* what the parent gets: SIGCHLD, another or 0 */

	/* ---- its end ---- */
	bool exiting;		    /* all threads have to end with exit_status */
	bool zombie;		    /* and have */
	int exit_status;	    /* as wait4 gives it */
	struct task *execing;	    /* who waits for all others to end */
	struct waitq threads_ended; /* woken as each thread ends */
	/* The kernel's own child has ended: in the place of a zombie and a parent. May be NULL. */
	void (*ended)(struct process *p, int status, void *arg);
	void *ended_arg;

	/* ---- job control: process_stopped(), process_continued() (wait.h) ---- */
	enum process_stop stop; /* what wait has not been told yet, or STOP_NONE */
	int stop_signal;	/* STOP_STOPPED: which */

	/* ---- shared by all threads ---- */
	struct process_signals *signals;
	struct task_limit limits[RLIM_NLIMITS]; /* limit.h */
	struct task_usage dead;			/* of threads that ended */
	struct task_usage children_usage;	/* of children that were waited for */
	struct waitq child_changed;		/* woken as a child ends, stops, goes on */
	int oom_score_adj;
	struct ktimer cpu_limit; /* limit_cpu.h */
	nsec_t started;		 /* PLAT_MONOTONIC */
};

/* The task whose fiber runs; NULL on carriers and fibers of the kernel's own. */
struct task *this_task(void);
/* The running fiber is t's: what its first function does, and tests that call the kernel as a task.
 */
void task_attach(struct task *t);

/*
 * The first thread of a process without a parent: number 1 is the first made (init). It has no
 * program, fiber nor guest's context yet; signals are signal.h's to begin. Takes references of its
 * own of cred, root and files; root is also its current directory. -ENOMEM, -EAGAIN.
 */
struct task_first {
	const struct cred *cred;
	const struct path *root;
	struct descriptors *files;
	const char *comm;
	struct pid_space *numbers; /* borrowed; NULL: the first */
	uint32_t container;
};
[[nodiscard]] int task_new_first(const struct task_first *q, struct task **ret);

/* Shared parts. new: one owner. Unref: NULL is none. */
[[nodiscard]] struct fs_context *fs_context_new(const struct path *root, const struct path *cwd,
						uint32_t umask);
[[nodiscard]] struct fs_context *fs_context_copy(const struct fs_context *from);
void fs_context_unref(struct fs_context *f);
[[nodiscard]] struct task_image *task_image_new(void);
[[nodiscard]] struct task_image *task_image_copy(const struct task_image *from);
/* Of one that has none yet: takes p's exe, which nobody writes to while it runs. */
void task_image_set(struct task_image *i, const struct program *p);
void task_image_unref(struct task_image *i);

/* Takes c. With another effective or file system id, or capabilities more: not dumpable, and no
 * PR_SET_PDEATHSIG (prctl(2)). */
void task_set_cred(struct task *t, const struct cred *c);
/* At most 15 bytes of it. */
void task_set_comm(struct task *t, const char *comm);
/* For walks of the task: its root, its current directory, its fsuid and capabilities. */
struct walk task_walk(const struct task *t);

/* t's interruptible wait ends, or its guest comes into the kernel soon: a signal has come. */
void task_interrupt(struct task *t);
/* For killable waits: 0, or -ERESTARTSYS when the running task has to end. */
int task_killed(void);
/* Makes all threads of p end with this status (as wait4 gives it); the first one counts. */
void process_kill(struct process *p, int status);

/* The terminal that controls p, or NULL. */
static inline struct tty *process_tty(const struct process *p)
{
	return p->no_tty || !p->group ? NULL : p->group->session->tty;
}

/* All tasks there are, zombies among them. */
uint64_t tasks_count(void);
/* pid 1, or NULL before and after it. */
struct process *process_init(void);
/* The limit of one's own: TASK_UNLIMITED is UINT64_MAX. */
static inline uint64_t process_limit(const struct process *p, unsigned int what)
{
	return p->limits[what].soft;
}

static inline struct task *task_of_list(struct list *l)
{
	return list_entry(l, struct task, in_process);
}

/* ---- of task/ alone: clone, exec, exit ---- */

/* A task of p with a number of its own and nothing else; the first one is the leader. */
[[nodiscard]] int task_new(struct process *p, struct task **ret);
/* With this number; 0: any. -EEXIST, -EBADMSG: it cannot be. */
[[nodiscard]] int task_new_at(struct process *p, uint32_t nr, struct task **ret);
[[nodiscard]] int process_new(struct process **ret);
/* What it has goes, but for its number: cred and comm stay for those who look at a zombie. */
void task_release_parts(struct task *t);
void task_free(struct task *t);
/* A zombie's last trace, or one that never ran. */
void process_free(struct process *p);

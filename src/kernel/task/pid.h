/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of tasks, processes, process groups and sessions: one table for each space of numbers.
 * There is one space, unless containers share this kernel: each has its own then, or another's, and
 * a task finds nothing that is not of its own space (pid_namespaces(7), without any that lie within
 * others). A number is
 * free again when none of the four uses it and nobody (a pidfd, /proc's inodes) refers to it: who
 * keeps a `struct pid` never meets somebody else under its number. Whoever remembers a task or a
 * process across a park remembers its struct pid, and looks again.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/sched.h"

struct process;
struct task;
struct tty;

#define PID_MOST     32768 /* kernel.pid_max: numbers are below it */
#define PID_RESERVED 300   /* after the first turn, numbers begin here */

/* How many tasks are in a space, zombies among them; most 0: as many as there can be. */
struct pid_room {
	uint64_t count, most, refused;
};

struct pid_space;

struct pid {
	uint32_t nr;
	struct pid_space *space; /* owned; NULL: the first */
	unsigned int owners;
	struct task *task;	 /* the thread, until it is released */
	struct process *process; /* whose leader has this number: until it is reaped */
	struct group *group;
	struct session *session;
	struct waitq ended; /* of a process: woken (POLLIN) when it is a zombie. Of pidfds */
};

/* One more space, empty and owned. NULL: no memory. */
[[nodiscard]] struct pid_space *pid_space_new(void);
/* NULL, which is the first, is fine: that one stays. */
struct pid_space *pid_space_ref(struct pid_space *s);
void pid_space_unref(struct pid_space *s);
/* The process whose number is 1; NULL: there is none any more, or yet. */
struct process *pid_space_init(struct pid_space *s);
/* Not 0, and no other space's before or after it; of the first 0. */
uint32_t pid_space_serial(const struct pid_space *s);
struct pid_room *pid_space_room(struct pid_space *s);
/* That of the running task; of the kernel's own fibers the first. */
struct pid_space *pid_space_here(void);

/* The next free number there, one owner: the caller. -EAGAIN: none is free. -ENOMEM. */
[[nodiscard]] int pid_new_in(struct pid_space *s, struct pid **ret);
/* In the first. */
[[nodiscard]] int pid_new(struct pid **ret);
/* This one, which no task has: of what is loaded. -EEXIST, -ENOMEM. */
[[nodiscard]] int pid_new_at(uint32_t nr, struct pid **ret);
/* After which the search for a free one begins. */
uint32_t pid_last(void);
void pid_set_last(uint32_t nr);
void pid_ref(struct pid *p);
void pid_unref(struct pid *p);
/* Borrowed until the next park. NULL: nobody has it. */
struct pid *pid_find(int64_t nr);
/* The first of at least *nr, which becomes its number, that a task or process has; NULL: none.
 * For /proc and kill(-1). */
struct pid *pid_next(uint64_t *nr);
/* The same of this space. */
struct pid *pid_next_in(struct pid_space *s, uint64_t *nr);
/* The same of all of them: begins with NULL and a number of 1, which become where it is. */
struct pid *pid_next_anywhere(struct pid_space **s, uint64_t *nr);

/* ---- process groups and sessions (credentials(7)) ---- */

struct group {
	struct pid *pid; /* owned */
	struct session *session;
	struct list in_session;
	struct list
		members; /* struct process.in_group; zombies are members until they are reaped */
};

struct session {
	struct pid *pid; /* owned: the leader's, who may have ended */
	struct list groups;
	struct process *leader; /* NULL: it has ended */
	/* The controlling terminal: set, cleared and kept alive by the terminals (proc); NULL:
	 * none. The foreground group is the terminal's own knowledge. */
	struct tty *tty;
};

/* p goes into a group (and session) of its own number. -ENOMEM changes nothing. */
[[nodiscard]] int group_enter_new(struct process *p, bool session);
/* p goes into the group and session of these numbers, which are made where they are not there yet;
 * leads: it leads that session. -EBADMSG: the group is of another one; -ENOMEM. */
[[nodiscard]] int group_enter_at(struct process *p, uint32_t group, uint32_t session, bool leads);
/* p, in no group or another one, goes into g. */
void group_enter(struct process *p, struct group *g);
/* Out of its group, which goes with its last member; a session goes with its last group. */
void group_leave(struct process *p);
/* POSIX's orphaned group: no member has a parent in another group of the same session. `but`: a
 * process that does not count, or NULL. */
bool group_orphaned(const struct group *g, const struct process *but);

/* setpgid, getpgid, getsid, setsid as their man pages have them: a result or -errno. */
sysret_t task_setpgid(struct task *t, int32_t pid, int32_t group);
sysret_t task_getpgid(struct task *t, int32_t pid);
sysret_t task_getsid(struct task *t, int32_t pid);
sysret_t task_setsid(struct task *t);

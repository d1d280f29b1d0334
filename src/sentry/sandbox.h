/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox: the kernel in this process, the guest's tree, its processes. There is one per
 * program.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "fmt/spec.h"
#include "kernel/core/list.h"
#include "kernel/core/sched.h"
#include "kernel/vfs/dentry.h"
#include "sentry/checkpoint.h"
#include "sentry/root.h"

struct container;
struct gofer;
struct process;
struct pid;
struct seccomp_filter;
struct task;
struct terminal;

/* A process that the host knows: the first one, or one of an EXEC. */
struct job {
	struct list link;
	uint64_t nr;		   /* of the control messages */
	struct pid *pid;	   /* owned */
	struct terminal *terminal; /* owned; NULL: none */
	struct container *of;	   /* NULL: the sandbox itself */
	bool ended;
	int status;	      /* as containers tell it */
	unsigned int waiting; /* connections */
};

struct sandbox {
	/* Given: */
	const struct spec *spec;
	const void *image; /* mapped for good */
	size_t image_bytes;
	struct root_files files; /* without image and gofer */
	struct gofer *files_of;	 /* who serves them, once it does */
	int gofer;		 /* a connected socket; FD_NONE: none */
	int control;		 /* a listening socket; FD_NONE: none */
	int signals;  /* where those to the first process come, a byte each; FD_NONE: nowhere */
	int creator;  /* a pipe that hangs up when its maker has gone; FD_NONE: it may go */
	int stdio[3]; /* taken; with process.terminal the first alone */
	int resized;  /* of a terminal there: host_tty_claim()'s; FD_NONE: none */
	struct buf seccomp;	/* its bytes: seccomp.h */
	struct checkpoint from; /* that it goes on from, if there is one */
	/* Its own: */
	struct mount_space *space;
	struct path root;
	struct seccomp_filter *filter; /* of each process that the host makes; or NULL */
	struct list jobs;
	struct job *first;
	struct list containers; /* others on its kernel (containers.h) */
	uint64_t last_container;
	uint64_t mounts; /* state_mounts() of it */
	uint64_t last_nr;
	uint64_t cpu_gone; /* ns, of jobs that have ended and the processes that they waited for */
	unsigned int traces;	 /* connections that are told of calls */
	bool started, abandoned; /* abandoned: before it was started */
	struct waitq changed;	 /* something of the above, or a connection's */
	bool failed;
	struct err *e;
};

/* The kernel and its stubs, for a guest that may use so many bytes of memory (0: as many as the
 * host has). gates: as host_begin() has them. While there is one thread. */
[[nodiscard]] int sandbox_begin(uint64_t memory, bool gates, struct err *e);
/* So many from now on (UINT64_MAX: as many as there are). -EBUSY: more are in use; -ERANGE: that
 * cannot be. */
[[nodiscard]] int sandbox_memory(uint64_t bytes);
/*
 * Runs it to its end: the first process' status, as containers tell it; negative: it could not be
 * run.
 */
[[nodiscard]] int sandbox_run(struct sandbox *s, struct err *e);

/* Of struct process, of one without a parent. */
void sandbox_process_ended(struct process *p, int status, void *sandbox);

/* ---- for control.c ---- */

/* A process runs in c (NULL: the sandbox's own), from now on known by job->nr. In a fiber; stdio is
 * taken. */
[[nodiscard]] int sandbox_exec(struct sandbox *s, struct container *c, const struct spec_process *p,
			       int stdio[3], struct job **ret, struct err *e);
/* The first process of c, for task_start(). */
[[nodiscard]] int sandbox_first_of(struct sandbox *s, struct container *c, int stdio[3],
				   struct task **ret_task, struct job **ret, struct err *e);
/* The sandbox's first, or a container's, who is known to the end of it. */
bool sandbox_stays(const struct sandbox *s, const struct job *j);
/* Whether somebody waits for a process of it. */
bool sandbox_awaited(struct sandbox *s, const struct container *c);
/* Its processes, which have ended. */
void sandbox_forget_all(struct sandbox *s, const struct container *c);
/* It has ended, and what its terminal was told is where it goes. */
bool sandbox_ended(const struct job *j);
struct job *sandbox_job(struct sandbox *s, uint64_t nr);
/* It has ended and nobody asks for it any more. */
void sandbox_forget(struct job *j);

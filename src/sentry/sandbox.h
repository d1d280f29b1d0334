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
#include "sentry/root.h"

struct process;
struct pid;
struct seccomp_filter;
struct terminal;

/* A process that the host knows: the first one, or one of an EXEC. */
struct job {
	struct list link;
	uint64_t nr;		   /* of the control messages */
	struct pid *pid;	   /* owned */
	struct terminal *terminal; /* owned; NULL: none */
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
	int gofer;		 /* a connected socket; FD_NONE: none */
	int control;		 /* a listening socket; FD_NONE: none */
	int signals;  /* where those to the first process come, a byte each; FD_NONE: nowhere */
	int creator;  /* a pipe that hangs up when its maker has gone; FD_NONE: it may go */
	int stdio[3]; /* taken; with process.terminal the first alone */
	int resized;  /* of a terminal there: host_tty_claim()'s; FD_NONE: none */
	struct buf seccomp; /* its bytes: seccomp.h */
	/* Its own: */
	struct mount_space *space;
	struct path root;
	struct seccomp_filter *filter; /* of each process that the host makes; or NULL */
	struct list jobs;
	struct job *first;
	uint64_t last_nr;
	uint64_t cpu_gone; /* ns, of jobs that have ended and the processes that they waited for */
	bool started, abandoned; /* abandoned: before it was started */
	struct waitq changed;	 /* something of the above, or a connection's */
	bool failed;
	struct err *e;
};

/* The kernel and its stubs, for a guest of so many bytes of memory (0: as the host has). While
 * there is one thread. */
[[nodiscard]] int sandbox_begin(uint64_t memory, struct err *e);
/*
 * Runs it to its end: the first process' status, as containers tell it; negative: it could not be
 * run.
 */
[[nodiscard]] int sandbox_run(struct sandbox *s, struct err *e);

/* ---- for control.c ---- */

/* A process runs, from now on known by job->nr. In a fiber; stdio is taken. */
[[nodiscard]] int sandbox_exec(struct sandbox *s, const struct spec_process *p, int stdio[3],
			       struct job **ret, struct err *e);
/* It has ended, and what its terminal was told is where it goes. */
bool sandbox_ended(const struct job *j);
struct job *sandbox_job(struct sandbox *s, uint64_t nr);
/* It has ended and nobody asks for it any more. */
void sandbox_forget(struct job *j);

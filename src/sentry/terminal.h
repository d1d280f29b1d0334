/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal of a process with process.terminal: a pty of the guest's own kernel, with its line
 * discipline and job control, whose master is joined to a pty of the host that does nothing but
 * carry bytes:
 *
 *	the engine's user - host pty - typist() -> tty -> the guest's /dev/pts/N
 *	                             <- printer() <-
 *
 * Either direction waits where the other end does not take more. The host's hang-up hangs the
 * guest's terminal up; when the guest has closed it everywhere the host's is closed, once all that
 * was written is there.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "kernel/core/sched.h"

struct cred;
struct file;
struct path;
struct process;
struct spec_console_size;
struct terminal;
struct tty;

struct terminal_wish {
	const struct path *root; /* of the guest's tree, with devpts at /dev/pts; borrowed */
	const struct cred *who;	 /* the terminal's owner; borrowed */
	int fd;			 /* the host pty's slave; taken, FD_NONE once it is */
	/* Readable when the host's size has changed (host_tty_claim()), borrowed; FD_NONE: looked
	 * for. */
	int resized;
	const struct spec_console_size *size; /* at the beginning; NULL: the host's */
	bool console;			      /* it is /dev/console, too */
	struct waitq *told;		      /* woken when terminal_drained() may have changed */
};

/* In a fiber. The slave, open: the guest's. INVALID, UNSUPPORTED, EXHAUSTED. */
[[nodiscard]] int terminal_new(struct terminal_wish *w, struct terminal **ret,
			       struct file **ret_slave, struct err *e);
void terminal_unref(struct terminal *t);
/* It controls p, which leads a session that has none yet. */
void terminal_control(struct terminal *t, struct process *p);
/* The guest's side of it; NULL: it is over. */
struct tty *terminal_tty(const struct terminal *t);
/* The host has all that was written. */
bool terminal_empty(const struct terminal *t);
/* The guest's side has become what a checkpoint had. */
void terminal_resumed(struct terminal *t);
/* Its process has ended: what was written until now is to be drained. */
void terminal_ended(struct terminal *t);
/* After that: the host has it all, or has hung up, or takes nothing any more. */
bool terminal_drained(const struct terminal *t);

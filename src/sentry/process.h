/* SPDX-License-Identifier: Apache-2.0 */
/* A process of config.json becomes one of the guest's, without a parent there. In a fiber. */
#pragma once

#include "base/err.h"
#include "fmt/spec.h"

struct file;
struct path;
struct pid_space;
struct process;
struct seccomp_filter;
struct task;
struct terminal;
struct waitq;

struct process_wish {
	const struct spec_process *spec;
	const struct path *root;       /* borrowed */
	struct seccomp_filter *filter; /* borrowed; NULL: none */
	struct pid_space *numbers;     /* borrowed; NULL: the first */
	uint32_t container;	       /* 0: it is of none but the sandbox */
	uint32_t personality;	       /* personality(2) */
	bool make_cwd;		       /* the current directory is made where it is missing */
	/* Of the host; taken, FD_NONE once they are. With a terminal the first alone counts. */
	int stdio[3];
	/* With process.terminal: as struct terminal_wish has them; what came of it is given. */
	bool console;
	int resized;
	struct waitq *told;
	struct terminal *terminal;
	void (*ended)(struct process *p, int status, void *arg); /* as struct process has it */
	void *arg;
};

/*
 * Everything but its start (task_start()). Errors are in words that name what was wrong, with
 * e->sys: ENOENT, EACCES, ENOEXEC of the program.
 */
[[nodiscard]] int process_make(struct process_wish *w, struct task **ret, struct err *e);
/* Its terminal alone, for the processes of a checkpoint; the slave is open, and the caller's. */
[[nodiscard]] int process_terminal(struct process_wish *w, struct file **ret_slave, struct err *e);
/* One that was made and cannot be started. */
void process_undo(struct task *t);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks of the specification: a program run with the container's state as JSON on its standard
 * input, the environment it names (the caller's when it names none), killed with all its children
 * when its time is over.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/spec.h"

/*
 * The state's JSON in two parts: status and pid go in between, by hooks_run. Reads the bundle's
 * path from its descriptor.
 */
[[nodiscard]] int hooks_state_text(struct arena *a, const struct spec *s, const char *id,
				   int bundle_fd, const char **ret_head, const char **ret_tail,
				   struct err *e);

/*
 * Hooks that run after start or stop, in a later process: the spec read again from the bundle (its
 * file `config`, NULL: config.json) as it was then, and the state's JSON. Without a bundle any
 * more nothing is set: deleting must still work.
 */
[[nodiscard]] int hooks_load(struct arena *a, const char *bundle, const char *config,
			     const char *id, const struct spec **ret_s, const char **ret_head,
			     const char **ret_tail, struct err *e);

struct sock_fprog; /* linux/filter.h */

struct hooks_call {
	const struct spec_hook_list *list;
	enum spec_hook_kind kind;
	const char *head, *tail;
	const char *status;		 /* "creating" "created" "running" "stopped" */
	pid_t pid;			 /* as its readers see it; 0: none */
	int cwd_fd;			 /* FD_NONE: the caller's */
	char *const *env;		 /* of hooks that name none; NULL: the caller's */
	const struct sock_fprog *filter; /* seccomp of the hooks themselves; NULL: none */
	unsigned filter_flags;
	bool no_new_privs;
	const int *output; /* two descriptors or FD_NONE for stdout and stderr; NULL: as usual */
};

/*
 * The files that the annotations run.oci.hooks.stdout and run.oci.hooks.stderr name, for their
 * output; FD_NONE where there is none. Gives.
 */
[[nodiscard]] int hooks_open_output(const struct spec *s, int ret_fds[static 2], struct err *e);

/*
 * Run them in order; the first failure ends it, and its exit status is e->sys. Allocates nothing:
 * also for the container's init. Waits with a pidfd, so that no other child of the caller is
 * reaped.
 */
[[nodiscard]] int hooks_run(const struct hooks_call *c, struct err *e);

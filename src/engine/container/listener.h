/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCMP_ACT_NOTIFY: who listens to the filter's notifications gets its descriptor over the unix
 * socket linux.seccomp.listenerPath, with the "container process state" of the specification.
 *
 * The process that loads the filter may be unable to do anything afterwards without the listener's
 * leave, sending a descriptor least of all. So its parent takes the descriptor out of it
 * (pidfd_getfd). What the process does in between is one write(2), which the profile must let
 * through, to say the number, and one read(2) to wait, which it must not refuse.
 */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "base/err.h"
#include "fmt/spec.h"

#define LISTENER_ANNOTATION "run.oci.seccomp.receiver" /* crun's: instead of listenerPath */

/* The path of the listener's socket, or NULL. */
const char *listener_path(const struct spec *s);

/* What of the spec can be refused without touching anything. */
[[nodiscard]] int listener_check(const struct spec *s, struct err *e);
/* Whether the program lets the hand-over through, and whether a socket is there to take it. */
[[nodiscard]] int listener_check_filter(const struct spec *s, const struct sock_fprog *prog,
					struct err *e);

struct listener_call {
	const struct spec *spec; /* NULL: its bundle is gone, which serve refuses */
	const char *head, *tail; /* hooks_state_text(); or NULL with it */
	const char *status;	 /* of the container */
	pid_t init_pid;
	pid_t pid; /* of the process whose filter it is, and its pidfd (borrowed) */
	int pidfd;
	int number; /* the descriptor's there */
};

/* Take the descriptor and hand it over. NOT_FOUND: nobody knows any more where to. */
[[nodiscard]] int listener_serve(const struct listener_call *c, struct err *e);

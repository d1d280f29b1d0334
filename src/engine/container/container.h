/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container engine: the workload as host processes behind namespaces, control groups, a root
 * of its own and a filter of system calls. Its instance, shared by the files of this room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/container/hostroot.h"
#include "engine/container/rdt.h"
#include "engine/engine.h"

struct groups;

struct container {
	struct instance in;	 /* first: engine.h */
	char *id;		 /* owned */
	const struct spec *spec; /* the caller's, or in `arena` after a load that needed it */
	struct arena arena;
	struct groups *groups; /* owned, NULL: none */
	struct rdt rdt;
	struct hostroot hostroot;
	int gate_fd;		 /* owned: our end of the init's gate; FD_NONE unless CREATED */
	bool let_go;		 /* it started without waiting at its gate */
	enum engine_state saved; /* what the state directory says, if this process wrote it */
	int gate_number;	 /* its number in the init, for pidfd_getfd by another process */
	uint64_t ident;		 /* with the pid: which process it is (sys/process.h) */
	unsigned ns_flags;	 /* namespaces an exec joins, CLONE_NEW* */
	bool own_pids;		 /* its init is pid 1 of a namespace: with it all end */
	bool chrooted;		 /* its root is not that of its mount namespace */
	bool callers_keyring;	 /* none was made for it */
	bool late_hooks;	 /* poststart or poststop hooks, or a listener for seccomp: start,
				  * exec and destroy need the spec */
	bool poststop_due;
	bool net_made;	   /* prepared, and not yet used: */
	int net_fd;	   /* owned: its network namespace, which nobody is in */
	char *bundle_path; /* owned; NULL unless late_hooks: where config.json is */
	char *config_path; /* owned; NULL: it is that config.json */
	char *note;	   /* owned; struct bundle's, NULL: none */
	const char *state_head, *state_tail; /* for hooks, in `arena` */
};

extern const struct engine_ops container_ops;

/* The one downcast. */
struct container *container_of_instance(struct instance *in);

/* check.c */
[[nodiscard]] int container_check(const struct engine_caps *caps, const struct spec *s,
				  struct err *e);

/* create.c */
[[nodiscard]] int container_prepare(struct instance *in, const struct engine_prepare *p,
				    struct err *e);
[[nodiscard]] int container_create(struct instance *in, const struct bundle *b, nsec_t deadline,
				   struct err *e);
[[nodiscard]] int container_start(struct instance *in, struct err *e);

/* Parts of it that restore.c needs as well: cgroups with these limits; what later verbs need to
 * know; the pid file; the pty's master (taken) to the console socket, or kept. */
struct plan;
[[nodiscard]] int container_make_groups(struct container *c, const struct bundle *b,
					const struct spec_resources *limits, struct err *e);
[[nodiscard]] int container_remember(struct container *c, const struct bundle *b,
				     const struct plan *p, struct err *e);
[[nodiscard]] int container_take_console(struct container *c, const struct bundle *b, int fd,
					 struct err *e);

/* exec.c */
[[nodiscard]] int container_exec(struct instance *in, const struct exec_spec *x, struct exec *ret,
				 struct err *e);

/* state.c */
[[nodiscard]] int container_save(struct instance *in, int state_fd, struct err *e);
/* As if it were in that state, which it is about to enter. */
[[nodiscard]] int container_save_as(struct container *c, enum engine_state state, int state_fd,
				    struct err *e);
[[nodiscard]] int container_load(struct instance *in, int state_fd, struct err *e);
[[nodiscard]] int container_look(int parent_fd, const char *name, struct arena *a,
				 struct engine_look *ret, struct err *e);

/* The child's next message; gives its descriptor, if any, in *ret_fd. 1, or 0: it is gone. */
struct child_message;
[[nodiscard]] int container_receive(int sock, nsec_t deadline, struct child_message *ret_m,
				    int *ret_fd, struct err *e);

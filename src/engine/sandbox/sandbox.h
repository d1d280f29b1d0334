/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox engine: the workload's processes on Atoll's own kernel, which is a program of the
 * host, atoll-sentry. instance.pid is that program, which ends as the workload does; what is asked
 * of it goes over its control socket in the state directory (proto/sentry.h). Each exec has a
 * process here that waits for it (waiter.h). Its instance, shared by the files of this room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/container/hooked.h"
#include "engine/engine.h"
#include "engine/sandbox/cards.h"
#include "fmt/spec.h"

struct groups;

#define SANDBOX_SOCKET	"control" /* where the kernel's is; the others in the state directory */
#define SANDBOX_LOG	"sandbox.log"
#define SANDBOX_END	"sandbox.end" /* what its program reported: proto/sentry.h */
#define SANDBOX_END_MAX (1u << 14)

#define SANDBOX_MEMORY_LEAST (UINT64_C(4) << 20) /* sentry/sandbox.c */

struct sandbox {
	struct instance in;	 /* first: engine.h */
	char *id;		 /* owned; NULL: nothing was created */
	const struct spec *spec; /* the caller's, or in `arena` after a load that needed it */
	struct arena arena;
	struct groups *groups; /* owned, NULL: none */
	int state_fd;	       /* owned: the state directory */
	int kernel_fd;	       /* owned: where its kernel's socket is: the same, or the pod's */
	char *pod_path;	       /* owned; NULL: it is of no pod (pod.h) */
	bool joins;	       /* its kernel is the pod's, which another's program is (member.h) */
	uint64_t container;    /* its number in a pod's kernel; 0: of no pod */
	uint64_t process;      /* its first's number there */
	int gofer_pidfd;  /* owned: of who serves its files; FD_NONE: nobody, or not our child */
	int broker_pidfd; /* owned: of who serves its network, likewise */
	int creator_fd;	  /* owned: until it is started the sandbox ends with it; FD_NONE: not so */
	uint64_t ident;	  /* with the pid: which process it is (sys/process.h) */
	uint64_t memory;  /* bytes that the guest may use; 0: as many as the host has */
	bool killed;	  /* by this instance */
	struct cards_taken taken; /* of its network namespace, by a strict network */
	struct hooked hooked;	  /* what runs its hooks */
};

extern const struct engine_ops sandbox_ops;

struct sandbox *sandbox_of_instance(struct instance *in); /* the one downcast */

/* check.c */
[[nodiscard]] int sandbox_check(const struct engine_caps *caps, const struct spec *s,
				struct err *e);
/* The same where there are no pods, of what would be of one. */
[[nodiscard]] int sandbox_check_alone(const struct spec *s, struct err *e);
/* Bytes that the guest may use; 0: no limit. */
[[nodiscard]] int sandbox_check_memory(uint64_t memory, struct err *e);

/* create.c */
[[nodiscard]] int sandbox_create(struct instance *in, const struct bundle *b, nsec_t deadline,
				 struct err *e);
/* From what a checkpoint wrote; restore_fd is borrowed. FD_NONE: from its beginning. */
[[nodiscard]] int sandbox_create_from(struct instance *in, const struct bundle *b, int restore_fd,
				      nsec_t deadline, struct err *e);
[[nodiscard]] int sandbox_start(struct instance *in, struct err *e);
/* Hooks of the host. */
[[nodiscard]] int sandbox_hooks(struct sandbox *s, enum spec_hook_kind kind, const char *status,
				int cwd_fd, struct err *e);

/* snapshot.c */
[[nodiscard]] int sandbox_can_snapshot(const char *program, struct err *e);
[[nodiscard]] int sandbox_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
				   struct err *e);
[[nodiscard]] int sandbox_restore(struct instance *in, const struct bundle *b, int dirfd,
				  const struct snapshot_options *o, struct err *e);

/* exec.c */
[[nodiscard]] int sandbox_exec(struct instance *in, const struct exec_spec *x, struct exec *ret,
			       struct err *e);

/* update.c */
[[nodiscard]] int sandbox_update(struct instance *in, const struct spec_resources *r,
				 struct err *e);

/* state.c */
[[nodiscard]] int sandbox_save(struct instance *in, int state_fd, struct err *e);
[[nodiscard]] int sandbox_load(struct instance *in, int state_fd, struct err *e);
/* What its program said of its own failure: *e, and true. */
bool sandbox_failure(const struct sandbox *s, struct err *e);
/* A sentence, once it has ended; NULL: its status says it all. In the arena. */
const char *sandbox_why_ended(struct instance *in, struct arena *a);

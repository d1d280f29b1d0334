/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The microvm engine: the workload in a machine of its own, with a Linux of its own, whose agent
 * runs it with the container engine. Its processes on the host are a proxy for each process that is
 * started from here (instance.pid is the first one's), and what the first proxy holds: the virtual
 * machine monitor and its devices. Its instance, shared by the files of this room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/container/hooked.h"
#include "engine/engine.h"
#include "engine/microvm/rates.h"
#include "engine/sandbox/cards.h"
#include "fmt/spec.h"

struct groups;

struct microvm {
	struct instance in;	 /* first: engine.h */
	char *id;		 /* owned; NULL: nothing was created */
	const struct spec *spec; /* the caller's, or in `arena` after a load that needed it */
	struct arena arena;
	struct groups *groups; /* owned, NULL: none */
	int state_fd;	       /* owned: the state directory */
	int machine_fd;	       /* owned: where the machine's sockets are: the same, or the pod's */
	char *pod_path;	       /* owned; NULL: it is of no pod (pod.h) */
	bool joins;	       /* its machine is the pod's, which another holds */
	int gate_fd;	       /* owned: our end of the proxy's socket; FD_NONE unless CREATED */
	uint64_t ident;	       /* with the pid: which process it is (sys/process.h) */
	bool own_disk;	       /* its root is its own disk, whose files its kernel alone reads */
	bool emulated;	       /* the processor is a program: no KVM that runs guests */
	uint64_t memory;       /* bytes of the machine: the guest's and its balloon's */
	uint64_t memory_now;   /* that the guest shall have of it */
	uint32_t cpus;	       /* that the guest uses now */
	uint32_t cpus_max;     /* of the machine */
	struct rates rates;    /* of its disks and cards now */
	struct cards_taken taken; /* of its network namespace */
	struct hooked hooked;	  /* what runs its hooks */
};

extern const struct engine_ops microvm_ops;

struct microvm *microvm_of_instance(struct instance *in); /* the one downcast */

/* create.c */
[[nodiscard]] int microvm_create(struct instance *in, const struct bundle *b, nsec_t deadline,
				 struct err *e);
[[nodiscard]] int microvm_start(struct instance *in, struct err *e);
[[nodiscard]] int microvm_exec(struct instance *in, const struct exec_spec *x, struct exec *ret,
			       struct err *e);
/* Hooks of the host. */
[[nodiscard]] int microvm_hooks(struct microvm *m, enum spec_hook_kind kind, const char *status,
				int cwd_fd, struct err *e);

[[nodiscard]] int microvm_restore(struct instance *in, const struct bundle *b, int dirfd,
				  const struct snapshot_options *o, struct err *e);

/* snapshot.c */
[[nodiscard]] int microvm_can_snapshot(const char *program, struct err *e);
[[nodiscard]] int microvm_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
				   struct err *e);

/* files.c */
[[nodiscard]] int microvm_files(struct instance *in, bool hold, nsec_t deadline,
				struct engine_files *ret, struct err *e);

/* disks.c */
[[nodiscard]] int microvm_can_root_upper(nsec_t deadline, struct err *e);

/* update.c */
[[nodiscard]] int microvm_update(struct instance *in, const struct spec_resources *r,
				 struct err *e);

/* state.c */
[[nodiscard]] int microvm_save(struct instance *in, int state_fd, struct err *e);
[[nodiscard]] int microvm_load(struct instance *in, int state_fd, struct err *e);
/* Whether the workload ended for lack of memory, once it has. */
bool microvm_ended_oom(const struct microvm *m);
/* Which part of its machine ended first, and how; NULL: none, or it is not known. In the arena. */
const char *microvm_why_ended(struct instance *in, struct arena *a);

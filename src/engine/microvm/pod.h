/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods: containers that share one machine, and with it its network, ipc and names. Which pod a
 * container is of, and whether it is the pod's sandbox, its caller says by annotations: those of
 * containerd's CRI plug-in, CRI-O's and dockershim's. podman has CRI-O's for all but the sandbox,
 * which is known by its cgroup (podman 4.3). The sandbox is an
 * ordinary workload that makes the machine and holds it: with it all ends. Where there is none
 * (CRI-O may leave it out) the first container has a machine made that is nobody's, with a holder
 * of its own, and the last one to be deleted ends it.
 *
 * What they share lies in a directory PODS/ID, beside the state directories of the containers:
 *
 *	sandbox		whose machine it is: a container's id; absent: the holder's
 *	cgroup, instance.json, cgroups	the holder, as an instance (state.c), if there is one
 *	vsock, files, network, machine.log	the machine's, as in a state directory
 *	members/ID	each container of it, with the names of the shares it uses, one a line
 *
 * Whoever changes what is there holds the lock of the directory. A share is named by what it is a
 * share of, so that containers with the same volume have the same files: locks, mappings.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

struct guest;
struct microvm;
struct spec;

#define POD_FILES                                                                                  \
	"files" /* in the directory: the file server's control socket (proto/shares.h)             \
		 */

#define POD_HOLDER "pod-" /* before the pod's id: the id of a machine that is nobody's */

enum pod_role { POD_NONE, POD_SANDBOX, POD_MEMBER };

struct pod_name {
	enum pod_role role;
	bool bounded;	/* its size is said by the limits of the cgroup that its own is in */
	const char *id; /* borrowed from the spec; NULL with POD_NONE, and: the container's own */
};

/* INVALID: annotations that make no sense. */
[[nodiscard]] int pod_find(const struct spec *s, struct pod_name *ret_name, struct err *e);

/*
 * Take part in it: m->pod_path is set, and noted in the state directory before. Opens
 * m->machine_fd; *ret_lock is held until it is closed, and never to be handed on. CONFLICT: the
 * sandbox is there already, or has ended.
 */
[[nodiscard]] int pod_enter(struct microvm *m, const struct pod_name *n, nsec_t deadline,
			    int *ret_lock, struct err *e);
/* Whether it has a sandbox, which makes its machine. */
bool pod_has_sandbox(const struct microvm *m);
/*
 * The container of the pod whose pid namespace the spec's path means: "" when it has one of its
 * own, else its id, for ret_id[129]. UNSUPPORTED: another's.
 */
[[nodiscard]] int pod_pids_of(const struct microvm *m, char ret_id[static 129], struct err *e);

/* Names for the shares, by what they are. Before the guest's config is written. */
[[nodiscard]] int pod_name_shares(struct microvm *m, struct guest *g, struct err *e);
/* Hand them to the machine's file server, under the lock. */
[[nodiscard]] int pod_add_shares(struct microvm *m, const struct guest *g, nsec_t deadline,
				 struct err *e);

/* Before a machine that is nobody's gets its cgroups: where they will be (NULL: by its id). */
[[nodiscard]] int pod_note_cgroup(const struct microvm *m, const char *path, struct err *e);

/*
 * Out of it, with its shares; the last one ends a machine that is nobody's and removes the
 * directory. What cannot be undone is said in the log.
 */
void pod_leave(struct microvm *m, nsec_t deadline);

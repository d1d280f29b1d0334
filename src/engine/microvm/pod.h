/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods of machines: containers that share one machine, and with it its network, ipc and names
 * (engine/pod.h says who is of which). The sandbox is an
 * ordinary workload that makes the machine and holds it: with it all ends. Where there is none
 * (CRI-O may leave it out) the first container has a machine made that is nobody's, with a holder
 * of its own, and the last one to be deleted ends it.
 *
 * In the pod's directory there are besides:
 *
 *	cgroup, instance.json, cgroups	the holder, as an instance (state.c), if there is one
 *	vsock, files, network, machine.log	the machine's, as in a state directory
 *
 * and a member's words are the names of the shares it uses. A share is named by what it is a
 * share of, so that containers with the same volume have the same files: locks, mappings.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/pod.h"

struct guest;
struct microvm;

#define POD_FILES                                                                                  \
	"files" /* in the directory: the file server's control socket (proto/shares.h)             \
		 */

#define POD_HOLDER "pod-" /* before the pod's id: the id of a machine that is nobody's */

/*
 * Take part in it: m->pod_path is set, and noted in the state directory before. Opens
 * m->machine_fd; *ret_lock as pod_enter() has it, who fails so, too.
 */
[[nodiscard]] int microvm_pod_enter(struct microvm *m, const struct pod_name *n, nsec_t deadline,
				    int *ret_lock, struct err *e);
/*
 * The container of the pod whose pid namespace the spec's path means: "" when it has one of its
 * own, else its id. UNSUPPORTED: another's.
 */
[[nodiscard]] int microvm_pod_pids_of(const struct microvm *m, char ret_id[static POD_ID_SIZE],
				      struct err *e);

/* Names for the shares, by what they are. Before the guest's config is written. */
[[nodiscard]] int microvm_pod_name_shares(struct microvm *m, struct guest *g, struct err *e);
/* Hand them to the machine's file server, under the lock. */
[[nodiscard]] int microvm_pod_add_shares(struct microvm *m, const struct guest *g, nsec_t deadline,
					 struct err *e);

/* Before a machine that is nobody's gets its cgroups: where they will be (NULL: by its id). */
[[nodiscard]] int microvm_pod_note_cgroup(const struct microvm *m, const char *path, struct err *e);

/*
 * Out of it, with its shares; the last one ends a machine that is nobody's and removes the
 * directory. What cannot be undone is said in the log.
 */
void microvm_pod_leave(struct microvm *m, nsec_t deadline);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods of sandboxes: containers on one kernel (engine/pod.h says who is of which). The pod's
 * sandbox has that kernel, whose control socket lies in the pod's directory; the others join it
 * (member.h), and end with it. A member's words in there are "pid PID CONTAINER": who stands for it
 * on the host, and its number in the kernel.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/pod.h"

struct bundle;
struct sandbox;

/* Of which pod it is: the instance's pod_path, joins and container are set; *ret: borrowed names,
 * POD_NONE where the caller has no place for pods. */
[[nodiscard]] int sandbox_pod_find(struct sandbox *s, const struct bundle *b, struct pod_name *ret,
				   struct err *e);
/*
 * Take part in it, which is noted in the state directory before: s->kernel_fd becomes the pod's
 * directory. As pod_enter(). UNSUPPORTED: it would join, and there is no sandbox.
 */
[[nodiscard]] int sandbox_pod_enter(struct sandbox *s, const struct pod_name *n, nsec_t deadline,
				    int *ret_lock, struct err *e);
/* Its words, once it has a process on the host. */
[[nodiscard]] int sandbox_pod_tell(const struct sandbox *s, struct err *e);
/* Who joins has the pod's network and no other. UNSUPPORTED. */
[[nodiscard]] int sandbox_pod_network(const struct sandbox *s, struct err *e);
/*
 * The container whose pid namespace the spec's path means; 0: one of its own. UNSUPPORTED: of
 * nobody in the pod.
 */
[[nodiscard]] int sandbox_pod_pids_of(const struct sandbox *s, uint64_t *ret_container,
				      struct err *e);
/* Out of it; the last one takes the directory along. What stays is said in the log. */
void sandbox_pod_leave(const struct sandbox *s, nsec_t deadline);

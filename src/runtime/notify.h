/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) of a workload, as runc has it. When NOTIFY_SOCKET is in our environment at `create`
 * or `run`, a directory of the container's state becomes /run/notify in it, and its process finds
 * NOTIFY_SOCKET=/run/notify/notify.sock. `start` and `run --detach` wait there until the workload
 * says READY=1 (or ends), and pass it on to the service manager with MAINPID, the pid as the host
 * has it; `run` passes on what is said as long as it lives, as the main process itself. What names
 * a process or a descriptor of the workload's own is not passed on.
 */
#pragma once

#include <sys/types.h>

#include "base/auto.h"
#include "runtime/state.h"

struct spec_process;

struct notify {
	int sock; /* owned: where the workload sends to; FD_NONE: nobody wants to know */
	int host; /* owned: connected to the service manager */
};
#define NOTIFY_INIT ((struct notify){ FD_NONE, FD_NONE })

void notify_close(struct notify *n);
#define auto_notify __attribute__((cleanup(notify_close)))

/* Directory, mount and environment, for a container about to be created. */
[[nodiscard]] int notify_plan(struct runtime *rt, const struct container *c, struct spec *s,
			      struct spec_process *p, struct err *e);
/* Before the workload runs. Without a service manager that can be reached: a warning, no more. */
[[nodiscard]] int notify_open(const struct container *c, struct notify *ret, struct err *e);
/* One message of the workload's: true when it was READY=1, and the service manager has taken it. */
bool notify_forward(const struct notify *n, pid_t main_pid);
/* Until READY=1 or the end of the process. */
void notify_wait(const struct notify *n, pid_t pid, int pidfd);

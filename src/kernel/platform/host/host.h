/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform of the sandbox: this process serves the system calls of others. Each address space
 * is a process of its own, a stub (layout.h), whose threads are the guest's; what they call comes
 * here by seccomp's user notifications (Linux 5.19), their faults by a signal handler in the stub,
 * and nobody is traced. Their memory is a memfd that this process maps whole.
 *
 * A stub is trusted in nothing: one that breaks the rules is killed, and its contexts are gone.
 * This process' own walls (namespaces, Landlock, a filter) are the program's that links this.
 *
 * One carrier: the thread that calls host_run(). Only plat_user_run(), plat_user_regs() and what
 * changes a mapped page of a guest wait for a stub; the first two let other fibers run meanwhile.
 */
#pragma once

#include "base/err.h"
#include "kernel/platform/platform.h"

/*
 * Once per process, while it has one thread, which stays to its end: stubs die with it. RAM of so
 * many frames, of which those that are written to take memory. gates: code of guests is patched
 * where calls come from often, and these come without the host's kernel (gate.c), unless the host
 * has no place for what that needs.
 * UNSUPPORTED: this processor or kernel lacks what stubs need; EXHAUSTED, INTERNAL.
 */
[[nodiscard]] int host_begin(uint64_t ram_frames, bool gates, struct err *e);
/* The host's /proc/loadavg, borrowed for good: without it calls in gates are not looked for, since
 * who else wants the processors is not known. */
void host_watch_load(int fd);
/* All that runs has so much time of processors in so much time: it is not looked with. 0: as much
 * as there is. */
void host_limit_cpus(uint64_t quota, uint64_t period);
/* Runs fibers and stubs until host_stop(). */
void host_run(void);
void host_stop(void);
/*
 * A descriptor of the host that is watched: `ready` is called on the carrier's own stack, where it
 * must not park, each time when something has become possible (EPOLLET). Descriptors that cannot
 * wait (regular files) are -EPERM. fd is borrowed; w stays where it is until it is unwatched.
 */
struct host_watch {
	void (*ready)(struct host_watch *w, uint32_t events);
};
[[nodiscard]] int host_watch(int fd, struct host_watch *w, uint32_t events);
/* For other events from now on. */
[[nodiscard]] int host_watch_again(int fd, struct host_watch *w, uint32_t events);
void host_unwatch(int fd);
/* Ends all stubs and gives back what host_begin() took; fibers and contexts are no more. */
void host_end(void);

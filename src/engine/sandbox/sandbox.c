/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's ops that need little: probe, signals, figures, freezing, limits, the end. */
#include "engine/sandbox/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/host.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/files.h"
#include "engine/sandbox/member.h"
#include "engine/sandbox/pod.h"
#include "engine/sandbox/program.h"
#include "engine/sandbox/trace.h"
#include "sys/pidfd.h"
#include "sys/self.h"

#define REMOVE_TIME   (10 * NSEC_PER_SEC)
#define FREEZE_WITHIN (10 * NSEC_PER_SEC)
#define ASK_WITHIN    (10 * NSEC_PER_SEC)
#define USAGE_WITHIN  (2 * NSEC_PER_SEC)
#define LIST_WITHIN   (10 * NSEC_PER_SEC)

struct sandbox *sandbox_of_instance(struct instance *in)
{
	assert(in->ops == &sandbox_ops);
	return (struct sandbox *) in; /* its first member */
}

static int probe(const struct host *h, struct engine_caps *ret, struct err *)
{
	struct engine_caps c = { .usable = true,
				 .caps = ENGINE_CAP_EXEC | ENGINE_CAP_UPDATE | ENGINE_CAP_PAUSE |
					 ENGINE_CAP_ROOTLESS };
	char path[PATH_MAX];

	if (!streq(h->machine, "x86_64")) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why), "sandboxes are made for x86_64, not %s",
				h->machine);
	} else if (!host_kernel_at_least(h, 5, 19)) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why),
				"sandboxes need Linux 5.19 (seccomp's notifications), this is %s",
				h->kernel_release);
	} else if (self_sibling(PROGRAM_SENTRY, path) < 0) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why),
				PROGRAM_SENTRY " is not where this program is: the installation is "
					       "incomplete");
	}
	*ret = c;
	return 0;
}

static bool runs(const struct sandbox *s)
{
	return s->in.pidfd >= 0 && pidfd_poll(s->in.pidfd, 0) == 0;
}

static bool has_groups(const struct sandbox *s)
{
	return s->groups && groups_any(s->groups);
}

static int ask_signal(struct sandbox *s, uint64_t process, int signo, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct sentry_request q = sandbox_request(s, SENTRY_SIGNAL);
	struct sentry_reply answer;

	q.process = process;
	q.signal = (uint64_t) signo;
	return control_ask(s, &q, clock_deadline(ASK_WITHIN), &a, &answer, e);
}

static int signal_first(struct instance *in, int signo, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	int r;

	/* The program hands on what it can catch, also later, when it is paused. */
	if (signo == SIGSTOP)
		return in->state == ENGINE_CREATED ? 0 : ask_signal(s, s->process, signo, e);
	r = in->pidfd < 0 ? -ESRCH : pidfd_kill(in->pidfd, signo);
	if (r == -ESRCH)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	s->killed = s->killed || (r == 0 && signo == SIGKILL);
	return r < 0 ? err_sys(e, -r, "signal %d", signo) : 0;
}

static int signal_all(struct instance *in, int signo, struct err *e)
{
	return signo == SIGKILL || in->state != ENGINE_RUNNING
		       ? signal_first(in, signo, e)
		       : ask_signal(sandbox_of_instance(in), 0, signo, e);
}

static int kill_all(struct instance *in, nsec_t deadline, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	int r = in->pidfd < 0 ? -ESRCH : pidfd_kill(in->pidfd, SIGKILL);

	if (r < 0 && r != -ESRCH)
		return err_sys(e, -r, "killing the sandbox");
	s->killed = true;
	r = s->joins ? member_remove(s, deadline, e) : 0;
	if (r < 0)
		return r;
	/* All of it dies with its program, unless it is frozen; nothing is left to chance. */
	if (has_groups(s)) {
		r = groups_kill(s->groups, deadline, e);
		if (r < 0)
			return r;
	}
	r = in->pidfd < 0 ? 1 : pidfd_poll(in->pidfd, deadline);
	if (r < 0)
		return err_sys(e, -r, "waiting for the sandbox to end");
	return r == 0 ? err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				"the sandbox does not end (it may hang in the kernel)")
		      : 0;
}

/*
 * Processor time, disks and what the host spends are the cgroups'. Memory and processes are those
 * of the workload, as its kernel counts them.
 */
static int usage(struct instance *in, struct usage *ret, struct err *)
{
	struct sandbox *s = sandbox_of_instance(in);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sandbox_request(s, SENTRY_STATS);
	bool frozen = has_groups(s) && groups_frozen(s->groups);
	struct sentry_reply answer;
	struct err ignored;
	struct usage u;

	memset(&u, 0xff, sizeof(u)); /* UINT64_MAX everywhere: unknown */
	if (s->groups)
		groups_usage(s->groups, &u);
	u.memory_host_bytes = u.memory_bytes;
	if (runs(s) && !frozen &&
	    control_ask(s, &q, clock_deadline(USAGE_WITHIN), &a, &answer, &ignored) == 0) {
		if (s->joins) /* those of its groups only stand for it */
			u.cpu_ns = answer.cpu_ns;
		u.memory_bytes = answer.memory;
		u.memory_cache_bytes = 0;
		u.memory_peak_bytes = UINT64_MAX;
		u.pids = answer.threads;
		u.pids_limit = answer.tasks_limit ? answer.tasks_limit : UINT64_MAX;
	}
	if (s->memory)
		u.memory_limit_bytes = s->memory;
	u.at = clock_wall();
	*ret = u;
	return 0;
}

static int processes(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);

	if (has_groups(s))
		return groups_pids(s->groups, ret_pids, max, ret_n, e);
	if (in->pid && max)
		ret_pids[0] = in->pid;
	*ret_n = in->pid ? 1 : 0;
	return 0;
}

static int list_more(const struct engine_processes *all, const struct sentry_reply *answer,
		     struct arena *a, struct engine_processes *ret, struct err *e)
{
	struct engine_processes more = { .n = all->n };

	more.v = arena_array(a, all->n + answer->list.n + 1, sizeof(*more.v));
	if (!more.v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < all->n; i++)
		more.v[i] = all->v[i];
	for (size_t i = 0; i < answer->list.n; i++) {
		const struct process_fields *p = &answer->list.v[i];

		more.v[more.n++] = (struct engine_process){ PROCESS_FIGURES(p) };
	}
	*ret = more;
	return 0;
}

/* What the guest's ps would show; while it is paused nobody there could say. */
static int list(struct instance *in, struct arena *a, struct engine_processes *ret, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct sentry_request q = sandbox_request(s, SENTRY_LIST);
	nsec_t deadline = clock_deadline(LIST_WITHIN);
	struct engine_processes all = {};
	struct sentry_reply answer;
	int r;

	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "a paused sandbox cannot say what runs in it");
	do {
		r = control_ask(s, &q, deadline, a, &answer, e);
		if (r == 0 && answer.process && answer.process <= q.process)
			r = err_set(e, ERR_INTERNAL, EPROTO,
				    "the sandbox's kernel lists its processes out of order");
		r = r < 0 ? r : list_more(&all, &answer, a, &all, e);
		q.process = answer.process;
	} while (r == 0 && q.process);
	if (r < 0)
		return r;
	*ret = all;
	return 0;
}

static int freeze(struct instance *in, bool frozen, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);

	if (s->joins)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "one container of a sandbox's pod cannot be paused: its kernel is "
			       "the whole pod's, which is paused by its sandbox");
	if (!has_groups(s))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "pausing needs a cgroup, and this sandbox has none");
	return frozen ? groups_hold(s->groups, clock_deadline(FREEZE_WITHIN), e)
		      : groups_freeze(s->groups, false, clock_deadline(FREEZE_WITHIN), e);
}

static int pause_all(struct instance *in, struct err *e)
{
	return freeze(in, true, e);
}

static int resume(struct instance *in, struct err *e)
{
	return freeze(in, false, e);
}

static void forget(struct instance *in)
{
	struct sandbox *s = sandbox_of_instance(in);

	if (!s->id)
		return;
	groups_free(TAKE(s->groups));
	close_fd(&s->creator_fd);
	close_fd(&s->gofer_pidfd);
	close_fd(&s->broker_pidfd);
	close_fd(&s->state_fd);
	close_fd(&s->kernel_fd);
	close_fd(&in->pidfd);
	close_fd(&in->console_fd);
	free(TAKE(s->id));
	free(TAKE(s->pod_path));
	free(TAKE(s->taken.path));
	hooked_fini(&s->hooked);
	arena_fini(&s->arena);
}

static void destroy(struct instance *in)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct err e = {};

	if (!s->id)
		return; /* never created, or destroyed before */
	(void) kill_all(in, clock_deadline(REMOVE_TIME), &e);
	/* Ours or not, reaped before or not; one that hangs in the kernel is not waited for. */
	if (in->pidfd >= 0 && pidfd_poll(in->pidfd, 0) == 1)
		(void) pidfd_reap(in->pidfd, NULL);
	/* They end when their sandbox has. */
	if (s->gofer_pidfd >= 0)
		(void) pidfd_reap_by(s->gofer_pidfd, clock_deadline(REMOVE_TIME), NULL);
	if (s->broker_pidfd >= 0)
		(void) pidfd_reap_by(s->broker_pidfd, clock_deadline(REMOVE_TIME), NULL);
	if (s->state_fd >= 0)
		cards_return(&s->taken, s->state_fd, s->id);
	if (s->groups)
		(void) groups_remove(s->groups, clock_deadline(REMOVE_TIME), &e);
	if (s->kernel_fd >= 0 && !s->joins)
		(void) unlinkat(s->kernel_fd, SANDBOX_SOCKET, 0);
	if (s->pod_path)
		sandbox_pod_leave(s, clock_deadline(REMOVE_TIME));
	if (s->hooked.poststop_due &&
	    sandbox_hooks(s, SPEC_HOOK_POSTSTOP, "stopped", FD_NONE, &e) < 0)
		log_warn("a poststop hook failed: %s", e.msg);
	forget(in);
}

const struct engine_ops sandbox_ops = {
	.name = "sandbox",
	.instance_size = sizeof(struct sandbox),
	.own_kernel = true,
	.root_disk = true,
	.files_here = true,
	.files = sandbox_files,
	.probe = probe,
	.check = sandbox_check,
	.create = sandbox_create,
	.start = sandbox_start,
	.signal = signal_first,
	.signal_all = signal_all,
	.kill = kill_all,
	.usage = usage,
	.why_ended = sandbox_why_ended,
	.destroy = destroy,
	.processes = processes,
	.list = list,
	.trace = sandbox_trace,
	.refused = sandbox_refused,
	.keeps = SANDBOX_END,
	.pause = pause_all,
	.resume = resume,
	.exec = sandbox_exec,
	.update = sandbox_update,
	.can_snapshot = sandbox_can_snapshot,
	.snapshot = sandbox_snapshot,
	.restore = sandbox_restore,
	.save = sandbox_save,
	.load = sandbox_load,
	.look = container_look,
	.forget = forget,
};

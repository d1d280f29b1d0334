/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's ops that need little: probe, signals, figures, freezing, the end. */
#include "engine/microvm/microvm.h"

#include <errno.h>
#include <fcntl.h>
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
#include "engine/kernel.h"
#include "engine/microvm/agent.h"
#include "engine/microvm/check.h"
#include "engine/microvm/machine.h"
#include "engine/microvm/monitor.h"
#include "engine/microvm/network.h"
#include "engine/microvm/pod.h"
#include "engine/microvm/proxied.h"
#include "proto/proxy.h"
#include "sys/pidfd.h"

#define REMOVE_TIME   (10 * NSEC_PER_SEC)
#define LOCK_TIME     (60 * NSEC_PER_SEC)
#define SIGNAL_WITHIN (60 * NSEC_PER_SEC)
#define USAGE_WITHIN  (2 * NSEC_PER_SEC)
#define LIST_WITHIN   (60 * NSEC_PER_SEC)

struct microvm *microvm_of_instance(struct instance *in)
{
	assert(in->ops == &microvm_ops);
	return (struct microvm *) in; /* its first member */
}

static int probe(const struct host *h, struct engine_caps *ret, struct err *)
{
	struct engine_caps c = { .usable = true,
				 .caps = ENGINE_CAP_EXEC | ENGINE_CAP_UPDATE | ENGINE_CAP_PAUSE };
	auto_arena struct arena a = ARENA_INIT(1u << 16);
	auto_fd int kernels = FD_NONE;
	struct machine machine;
	struct err why = {};

	if (!streq(h->machine, "x86_64")) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why), "machines are made for x86_64, not %s",
				h->machine);
	} else if (h->euid != 0) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why),
				"only root can make machines, also root of a user namespace, as "
				"which `atoll` and podman run an ordinary user's workloads");
	} else {
		if (kernels_open(NULL, &kernels, &why) < 0)
			kernels = FD_NONE; /* nothing was kept; create says what is wrong there */
		if (machine_find(&a, kernels, &machine, &why) < 0) {
			c.usable = false;
			(void) snprintf(c.why, sizeof(c.why), "%s", why.msg);
		} else {
			c.emulated = machine.emulated;
		}
	}
	*ret = c;
	return 0;
}

static bool runs(const struct microvm *m)
{
	return m->in.pidfd >= 0 && pidfd_poll(m->in.pidfd, 0) == 0;
}

/* To the workload's processes, through the agent: those of the host are the machine. */
static int ask_signal(struct microvm *m, int signo, bool all, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct agent_msg q = agent_msg_of(AGENT_SIGNAL), answer;

	q.signal.id = m->id;
	q.signal.signo = (uint64_t) signo;
	q.signal.all = all;
	return agent_request(m->machine_fd, &q, AGENT_OK, clock_deadline(SIGNAL_WITHIN), &a,
			     &answer, e);
}

static int signal_init(struct instance *in, int signo, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	int r;

	/* The proxy can hand on what it can catch. Its end by SIGKILL is the machine's. */
	if (signo == SIGSTOP)
		return ask_signal(m, signo, false, e);
	r = signo == SIGKILL ? proxied_end(in->pidfd) : pidfd_kill(in->pidfd, signo);
	if (r == -ESRCH)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	return r < 0 ? err_sys(e, -r, "signal %d", signo) : 0;
}

static int signal_all(struct instance *in, int signo, struct err *e)
{
	return signo == SIGKILL ? signal_init(in, signo, e)
				: ask_signal(microvm_of_instance(in), signo, true, e);
}

/* The guest ends it, so that all it wrote is here; half of the time is for that. */
static void end_gently(struct microvm *m, nsec_t deadline)
{
	nsec_t now = clock_mono(), half = deadline > now ? now + (deadline - now) / 2 : now;
	struct err ignored;

	if (!runs(m) || proxied_end(m->in.pidfd) < 0)
		return;
	if (m->groups && groups_any(m->groups) && groups_frozen(m->groups) &&
	    groups_freeze(m->groups, false, half, &ignored) < 0)
		return;
	(void) pidfd_poll(m->in.pidfd, half); /* it is killed next if it still runs */
}

static int kill_all(struct instance *in, nsec_t deadline, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	int r;

	end_gently(m, deadline);
	r = in->pidfd < 0 ? -ESRCH : pidfd_kill(in->pidfd, SIGKILL);
	if (r < 0 && r != -ESRCH)
		return err_sys(e, -r, "killing the machine's proxy");
	/* The machine dies with its proxy, unless it is frozen; nothing is left to chance. */
	if (m->groups && groups_any(m->groups)) {
		r = groups_kill(m->groups, deadline, e);
		if (r < 0)
			return r;
	}
	r = in->pidfd < 0 ? 1 : pidfd_poll(in->pidfd, deadline);
	if (r < 0)
		return err_sys(e, -r, "waiting for the machine's proxy to end");
	return r == 0 ? err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				"the machine's proxy does not end (it may hang in the kernel)")
		      : 0;
}

static void take_guests(struct usage *u, const struct usage_fields *g)
{
	u->memory_bytes = g->memory_bytes;
	u->memory_peak_bytes = g->memory_peak_bytes;
	u->memory_cache_bytes = g->memory_cache_bytes;
	u->memory_swap_bytes = g->memory_swap_bytes;
	u->memory_failures = g->memory_failures;
	u->oom_kills = g->oom_kills;
	u->pids = g->pids;
	u->pids_limit = g->pids_limit;
	u->net_rx_bytes = g->net_rx_bytes;
	u->net_tx_bytes = g->net_tx_bytes;
	u->net_rx_packets = g->net_rx_packets;
	u->net_tx_packets = g->net_tx_packets;
}

/* What went through its disks and cards, as the monitor counts it. */
static void take_devices(struct usage *u, const struct monitor_usage *d)
{
	if (d->disks_n) { /* else what its file server reads and writes, which the host knows */
		u->block_read_bytes = d->read_bytes;
		u->block_write_bytes = d->write_bytes;
		u->block_reads = d->reads;
		u->block_writes = d->writes;
	}
	if (d->rx_bytes != UINT64_MAX) {
		u->net_rx_bytes = d->rx_bytes;
		u->net_tx_bytes = d->tx_bytes;
		u->net_rx_packets = d->rx_packets;
		u->net_tx_packets = d->tx_packets;
	}
}

/* Of a container in a pod's machine all are: the machine is another's. */
static void take_all(struct usage *u, const struct usage_fields *g)
{
	*u = (struct usage){ USAGE_FIGURES(g) };
}

/*
 * Processor time is the host's: what the machine costs. Memory and processes are those of the
 * workload, as the guest counts them; of a machine that does not answer, the host's.
 */
static int usage(struct instance *in, struct usage *ret, struct err *)
{
	struct microvm *m = microvm_of_instance(in);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct agent_msg q = agent_msg_of(AGENT_USAGE), answer;
	bool frozen = m->groups && groups_any(m->groups) && groups_frozen(m->groups);
	struct monitor_usage devices;
	struct usage u;
	struct err ignored;

	memset(&u, 0xff, sizeof(u)); /* UINT64_MAX everywhere: unknown */
	if (m->groups)
		groups_usage(m->groups, &u);
	u.memory_host_bytes = u.memory_bytes;
	u.oom_kills = 0;
	if (!runs(m)) {
		u.oom_kills = microvm_ended_oom(m) ? 1 : 0;
	} else if (!frozen) {
		q.id.id = m->id;
		if (agent_request(m->machine_fd, &q, AGENT_USAGE_IS, clock_deadline(USAGE_WITHIN),
				  &a, &answer, &ignored) == 0) {
			if (m->pod_path)
				take_all(&u, &answer.usage);
			else
				take_guests(&u, &answer.usage);
		}
		if (!m->pod_path &&
		    monitor_usage(m, clock_deadline(USAGE_WITHIN), &devices, &ignored) == 0)
			take_devices(&u, &devices);
	}
	if (!m->pod_path)
		u.memory_limit_bytes = m->memory_now;
	u.at = clock_wall();
	*ret = u;
	return 0;
}

static int processes(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);

	if (m->groups && groups_any(m->groups))
		return groups_pids(m->groups, ret_pids, max, ret_n, e);
	if (in->pid && max)
		ret_pids[0] = in->pid;
	*ret_n = in->pid ? 1 : 0;
	return 0;
}

/* What the guest's ps would show; while it is paused nobody there could say. */
static int list(struct instance *in, struct arena *a, struct engine_processes *ret, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct agent_msg q = agent_msg_of(AGENT_PROCESSES), answer;
	struct engine_processes all = {};
	int r;

	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "a paused microvm cannot say what runs in it");
	q.id.id = m->id;
	r = agent_request(m->machine_fd, &q, AGENT_PROCESSES_ARE, clock_deadline(LIST_WITHIN), a,
			  &answer, e);
	if (r < 0)
		return r;
	all.v = arena_array(a, answer.processes.list.n + 1, sizeof(*all.v));
	if (!all.v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < answer.processes.list.n; i++) {
		const struct process_fields *p = &answer.processes.list.v[i];

		all.v[all.n++] = (struct engine_process){ PROCESS_FIGURES(p) };
	}
	*ret = all;
	return 0;
}

static int ask_freeze(struct microvm *m, bool frozen, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct agent_msg q = agent_msg_of(frozen ? AGENT_PAUSE : AGENT_RESUME), answer;

	q.id.id = m->id;
	return agent_request(m->machine_fd, &q, AGENT_OK, clock_deadline(SIGNAL_WITHIN), &a,
			     &answer, e);
}

static int freeze(struct instance *in, bool frozen, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);

	if (m->joins) /* the others of the pod go on */
		return ask_freeze(m, frozen, e);
	if (!m->groups || !groups_any(m->groups))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "pausing needs a cgroup, and this machine has none");
	if (frozen)
		groups_dismiss_kernel_threads(m->groups);
	return groups_freeze(m->groups, frozen, clock_deadline(10 * NSEC_PER_SEC), e);
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
	struct microvm *m = microvm_of_instance(in);

	if (!m->id)
		return;
	groups_free(TAKE(m->groups));
	close_fd(&m->gate_fd);
	close_fd(&m->state_fd);
	close_fd(&m->machine_fd);
	close_fd(&in->pidfd);
	close_fd(&in->console_fd);
	free(TAKE(m->id));
	free(TAKE(m->taken.path));
	free(TAKE(m->pod_path));
	hooked_fini(&m->hooked);
	arena_fini(&m->arena);
}

/* What the machine still knows of it; one that has ended knows nothing. */
static void leave_machine(struct microvm *m)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct agent_msg q = agent_msg_of(AGENT_DELETE), answer;
	struct err e = {};

	q.id.id = m->id;
	if (m->machine_fd >= 0 &&
	    agent_request(m->machine_fd, &q, AGENT_OK, clock_deadline(REMOVE_TIME), &a, &answer,
			  &e) < 0 &&
	    e.kind == ERR_TIMEOUT)
		log_warn("the pod's machine still has container '%s': %s", m->id, e.msg);
}

static void destroy(struct instance *in)
{
	struct microvm *m = microvm_of_instance(in);
	struct err e = {};

	if (!m->id)
		return; /* never created, or destroyed before */
	(void) kill_all(in, clock_deadline(REMOVE_TIME), &e);
	/* Ours or not, reaped before or not; one that hangs in the kernel is not waited for. */
	if (in->pidfd >= 0 && pidfd_poll(in->pidfd, 0) == 1)
		(void) pidfd_reap(in->pidfd, NULL);
	if (m->joins)
		leave_machine(m);
	if (m->groups)
		(void) groups_remove(m->groups, clock_deadline(REMOVE_TIME), &e);
	if (!m->joins && m->machine_fd >= 0) {
		network_return(m);
		(void) unlinkat(m->machine_fd, PROXY_VSOCK, 0);
		(void) unlinkat(m->machine_fd, PROXY_CONTROL, 0);
	}
	if (m->pod_path)
		microvm_pod_leave(m, clock_deadline(LOCK_TIME));
	if (m->hooked.poststop_due &&
	    microvm_hooks(m, SPEC_HOOK_POSTSTOP, "stopped", FD_NONE, &e) < 0)
		log_warn("a poststop hook failed: %s", e.msg);
	forget(in);
}

const struct engine_ops microvm_ops = {
	.name = "microvm",
	.instance_size = sizeof(struct microvm),
	.own_kernel = true,
	.root_disk = true,
	.can_root_upper = microvm_can_root_upper,
	.files = microvm_files,
	.probe = probe,
	.check = microvm_check,
	.create = microvm_create,
	.start = microvm_start,
	.signal = signal_init,
	.signal_all = signal_all,
	.kill = kill_all,
	.usage = usage,
	.why_ended = microvm_why_ended,
	.destroy = destroy,
	.processes = processes,
	.list = list,
	.pause = pause_all,
	.resume = resume,
	.exec = microvm_exec,
	.update = microvm_update,
	.can_snapshot = microvm_can_snapshot,
	.snapshot = microvm_snapshot,
	.restore = microvm_restore,
	.save = microvm_save,
	.load = microvm_load,
	.look = container_look,
	.forget = forget,
};

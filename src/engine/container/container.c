/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's ops that need no child: probe, signals, figures, freezing, the end. */
#include "engine/container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/container/groups.h"
#include "engine/container/hooks.h"
#include "engine/container/members.h"
#include "engine/container/snapshot.h"
#include "engine/host.h"
#include "fmt/spec.h"
#include "sys/pidfd.h"

#define REMOVE_TIME (10 * NSEC_PER_SEC) /* processes that are on their way out of a cgroup */

struct container *container_of_instance(struct instance *in)
{
	assert(in->ops == &container_ops);
	return (struct container *) in; /* its first member */
}

static int probe(const struct host *h, struct engine_caps *ret, struct err *)
{
	struct engine_caps c = { .usable = true,
				 .caps = ENGINE_CAP_EXEC | ENGINE_CAP_UPDATE | ENGINE_CAP_PAUSE |
					 ENGINE_CAP_ROOTLESS };

	if (!host_kernel_at_least(h, 5, 12)) {
		c.usable = false;
		(void) snprintf(c.why, sizeof(c.why), "Linux %s is older than 5.12 (mount_setattr)",
				h->kernel_release);
	}
	if (h->euid != 0 && access("/proc/self/ns/user", F_OK) < 0) {
		c.usable = false;
		(void) snprintf(
			c.why, sizeof(c.why),
			"this kernel has no user namespaces: only root can make containers");
	}
	*ret = c;
	return 0;
}

static int signal_init(struct instance *in, int signo, struct err *e)
{
	int r = pidfd_kill(in->pidfd, signo);

	if (r == -ESRCH)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	return r < 0 ? err_sys(e, -r, "signal %d", signo) : 0;
}

static int kill_all(struct instance *in, nsec_t deadline, struct err *e)
{
	struct container *c = container_of_instance(in);

	/* The init of a pid namespace ends after all that is in it. */
	if (c->own_pids && in->pidfd >= 0 && pidfd_poll(in->pidfd, 0) == 1)
		return 0;
	int r = in->pidfd < 0 ? -ESRCH : pidfd_kill(in->pidfd, SIGKILL);

	if (r < 0 && r != -ESRCH)
		return err_sys(e, -r, "killing the container's init");
	/* With the init of a pid namespace the kernel ends all in it, unless they are frozen. */
	if (c->groups && groups_any(c->groups) && (!c->own_pids || groups_frozen(c->groups))) {
		r = groups_kill(c->groups, deadline, e);
		if (r < 0)
			return r;
	}
	r = in->pidfd < 0 ? 1 : pidfd_poll(in->pidfd, clock_deadline(NSEC_PER_SEC / 10));
	if (r == 0) {
		/* Somebody may have put it into a freezer of theirs. */
		groups_thaw_process(in->pid);
		r = pidfd_poll(in->pidfd, deadline);
	}
	if (r < 0)
		return err_sys(e, -r, "waiting for the container's init to end");
	if (r == 0)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "the container's init does not end (it may hang in the kernel)");
	return 0;
}

/* Sums all interfaces but the loopback, through the init's network namespace. */
static void net_usage(const struct container *c, struct usage *u)
{
	auto_buf struct buf text = BUF_INIT(1 << 18);
	char path[40];
	const char *line;

	u->net_rx_bytes = u->net_rx_packets = u->net_tx_bytes = u->net_tx_packets = UINT64_MAX;
	(void) snprintf(path, sizeof(path), "/proc/%d/net/dev", (int) c->in.pid);
	if (c->in.pid <= 0 || file_read(AT_FDCWD, path, &text) < 0)
		return;
	u->net_rx_bytes = u->net_rx_packets = u->net_tx_bytes = u->net_tx_packets = 0;
	for (line = buf_z(&text); line && *line; line = strchr(line, '\n') + 1) {
		const char *colon = strchr(line, ':'), *end = strchr(line, '\n');
		uint64_t v[10] = {};
		size_t k = 0;

		if (!end)
			break;
		if (!colon || colon > end || strncmp(line + strspn(line, " "), "lo:", 3) == 0)
			continue;
		for (const char *p = colon + 1; p < end && k < ARRAY_SIZE(v); k++) {
			size_t n;

			p += strspn(p, " ");
			n = strcspn(p, " \n");
			if (num_parse_u64((struct str){ p, n }, 0, UINT64_MAX, &v[k]) < 0)
				break;
			p += n;
		}
		u->net_rx_bytes += v[0];
		u->net_rx_packets += v[1];
		u->net_tx_bytes += v[8];
		u->net_tx_packets += v[9];
	}
}

static int usage(struct instance *in, struct usage *ret, struct err *)
{
	struct container *c = container_of_instance(in);
	struct usage u;

	memset(&u, 0xff, sizeof(u)); /* UINT64_MAX everywhere: unknown */
	if (c->groups)
		groups_usage(c->groups, &u);
	net_usage(c, &u);
	u.at = clock_wall();
	*ret = u;
	return 0;
}

static int processes(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	struct container *c = container_of_instance(in);

	if (c->groups && groups_any(c->groups))
		return groups_pids(c->groups, ret_pids, max, ret_n, e);
	if (in->pid)
		return members_of(in->pid, ret_pids, max, ret_n, e);
	*ret_n = 0;
	return 0;
}

static int freeze(struct instance *in, bool frozen, struct err *e)
{
	struct container *c = container_of_instance(in);

	if (!c->groups || !groups_any(c->groups))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "pausing needs a cgroup, and this container has none%s",
			       geteuid() ? " (it must be delegated to the user)" : "");
	return groups_freeze(c->groups, frozen, clock_deadline(10 * NSEC_PER_SEC), e);
}

static int pause_all(struct instance *in, struct err *e)
{
	return freeze(in, true, e);
}

static int resume(struct instance *in, struct err *e)
{
	return freeze(in, false, e);
}

static int update(struct instance *in, const struct spec_resources *r, struct err *e)
{
	struct container *c = container_of_instance(in);
	int res = r->intel_rdt ? rdt_update(&c->rdt, r->intel_rdt, e) : 0;

	if (res < 0)
		return res;
	if (!c->groups || !groups_any(c->groups))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "limits need a cgroup, and this container has none%s",
			       geteuid() ? " (it must be delegated to the user)" : "");
	return groups_update(c->groups, r, e);
}

static void run_poststop(struct container *c)
{
	struct hooks_call call = {
		.kind = SPEC_HOOK_POSTSTOP,
		.head = c->state_head,
		.tail = c->state_tail,
		.status = "stopped",
		.cwd_fd = FD_NONE,
	};

	struct err e = {};
	int output[2];

	if (!c->poststop_due || !c->spec || !c->state_head)
		return;
	c->poststop_due = false;
	if (hooks_open_output(c->spec, output, &e) < 0)
		log_warn("%s", e.msg);
	auto_fd int out = output[0];
	auto_fd int err = output[1];

	call.output = (const int[]){ out, err };
	/* Specification, "poststop": a failure is a warning and the rest still run. */
	for (size_t i = 0; i < c->spec->hooks[SPEC_HOOK_POSTSTOP].n; i++) {
		struct spec_hook_list one = { &c->spec->hooks[SPEC_HOOK_POSTSTOP].v[i], 1 };

		call.list = &one;
		if (hooks_run(&call, &e) < 0)
			log_warn("poststop hook failed with exit code %d, going on: %s", e.sys,
				 e.msg);
	}
}

static void forget(struct instance *in)
{
	struct container *c = container_of_instance(in);

	if (!c->id)
		return;
	groups_free(TAKE(c->groups));
	rdt_fini(&c->rdt);
	hostroot_fini(&c->hostroot);
	close_fd(&c->gate_fd);
	if (c->net_made)
		close_fd(&c->net_fd);
	c->net_made = false;
	close_fd(&in->pidfd);
	close_fd(&in->console_fd);
	free(TAKE(c->id));
	free(TAKE(c->bundle_path));
	free(TAKE(c->config_path));
	free(TAKE(c->note));
	arena_fini(&c->arena);
}

static void destroy(struct instance *in)
{
	struct container *c = container_of_instance(in);
	struct err e = {};

	if (!c->id)
		return; /* never created, or destroyed before */
	(void) kill_all(in, clock_deadline(REMOVE_TIME), &e);
	if (in->pidfd < 0 && c->groups &&
	    groups_any(c->groups)) /* half-created: its pid was never known */
		(void) groups_kill(c->groups, clock_deadline(REMOVE_TIME), &e);
	/* Ours or not, reaped before or not; one that hangs in the kernel is not waited for. */
	if (in->pidfd >= 0 && pidfd_poll(in->pidfd, 0) == 1)
		(void) pidfd_reap(in->pidfd, NULL);
	if (c->groups)
		(void) groups_remove(c->groups, clock_deadline(REMOVE_TIME), &e);
	rdt_remove(&c->rdt);
	hostroot_remove(&c->hostroot);
	run_poststop(c);
	forget(in);
}

const struct engine_ops container_ops = {
	.name = "container",
	.instance_size = sizeof(struct container),
	.probe = probe,
	.check = container_check,
	.prepare = container_prepare,
	.create = container_create,
	.start = container_start,
	.signal = signal_init,
	.kill = kill_all,
	.usage = usage,
	.destroy = destroy,
	.processes = processes,
	.pause = pause_all,
	.resume = resume,
	.exec = container_exec,
	.update = update,
	.can_snapshot = container_can_snapshot,
	.snapshot = container_snapshot,
	.restore = container_restore,
	.save = container_save,
	.load = container_load,
	.look = container_look,
	.forget = forget,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>

#include "base/auto.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/server.h"
#include "engine/sandbox/stack.h"
#include "fmt/spec.h"
#include "sys/ns.h"

#define PROGRAM "atoll-broker"

static int open_namespace(const char *path, struct err *e)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "namespace network at '%.200s'", path);
	if (ns_kind(fd) != CLONE_NEWNET)
		return err_set(e, ERR_INVALID, EINVAL, "'%.200s' is not a network namespace", path);
	return take_fd(&fd);
}

/* Of what the workload can ever have, nothing beyond. */
static bool binds_low_ports(const struct spec *s)
{
	const struct spec_caps *c = s->process->caps;

	return c && c->bounding >> CAP_NET_BIND_SERVICE & 1;
}

static int open_own(void *)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int make_namespace(struct err *e)
{
	int fd = FD_NONE, r = ns_network_visit(FD_NONE, open_own, NULL, &fd);

	r = r < 0 ? r : fd < 0 ? fd : 0;
	return r < 0 ? err_sys(e, -r, "make a network namespace") : fd;
}

int sandbox_network_open(struct sandbox_network *n, const struct spec *s, enum pod_role pod,
			 struct err *e)
{
	const char *path = s->linux_.ns[SPEC_NS_NETWORK].path;
	bool hooked = s->hooks[SPEC_HOOK_PRESTART].n || s->hooks[SPEC_HOOK_CREATE_RUNTIME].n;

	*n = SANDBOX_NETWORK_INIT;
	if (stack_wanted(s, &n->strict, e) < 0)
		return -1;
	if (path)
		n->netns_fd = open_namespace(path, e);
	else if (s->linux_.ns[SPEC_NS_NETWORK].present && (hooked || pod != POD_NONE))
		n->netns_fd = make_namespace(e);
	else {
		n->reached = !s->linux_.ns[SPEC_NS_NETWORK].present;
		return 0;
	}
	n->reached = path || hooked; /* else nobody makes anything of it */
	return n->netns_fd < 0 ? -1 : 0;
}

int sandbox_network_start(struct sandbox_network *n, const struct spec *s, const struct groups *g,
			  int log_fd, int *ret_sock, int *ret_pidfd, struct err *e)
{
	char sock[16];
	char *words[] = { (char[]){ PROGRAM },
			  (char[]){ "--socket" },
			  sock,
			  (char[]){ "--privileged-ports" },
			  binds_low_ports(s) ? (char[]){ "allow" } : (char[]){ "deny" },
			  NULL };
	int fds[1];
	pid_t pid;
	const struct server how = { .program = PROGRAM,
				    .words = words,
				    .fds = fds,
				    .fds_n = 1,
				    .netns_fd = n->netns_fd,
				    .log_fd = log_fd };

	if (!n->reached)
		return 0;
	if (n->strict)
		return server_pair(ret_sock, &n->stack_fd, e);
	(void) snprintf(sock, sizeof(sock), "fd:%d", SERVER_SOCKET);
	return server_start(&how, g, ret_sock, &pid, ret_pidfd, e);
}

int sandbox_network_plug(struct sandbox_network *n, struct sandbox *s, int log_fd, struct err *e)
{
	int r;

	if (n->stack_fd < 0)
		return 0;
	r = stack_plug(s, n->netns_fd, n->stack_fd, binds_low_ports(s->spec), log_fd, e);
	close_fd(&n->stack_fd);
	return r;
}

void sandbox_network_close(struct sandbox_network *n)
{
	close_fd(&n->stack_fd);
	close_fd(&n->netns_fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>

#include "base/auto.h"
#include "engine/sandbox/server.h"
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

int network_start(const struct spec *s, const struct groups *g, int log_fd, int *ret_sock,
		  int *ret_pidfd, struct err *e)
{
	bool present = s->linux_.ns[SPEC_NS_NETWORK].present;
	const char *path = s->linux_.ns[SPEC_NS_NETWORK].path;
	auto_fd int ns = path ? open_namespace(path, e) : FD_NONE;
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
				    .netns_fd = ns,
				    .log_fd = log_fd };

	if (path && ns < 0)
		return ns;
	if (present && !path)
		return 0;
	(void) snprintf(sock, sizeof(sock), "fd:%d", SERVER_SOCKET);
	return server_start(&how, g, ret_sock, &pid, ret_pidfd, e);
}

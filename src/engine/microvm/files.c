/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's files as a file system of the host: FUSE, whose server is the guest's agent. A child
 * of the caller's carries requests and answers between /dev/fuse and the agent's connection
 * (carrier.h). It has no rights; what the answers say the kernel takes as it takes any ordinary
 * user's, and none that it has not asked for gets to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/microvm/agent.h"
#include "engine/microvm/carrier.h"
#include "engine/microvm/microvm.h"
#include "sys/caps.h"
#include "sys/enclose.h"
#include "sys/mount.h"
#include "sys/ns.h"

static void carry(int fuse, int sock, uint8_t *p)
{
	if (carrier_run(fuse, sock, p) < 0)
		return;
	/* The agent hangs up when all is on the disk. */
	(void) shutdown(sock, SHUT_WR);
	while (recv(sock, p, CARRIER_MEMORY, 0) > 0)
		;
}

[[gnu::noreturn]] static void child(int fuse, int sock, uint8_t *memory, pid_t parent)
{
	static const int deaf[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	const int keep[] = { fuse, sock };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct caps none = {};
	struct err e;
	int root = 0;

	/* The terminal's signals are the parent's, which closes in order. */
	for (size_t i = 0; i < ARRAY_SIZE(deaf); i++)
		(void) sigaction(deaf[i], &ignore, NULL);
	if (caps_effective(CAP_SYS_ADMIN))
		root = unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0 ? -1
									      : enclose_root(&e);
	enclose_fds(0, keep, ARRAY_SIZE(keep));
	if (root < 0 || caps_set(&none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	carry(fuse, sock, memory);
	_exit(0);
}

static int mount_it(int fuse, int *ret_fd, struct err *e)
{
	char number[16], why[MOUNT_WHY_MAX];
	/* Who may do what is decided here, by the owners and modes that the guest tells; the
	 * unpacker is another user than the one that mounts. */
	const struct mount_option o[] = {
		{ .key = "source", .value = "atoll" },	 { .key = "fd", .value = number },
		{ .key = "rootmode", .value = "40000" }, { .key = "user_id", .value = "0" },
		{ .key = "group_id", .value = "0" },	 { .key = "allow_other" },
		{ .key = "default_permissions" },
	};
	int fd;

	(void) snprintf(number, sizeof(number), "%d", fuse);
	fd = mount_new("fuse", o, ARRAY_SIZE(o),
		       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, why);
	if (fd < 0)
		return err_sys(e, -fd, "mount the machine's files%s%s", *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
}

/* The first look also waits for the guest to answer. */
static int open_parts(struct engine_files *f, struct err *e)
{
	static const char *const names[] = { "layers", "upper", "root" };
	int *const fds[] = { &f->layers_fd, &f->upper_fd, &f->root_fd };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		*fds[i] = openat(f->top_fd, names[i],
				 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fds[i] < 0) {
			*fds[i] = FD_NONE;
			if (errno == ENOENT && fds[i] == &f->root_fd)
				break;
			return err_sys(e, errno, "look at the machine's '%s'", names[i]);
		}
	}
	return 0;
}

static int connect_files(struct microvm *m, bool hold, nsec_t deadline, int *ret_sock,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 16);
	struct agent_msg q = agent_msg_of(AGENT_FILES);
	auto_fd int sock = FD_NONE;
	int r;

	q.files.id = m->id;
	q.files.hold = hold;
	r = agent_open(m->machine_fd, &q, deadline, &a, &sock, e);
	if (r == 0 && fcntl(sock, F_SETFL, O_RDWR) < 0)
		r = err_sys(e, errno, "the connection to the machine");
	if (r == 0)
		*ret_sock = take_fd(&sock);
	return r;
}

int microvm_files(struct instance *in, bool hold, nsec_t deadline, struct engine_files *ret,
		  struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct engine_files f = ENGINE_FILES_INIT;
	auto_fd int fuse = FD_NONE, sock = FD_NONE;
	auto_free uint8_t *memory = malloc(CARRIER_MEMORY);
	pid_t parent = getpid();
	int r;

	if (!memory)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (!m->own_disk)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "this machine's files are the host's");
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		return err_sys(e, errno, "open /dev/fuse, by which a machine's files are seen");
	r = connect_files(m, hold, deadline, &sock, e);
	if (r < 0)
		return r;
	/* Before there is who serves it: nothing can be read of a device that has no mount. */
	r = mount_it(fuse, &f.top_fd, e);
	if (r < 0)
		return r;
	f.pid = ns_clone(0, FD_NONE, &f.pidfd);
	if (f.pid < 0) {
		close_fd(&f.top_fd);
		return err_sys(e, -f.pid, "a process for the machine's files");
	}
	if (f.pid == 0)
		child(fuse, sock, memory, parent);
	close_fd(&sock);
	close_fd(&fuse); /* the child's is the last: with it the file system ends */
	r = open_parts(&f, e);
	if (r < 0)
		engine_files_close(&f);
	else
		*ret = f;
	return r;
}

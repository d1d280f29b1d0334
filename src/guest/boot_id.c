/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/boot_id.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "sys/mount.h"

#define NAME "boot_id" /* in the agent's directory */
#define PATH "/proc/sys/kernel/random/boot_id"

/* Random, as the kernel writes it (RFC 4122, 4.4). */
static int make_file(int run_fd)
{
	unsigned char b[16];
	char text[40];
	auto_fd int fd = FD_NONE;
	size_t n = 0;

	if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b))
		return -errno;
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < sizeof(b); i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	text[n++] = '\n';
	/* Another file each time: the last one may be mounted. */
	if (unlinkat(run_fd, NAME, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(run_fd, NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : fd_write_all(fd, text, n);
}

/* In the container's mount namespace, whose paths are the workload's: they lead nowhere else. */
static int cover(int mount)
{
	auto_fd int fd = FD_NONE;
	struct statfs fs;
	int r;

	for (;;) {
		close_fd(&fd);
		fd = open(PATH, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
		if (fstatfs(fd, &fs) < 0)
			return -errno;
		if (fs.f_type == PROC_SUPER_MAGIC)
			return mount_attach(mount, fd, "");
		r = mount_detach(PATH); /* that of the machine this one was made of */
		if (r < 0)
			return r == -EINVAL ? 0 : r; /* no mount: whatever it is, it is no /proc */
	}
}

static int cover_inside(int mount, int ns)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(setns(ns, CLONE_NEWNS) < 0 ? errno : -cover(mount));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int boot_id_renew(int run_fd, pid_t init, struct err *e)
{
	const struct mount_change guarded = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						     MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	auto_fd int mount = FD_NONE, ns = FD_NONE;
	char path[64];
	int r = make_file(run_fd);

	r = r < 0 ? r : (mount = mount_clone(run_fd, NAME, false));
	r = r < 0 ? r : mount_change(mount, "", false, &guarded);
	(void) snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int) init);
	ns = r < 0 ? FD_NONE : open(path, O_RDONLY | O_CLOEXEC);
	if (r >= 0)
		r = ns < 0 ? -errno : cover_inside(mount, ns);
	return r < 0 ? err_sys(e, -r, "give the container a boot_id of its own") : 0;
}

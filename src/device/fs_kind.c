/* SPDX-License-Identifier: Apache-2.0 */
/* atoll-device fs and gofer: the options of src/device/fs.h's device and of fs_door.h's server, and
 * the walls around their shares. */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "device/fs.h"
#include "device/fs_door.h"
#include "device/kind.h"
#include "sys/mount.h"

#define FDS_MAX	     65536 /* device/confine.c raises the limit to this at most */
#define FDS_RESERVED 128   /* the transport's, and one of each kind in passing */
#define FDS_MIN	     64
#define CAP(name)    (UINT64_C(1) << CAP_##name)

static const struct seccomp_rule calls[] = {
	/* names */
	FILTER_CALL(openat),
	FILTER_CALL(mkdirat),
	FILTER_CALL(mknodat),
	FILTER_CALL(symlinkat),
	FILTER_CALL(linkat),
	FILTER_CALL(unlinkat),
	FILTER_CALL(renameat2),
#ifdef SYS_renameat
	FILTER_CALL(renameat), /* as the C library does renameat2 without flags */
#endif
	FILTER_CALL(readlinkat),
	FILTER_CALL(getdents64),
	FILTER_CALL(fchdir),
	/* attributes */
	FILTER_CALL(statx),
	FILTER_CALL(fstatfs),
	FILTER_CALL(fchmodat),
	FILTER_CALL(fchownat),
	FILTER_CALL(utimensat),
	FILTER_CALL(setxattr),
	FILTER_CALL(getxattr),
	FILTER_CALL(listxattr),
	FILTER_CALL(removexattr),
	/* bytes */
	FILTER_CALL(preadv),
	FILTER_CALL(pwritev),
	FILTER_CALL(pwritev2),
	FILTER_CALL(lseek),
	FILTER_CALL(ftruncate),
	FILTER_CALL(fallocate),
	FILTER_CALL(copy_file_range),
	FILTER_CALL(fsync),
	FILTER_CALL(fdatasync),
	FILTER_CALL(syncfs),
	/* who asks for other shares */
	FILTER_CALL(accept4),
	/* on whose behalf */
	FILTER_CALL(setfsuid),
	FILTER_CALL(setfsgid),
	FILTER_CALL(umask),
	FILTER_CALL(capget),
	FILTER_CALL(capset),
};

/*
 * A clone of the share's mounts instead of the share: ".." ends at its top, devices do not open,
 * and one to be read only is so for the kernel too. Of what is in another mount namespace, or for
 * an ordinary user, no clone can be had: the server's own care remains.
 */
static int confine_share(const struct fs_share *s, struct err *e)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
		       (s->read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
		.userns_fd = FD_NONE,
	};
	auto_fd int clone = mount_clone(s->fd, "", true);
	int r;

	if (clone < 0)
		return 0;
	r = mount_change(clone, "", true, &change);
	if (r < 0)
		return err_sys(e, -r, "confine the share '%s'", s->name);
	/* In the place of what was given, which is not kept. */
	return dup3(clone, s->fd, O_CLOEXEC) < 0 ? err_sys(e, errno, "keep the share '%s'", s->name)
						 : 0;
}

/* What follows the descriptor: "ro,copy", or less. */
static int parse_share_options(struct str options, const char *value, struct fs_share *ret_share,
			       struct err *e)
{
	while (options.p) {
		struct str option = str_cut(options, ',', &options);

		if (str_is(option, "ro"))
			ret_share->read_only = true;
		else if (str_is(option, "copy"))
			ret_share->copied = true;
		else
			return err_set(e, ERR_INVALID, EINVAL,
				       "--share %s: only ,ro and ,copy may follow", value);
	}
	return 0;
}

/* "NAME=fd:N[,ro][,copy]"; the name is allocated. */
static int parse_share(struct device_run *run, const char *value, struct fs_share *ret_share,
		       struct err *e)
{
	struct str options, fd, name = str_cut(str_of(value), '=', &fd);
	auto_free char *fd_text = NULL;
	struct stat st;

	if (!fd.p || name.n == 0 || name.n > NAME_MAX || memchr(name.p, '/', name.n) ||
	    str_is(name, ".") || str_is(name, ".."))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--share %s: NAME=fd:N[,ro][,copy] is needed", value);
	fd = str_cut(fd, ',', &options);
	if (parse_share_options(options, value, ret_share, e) < 0)
		return -EINVAL;
	fd_text = str_dup(fd);
	ret_share->name = str_dup(name);
	if (!fd_text || !ret_share->name)
		return err_sys(e, ENOMEM, "--share %s", value);
	if (device_fd(run, fd_text, &ret_share->fd, e) < 0)
		return -EINVAL;
	if (fstat(ret_share->fd, &st) < 0 || S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "--share %s: no file or directory", value);
	return confine_share(ret_share, e);
}

/* tag, control NULL: there are no such options. */
static int parse(struct device_run *run, const char **tag, int *control, struct fs_share *shares,
		 size_t *n, struct err *e)
{
	for (size_t i = 0; i < run->words_n; i++) {
		const struct device_word *w = &run->words[i];

		if (tag && streq(w->name, "tag")) {
			*tag = w->value;
		} else if (control && streq(w->name, "control")) {
			if (device_fd(run, w->value, control, e) < 0)
				return -EINVAL;
		} else if (streq(w->name, "share")) {
			if (parse_share(run, w->value, &shares[(*n)++], e) < 0)
				return -EINVAL;
		} else {
			(void) device_unknown(w, e);
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < *n; i++)
		for (size_t j = 0; j < i; j++)
			if (streq(shares[i].name, shares[j].name))
				return err_set(e, ERR_INVALID, EEXIST, "two shares are named '%s'",
					       shares[i].name);
	return 0;
}

static size_t fds_max(void)
{
	struct rlimit l = { .rlim_max = FDS_MAX };

	(void) getrlimit(RLIMIT_NOFILE, &l); /* it exists */
	if (l.rlim_max > FDS_MAX)
		l.rlim_max = FDS_MAX;
	return l.rlim_max < FDS_RESERVED + FDS_MIN ? FDS_MIN : (size_t) l.rlim_max - FDS_RESERVED;
}

/* The options, and /proc/self/fd, which stays open, too. */
static int prepare(struct device_run *run, const char **tag, int *control, struct fs_share *shares,
		   size_t *n, struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int proc = FD_NONE;

	(void) sigaction(SIGXFSZ, &ignore, NULL); /* EFBIG instead, for the guest */
	if (parse(run, tag, control, shares, n, e) == 0)
		proc = fs_session_proc(e);
	if (proc >= 0 && run->keep_n == DEVICE_WORDS_MAX) {
		close_fd(&proc);
		(void) err_set(e, ERR_INVALID, E2BIG, "too many descriptors");
	}
	if (proc >= 0)
		run->keep[run->keep_n++] = proc;
	return proc;
}

static void free_names(struct fs_share *shares, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((char *) (uintptr_t) shares[i].name);
}

static struct virtio_device *make(struct device_run *run, struct err *e)
{
	struct fs_share shares[DEVICE_WORDS_MAX] = {};
	struct virtio_device *d = NULL;
	const char *tag = "atoll";
	int control = FD_NONE, proc;
	size_t n = 0;

	proc = prepare(run, &tag, &control, shares, &n, e);
	if (proc >= 0)
		d = fs_new(&run->loop, run->memory, tag, proc, shares, n, fds_max(), e);
	free_names(shares, n);
	if (d && control >= 0 && fs_control(d, control, e) < 0) {
		d->ops->free(d);
		return NULL;
	}
	return d;
}

#define CAPABILITIES                                                                               \
	(CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(SETUID) | CAP(SETGID) |  \
	 CAP(MKNOD) | CAP(SETFCAP))

const struct device_kind device_fs = {
	.name = "fs",
	.usage = "[--tag TAG] [--share NAME=fd:N[,ro][,copy]]... [--control fd:N]",
	.capabilities = CAPABILITIES,
	.calls = calls,
	.calls_n = ARRAY_SIZE(calls),
	.threads = true,
	.make = make,
	.run = fs_run,
};

/* ---- without a device ---- */

static struct fs_door *door;

static int begin_door(struct device_run *run, int socket, struct err *e)
{
	struct fs_share shares[DEVICE_WORDS_MAX] = {};
	size_t n = 0;
	int proc = prepare(run, NULL, NULL, shares, &n, e);

	if (proc >= 0)
		door = fs_door_new(&run->loop, socket, proc, shares, n, fds_max(), e);
	free_names(shares, n);
	return door ? 0 : -EINVAL;
}

static int serve_door(void (*abandon)(void), struct err *e)
{
	return fs_door_run(door, abandon, e);
}

static void end_door(void)
{
	fs_door_free(door);
}

const struct device_kind device_gofer = {
	.name = "gofer",
	.usage = "[--share NAME=fd:N[,ro]]...",
	.capabilities = CAPABILITIES,
	.calls = calls,
	.calls_n = ARRAY_SIZE(calls),
	.threads = true,
	.begin = begin_door,
	.serve = serve_door,
	.end = end_door,
};

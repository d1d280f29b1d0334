/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/kernel.h"
#include "sys/pidfd.h"
#include "sys/process.h"
#include "sys/self.h"
#include "sys/spawn.h"

#define PROGRAM	  "atoll-kernel"
#define AGENT	  "atoll-agent"
#define SAID_MAX  4096
#define STDERR_IN 2

void kernel_files_fini(struct kernel_files *f)
{
	close_fd(&f->vmlinux_fd);
	close_fd(&f->initramfs_fd);
}

static int open_intact(int dirfd, const char *name, const struct prepared_file *f)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !prepared_intact(f, &st))
		return -ESTALE;
	return take_fd(&fd);
}

/* By the directory's name. false: not there, or not known to be good since the last boot. */
static bool open_prepared(int kernels_fd, const char *hex, struct kernel_files *ret)
{
	auto_fd int dirfd = openat(kernels_fd, hex, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(PREPARED_RECORD_MAX);
	struct kernel_files f = KERNEL_FILES_INIT;
	char boot[PROCESS_BOOT_ID_MAX];

	if (dirfd < 0 || file_read(dirfd, PREPARED_RECORD, &text) < 0 ||
	    prepared_read(buf_str(&text), &f.record) < 0 || process_boot_id(boot) < 0 ||
	    !streq(boot, f.record.boot))
		return false;
	f.vmlinux_fd = open_intact(dirfd, PREPARED_VMLINUX, &f.record.vmlinux);
	f.initramfs_fd = open_intact(dirfd, PREPARED_INITRAMFS, &f.record.initramfs);
	if (f.vmlinux_fd < 0 || f.initramfs_fd < 0) {
		kernel_files_fini(&f);
		return false;
	}
	(void) snprintf(f.hex, sizeof(f.hex), "%s", hex);
	*ret = f;
	return true;
}

struct inputs {
	int kernel_fd, agent_fd; /* owned */
	bool stamped;		 /* there is a name to look it up by */
	char stamp[PREPARED_STAMP_MAX];
};

static void inputs_fini(struct inputs *in)
{
	close_fd(&in->kernel_fd);
	close_fd(&in->agent_fd);
}

static int open_inputs(const struct kernel *k, struct inputs *in, struct err *e)
{
	char agent[PATH_MAX], list[2 * PREPARED_PATH_MAX];
	struct stat kernel_stat, agent_stat, list_stat;

	in->kernel_fd = kernel_open(k->path, e);
	if (in->kernel_fd < 0)
		return in->kernel_fd;
	if (fstat(in->kernel_fd, &kernel_stat) < 0)
		return err_sys(e, errno, "kernel '%s'", k->path);
	if (self_sibling(AGENT, agent) < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       AGENT
			       " is not where this program is: the installation is incomplete");
	in->agent_fd = open(agent, O_RDONLY | O_CLOEXEC);
	if (in->agent_fd < 0 || fstat(in->agent_fd, &agent_stat) < 0)
		return err_sys(e, errno, "open '%s'", agent);
	(void) snprintf(list, sizeof(list), "%s/%s/modules.dep", k->modules, k->version);
	in->stamped = k->version[0] && stat(list, &list_stat) == 0 &&
		      prepared_stamp(&kernel_stat, &agent_stat, &list_stat, in->stamp);
	return 0;
}

static bool look_up(int kernels_fd, const struct inputs *in, struct kernel_files *ret)
{
	char hex[DIGEST_HEX_MAX];
	struct digest d;

	if (!in->stamped)
		return false;
	ssize_t n = readlinkat(kernels_fd, in->stamp, hex, sizeof(hex));
	if (n != DIGEST_HEX_LEN || digest_parse_hex((struct str){ hex, (size_t) n }, &d) < 0)
		return false;
	hex[n] = '\0';
	return open_prepared(kernels_fd, hex, ret);
}

bool kernel_prepared(int kernels_fd, const struct kernel *k, struct kernel_files *ret)
{
	__attribute__((cleanup(inputs_fini))) struct inputs in = { FD_NONE, FD_NONE, false, "" };
	struct err e;

	return open_inputs(k, &in, &e) == 0 && look_up(kernels_fd, &in, ret);
}

static void read_said(int fd, struct buf *ret)
{
	ret->n = 0;
	if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, ret) < 0)
		buf_clear(ret);
}

/* 0: it ended well. Its own words are the error else. */
static int wait_for(int pidfd, int said_fd, nsec_t deadline, struct err *e)
{
	auto_buf struct buf said = BUF_INIT(SAID_MAX);
	siginfo_t info;
	int r = pidfd_reap_by(pidfd, deadline, &info);

	if (r < 0)
		return err_sys(e, -r, "wait for " PROGRAM);
	if (r == 0)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       PROGRAM " did not prepare the kernel in time");
	if (pidfd_status(&info) == 0)
		return 0;
	read_said(said_fd, &said);
	struct str text = str_trim(buf_str(&said));
	if (!text.n)
		return err_set(e, ERR_INTERNAL, 0, PROGRAM " ended with status %d without a word",
			       pidfd_status(&info));
	return err_set(e, ERR_UNSUPPORTED, 0, "%.*s", (int) text.n, text.p);
}

static int run(int kernels_fd, const struct kernel *k, const struct inputs *in, nsec_t deadline,
	       char ret_hex[static DIGEST_HEX_MAX], struct err *e)
{
	char program[PATH_MAX], path[PREPARED_PATH_MAX], modules[PREPARED_PATH_MAX];
	char name[] = PROGRAM, verb[] = "prepare", cache[] = "--cache", cache_at[] = "fd:5",
	     kernel[] = "--kernel", kernel_at[] = "fd:3", agent[] = "--agent", agent_at[] = "fd:4",
	     shown[] = "--name", below[] = "--modules";
	char *argv[] = { name,	  verb,	 kernel,   kernel_at, shown,	path, below,
			 modules, agent, agent_at, cache,     cache_at, NULL };
	const int fds[] = { in->kernel_fd, in->agent_fd, kernels_fd };
	auto_fd int out = memfd_create(PROGRAM, MFD_CLOEXEC),
		    said = memfd_create(PROGRAM, MFD_CLOEXEC);
	auto_fd int pidfd = FD_NONE;
	auto_buf struct buf answer = BUF_INIT(SAID_MAX);
	struct spawn s = SPAWN_INIT;
	struct digest d;
	pid_t pid;

	if (out < 0 || said < 0)
		return err_sys(e, errno, "make room for the words of " PROGRAM);
	if (self_sibling(PROGRAM, program) < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       PROGRAM
			       " is not where this program is: the installation is incomplete");
	memcpy(path, k->path, sizeof(path));
	memcpy(modules, k->modules, sizeof(modules));
	s.path = program;
	s.argv = argv;
	s.stdio[1] = out;
	s.stdio[STDERR_IN] = said;
	s.fds = fds;
	s.fds_n = ARRAY_SIZE(fds);
	s.death_signal = SIGKILL;
	int r = spawn_process(&s, &pid, &pidfd);
	if (r < 0)
		return err_sys(e, -r, "start '%s'", program);
	r = wait_for(pidfd, said, deadline, e);
	if (r < 0)
		return r;
	read_said(out, &answer);
	struct str hex = str_trim(buf_str(&answer));
	if (digest_parse_hex(hex, &d) < 0)
		return err_set(e, ERR_INTERNAL, EPROTO, PROGRAM " answered nonsense");
	(void) snprintf(ret_hex, DIGEST_HEX_MAX, "%.*s", (int) hex.n, hex.p);
	return 0;
}

int kernel_prepare(int kernels_fd, const struct kernel *k, nsec_t deadline,
		   struct kernel_files *ret, struct err *e)
{
	__attribute__((cleanup(inputs_fini))) struct inputs in = { FD_NONE, FD_NONE, false, "" };
	char hex[DIGEST_HEX_MAX];
	int r = open_inputs(k, &in, e);

	if (r < 0 || look_up(kernels_fd, &in, ret))
		return r;
	r = run(kernels_fd, k, &in, deadline, hex, e);
	if (r < 0)
		return r;
	if (!open_prepared(kernels_fd, hex, ret))
		return err_set(e, ERR_CONFLICT, ESTALE,
			       "the prepared kernel was removed meanwhile: try again");
	return 0;
}

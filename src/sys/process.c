/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"

#define PF_KTHREAD  0x00200000 /* linux/sched.h; /proc/PID/stat shows it */
#define PIDFS_MAGIC 0x50494446 /* linux/magic.h: PID_FS_MAGIC, Linux 6.9 */

/* From 3 on; the second field of /proc/PID/stat is a name in brackets that may hold anything. */
enum { FIELD_FLAGS = 9, FIELD_START = 22 };

static int number_in_stat(pid_t pid, int which, uint64_t *ret_v)
{
	char path[32], text[1024];

	(void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 && errno != ENOENT ? -errno : -ESRCH;
	text[n] = '\0';
	const char *bracket = strrchr(text, ')');
	if (!bracket)
		return -EIO;
	struct str field, rest = str_of(bracket + 2);
	for (int i = 3; i <= which; i++)
		field = str_cut(rest, ' ', &rest);
	return num_parse_u64(field, 0, UINT64_MAX, ret_v);
}

bool process_is_kernels(pid_t pid)
{
	uint64_t flags;

	return number_in_stat(pid, FIELD_FLAGS, &flags) == 0 && (flags & PF_KTHREAD);
}

int process_ident_fd(int fd, pid_t pid, uint64_t *ret_ident, enum process_kind *kind)
{
	struct statfs fs;
	struct stat st;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (poll(&p, 1, 0) < 0)
		return -errno;
	bool runs = p.revents == 0;
	/* Before pidfs all pidfds share one anonymous inode. */
	if (*kind == PROCESS_KIND_UNKNOWN)
		*kind = fstatfs(fd, &fs) == 0 && fs.f_type == PIDFS_MAGIC ? PROCESS_KIND_PIDFS
									  : PROCESS_KIND_TICKS;
	if (*kind == PROCESS_KIND_PIDFS && fstat(fd, &st) == 0) {
		*ret_ident = st.st_ino;
		return runs;
	}
	int r = number_in_stat(pid, FIELD_START, ret_ident);
	return r < 0 ? r : runs;
}

static int look(pid_t pid, uint64_t *ret_ident, enum process_kind *kind)
{
	auto_fd int fd = (int) syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : process_ident_fd(fd, pid, ret_ident, kind);
}

int process_ident(pid_t pid, uint64_t *ret_ident)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	uint64_t ident;
	int r = look(pid ? pid : getpid(), &ident, &kind);

	if (r < 0)
		return r;
	if (r == 0)
		return -ESRCH;
	*ret_ident = ident;
	return 0;
}

int process_find(pid_t pid, uint64_t ident)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	auto_fd int fd = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : FD_NONE;
	uint64_t now;

	if (fd < 0 || process_ident_fd(fd, pid, &now, &kind) != 1 || now != ident)
		return FD_NONE;
	return take_fd(&fd);
}

bool process_alive_next(pid_t pid, uint64_t ident, enum process_kind *kind)
{
	uint64_t now;

	return pid > 0 && look(pid, &now, kind) > 0 && now == ident;
}

bool process_alive(pid_t pid, uint64_t ident)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;

	return process_alive_next(pid, ident, &kind);
}

bool process_pid_runs(pid_t pid)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	uint64_t ident;

	if (pid <= 0)
		return false;
	/* Moving no pages only looks for the process's memory, which a zombie has no more. */
	if (syscall(SYS_move_pages, pid, 0L, NULL, NULL, NULL, 0) == 0)
		return true;
	/* No such process, no memory. Else: not built into this kernel, or not allowed. */
	return errno != ESRCH && errno != EINVAL && look(pid, &ident, &kind) > 0;
}

int process_boot_id(char ret_id[static PROCESS_BOOT_ID_MAX])
{
	auto_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[PROCESS_BOOT_ID_MAX];

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	if (n != sizeof(text) - 1)
		return -EIO;
	text[n] = '\0';
	memcpy(ret_id, text, sizeof(text));
	return 0;
}

/* Field n of /proc/self/stat, from the third on. */
static uint64_t stat_field(struct str text, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 3; i <= n; i++) {
		struct str word = str_cut(text, ' ', &text);

		if (i == n && num_parse_u64(word, 0, UINT64_MAX, &v) < 0)
			return 0;
	}
	return v;
}

void process_retitle(const char *title)
{
	auto_fd int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	const char *name_end;
	uint64_t from, to;
	char text[2048];
	ssize_t got;
	size_t n;

	(void) prctl(PR_SET_NAME, title);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return;
	text[got] = '\0';
	name_end = strrchr(text, ')');
	if (!name_end || name_end[1] != ' ')
		return;
	/* Where the kernel says that the arguments are, in our own memory: proc(5), 48 and 49. */
	from = stat_field(str_of(name_end + 2), 48);
	to = stat_field(str_of(name_end + 2), 49);
	if (!from || to <= from)
		return;
	memset((void *) (uintptr_t) from, 0, to - from);
	n = strlen(title);
	memcpy((void *) (uintptr_t) from, title, n < to - from ? n : to - from - 1);
}

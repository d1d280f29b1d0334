/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the processes in a container's control groups: list, freeze, signal, kill. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/groups_limits.h"
#include "sys/process.h"

/* Signalling goes by lists of at most so many processes. */
#define SWEEP_MAX 65536
/* Processes among which threads of the kernel are looked for: those of a machine. */
#define DISMISS_MAX 256

/* The place whose list of processes counts: the one a process can leave least easily. */
static const struct groups_place *census(const struct groups *g)
{
	const struct groups_place *p = groups_unified(g);

	if (!p)
		p = groups_place_of(g, CGROUP_FREEZER);
	if (!p)
		p = groups_place_of(g, CGROUP_PIDS);
	for (size_t i = 0; !p && i < g->n; i++) {
		if (g->at[i].dir_fd >= 0)
			p = &g->at[i];
	}
	return p;
}

static const struct groups_place *freezer(const struct groups *g)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_FREEZER);

	return p ? p : groups_unified(g);
}

void groups_await(pid_t pid, nsec_t *wait, nsec_t deadline)
{
	auto_fd int fd = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : FD_NONE;

	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int ms = clock_poll_ms(deadline);

		/* It may have left the group without ending: look again now and then. */
		(void) poll(&p, 1, ms < 0 || ms > 100 ? 100 : ms);
		return;
	}
	struct timespec t = { .tv_nsec = *wait };

	(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	if (*wait < 5 * NSEC_PER_MSEC)
		*wait *= 2;
}

int groups_pids(const struct groups *g, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	const struct groups_place *p = census(g);

	if (!p)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the container has no cgroup: its processes are not known");
	int r = cgroup_pids(p->dir_fd, true, ret_pids, max, ret_n);

	return r < 0 ? err_sys(e, -r, "list the processes of /sys/fs/cgroup/%s/%s", p->dir, p->path)
		     : 0;
}

void groups_dismiss_kernel_threads(const struct groups *g)
{
	const struct groups_place *p = groups_unified(g);
	pid_t pids[DISMISS_MAX];
	size_t n = 0;

	if (!p || cgroup_pids(p->dir_fd, true, pids, ARRAY_SIZE(pids), &n) < 0)
		return;
	for (size_t i = 0; i < n && i < ARRAY_SIZE(pids); i++) {
		if (!process_is_kernels(pids[i]))
			continue;
		for (size_t k = 0; k < g->layout.n; k++) {
			/* Without the right to it the freezing says what it comes to. */
			if (g->layout.at[k].unified)
				(void) cgroup_write_u64(g->layout.at[k].root_fd, "cgroup.procs",
							(uint64_t) pids[i]);
		}
	}
}

/* State R of any of its threads: what waits for a processor, or has one. */
static bool process_runs(pid_t pid)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
	auto_dir DIR *tasks = dir_open(AT_FDCWD, path);

	for (struct dirent *de; tasks && (de = dir_next(tasks));) {
		auto_buf struct buf text = BUF_INIT(4096);
		char file[64];
		const char *name_end;

		(void) snprintf(file, sizeof(file), "%.16s/stat", de->d_name);
		if (file_read(dirfd(tasks), file, &text) < 0)
			continue; /* it has ended */
		name_end = strrchr(buf_z(&text), ')');
		if (name_end && strncmp(name_end, ") R", 3) == 0)
			return true;
	}
	return false;
}

static int any_runs(const struct groups *g, bool *ret, struct err *e)
{
	auto_free pid_t *pids = calloc(SWEEP_MAX, sizeof(*pids));
	size_t n = 0;
	int r = pids ? groups_pids(g, pids, SWEEP_MAX, &n, e)
		     : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	*ret = n > SWEEP_MAX;
	for (size_t i = 0; r == 0 && !*ret && i < n; i++)
		*ret = process_runs(pids[i]);
	return r;
}

int groups_hold(const struct groups *g, nsec_t deadline, struct err *e)
{
	const struct groups_place *p = freezer(g);
	bool runs = true;

	if (!p)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the container has no cgroup that can freeze it");
	for (nsec_t wait = NSEC_PER_MSEC;;) {
		int r = cgroup_freeze(p->dir_fd, p->unified, true, clock_mono());

		if (r == 0)
			return 0;
		if (r != -ETIMEDOUT)
			return err_sys(e, -r, "freeze /sys/fs/cgroup/%s/%s", p->dir, p->path);
		r = any_runs(g, &runs, e);
		if (r < 0 || !runs)
			return r;
		if (clock_mono() >= deadline)
			break;
		groups_await(0, &wait, deadline);
	}
	(void) cgroup_freeze(p->dir_fd, p->unified, false, clock_mono());
	return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "freeze /sys/fs/cgroup/%s/%s: not done in time",
		       p->dir, p->path);
}

int groups_freeze(const struct groups *g, bool frozen, nsec_t deadline, struct err *e)
{
	const struct groups_place *p = freezer(g);

	if (!p)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the container has no cgroup that can freeze it");
	int r = cgroup_freeze(p->dir_fd, p->unified, frozen, deadline);

	if (r < 0 && frozen) /* never leave it half-frozen */
		(void) cgroup_freeze(p->dir_fd, p->unified, false, clock_mono());
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "%s /sys/fs/cgroup/%s/%s: not done in time",
			       frozen ? "freeze" : "thaw", p->dir, p->path);
	return r < 0 ? err_sys(e, -r, "%s /sys/fs/cgroup/%s/%s", frozen ? "freeze" : "thaw", p->dir,
			       p->path)
		     : 0;
}

bool groups_frozen(const struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct groups_place *p = &g->at[i];

		if (p->dir_fd >= 0 && (p->unified || (p->controllers & CGROUP_FREEZER)) &&
		    cgroup_frozen(p->dir_fd, p->unified) > 0)
			return true;
	}
	return false;
}

static bool same_directory(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

bool groups_path(const struct groups *g, unsigned controller, char ret_path[static GROUPS_PATH_MAX])
{
	const struct groups_place *p = controller ? groups_place_of(g, controller)
						  : groups_unified(g);
	bool pure = g->layout.n == 1;

	if (!p || p->dir_fd < 0 || p->unified != (controller == 0))
		return false;
	(void) snprintf(ret_path, GROUPS_PATH_MAX, "/sys/fs/cgroup/%s%s%s", pure ? "" : p->dir,
			pure ? "" : "/", p->path);
	return same_directory(p->dir_fd, ret_path);
}

void groups_thaw_process(pid_t pid)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	auto_buf struct buf text = BUF_INIT(1 << 16);
	char file[40];

	(void) snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	if (pid <= 0 || file_read(AT_FDCWD, file, &text) < 0 || cgroup_layout_open(&l) < 0)
		return;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest), path, name;
		char clean[CGROUP_PATH_MAX];

		(void) str_cut(line, ':', &line);
		name = str_cut(line, ':', &path);
		if (!path.p || !str_is(name, "freezer") || cgroup_path_clean(path, clean) < 0)
			continue;
		for (size_t i = 0; i < l.n; i++) {
			if (l.at[i].unified || !(l.at[i].controllers & CGROUP_FREEZER))
				continue;
			auto_fd int dir = cgroup_open(&l.at[i], clean);

			if (dir >= 0 && cgroup_frozen(dir, false) > 0)
				(void) cgroup_freeze(dir, false, false,
						     clock_deadline(NSEC_PER_SEC));
		}
	}
}

/* One signal to all that are listed now; how many there were. */
static int sweep(const struct groups_place *p, int signo, size_t *ret_n, pid_t *ret_first)
{
	auto_free pid_t *pids = malloc(SWEEP_MAX * sizeof(*pids));
	size_t n = 0;

	if (!pids)
		return -ENOMEM;
	int r = cgroup_pids(p->dir_fd, true, pids, SWEEP_MAX, &n);

	for (size_t i = 0; r == 0 && i < n && i < SWEEP_MAX; i++) {
		/* Between the list and the signal only a process that we are about to kill can
		 * end; a number is not used again before all others were. */
		if (kill(pids[i], signo) < 0 && errno != ESRCH)
			r = -errno;
	}
	*ret_n = n;
	*ret_first = n > 0 ? pids[0] : 0;
	return r;
}

/* Thaw both kinds, whoever froze them: a frozen process cannot die on v1. */
static void thaw_all(const struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct groups_place *p = &g->at[i];

		if (p->dir_fd >= 0 && (p->unified || (p->controllers & CGROUP_FREEZER)) &&
		    cgroup_frozen(p->dir_fd, p->unified) > 0)
			(void) cgroup_write(p->dir_fd,
					    p->unified ? "cgroup.freeze" : "freezer.state",
					    p->unified ? "0" : "THAWED");
	}
}

int groups_signal(const struct groups *g, int signo, struct err *e)
{
	const struct groups_place *p = census(g), *f = freezer(g);
	bool was_frozen = groups_frozen(g);
	size_t n = 0;
	pid_t first;

	if (!p && g->unit)
		return 0; /* systemd removed it: it was empty */
	if (!p)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the container has no cgroup: its processes are not known");
	if (signo == SIGKILL && p->unified && cgroup_write(p->dir_fd, "cgroup.kill", "1") == 0) {
		thaw_all(g);
		return 0;
	}
	/* Frozen, none can fork away from the list while it is worked through. */
	if (f && !was_frozen)
		(void) cgroup_freeze(f->dir_fd, f->unified, true, clock_deadline(NSEC_PER_SEC));
	int r = sweep(p, signo, &n, &first);

	if (f && (!was_frozen || signo == SIGKILL))
		thaw_all(g);
	return r < 0 ? err_sys(e, -r, "send signal %d to the processes of /sys/fs/cgroup/%s/%s",
			       signo, p->dir, p->path)
		     : 0;
}

int groups_kill(const struct groups *g, nsec_t deadline, struct err *e)
{
	const struct groups_place *p = census(g);
	nsec_t wait = NSEC_PER_MSEC / 10;

	if (!p && g->unit)
		return 0; /* systemd removed it: it was empty */
	if (!p)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the container has no cgroup: its processes are not known");
	for (;;) {
		size_t n = 0;
		pid_t first = 0;
		int r = cgroup_pids(p->dir_fd, true, &first, 1, &n);

		if (r == 0 && n > 0)
			r = groups_signal(g, SIGKILL, e);
		if (r < 0)
			return err_sys(e, -r, "kill the processes of /sys/fs/cgroup/%s/%s", p->dir,
				       p->path);
		if (n == 0)
			return 0;
		if (clock_mono() >= deadline)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "%zu process(es) of /sys/fs/cgroup/%s/%s, such as %d, did "
				       "not end after SIGKILL",
				       n, p->dir, p->path, first);
		groups_await(first, &wait, deadline);
	}
}

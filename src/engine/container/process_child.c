/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process of the container, from "inside its namespaces" to exec: the init as well as what is
 * executed later. process_prepare() does all that can be refused for a reason worth telling at
 * create time; process_exec() the rest, in the order that keeps each step allowed: filter (needs
 * CAP_SYS_ADMIN unless new privileges are barred), capabilities, descriptors, exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "base/str.h"
#include "engine/container/child.h"
#include "engine/container/cpus.h"
#include "engine/container/plan.h"
#include "sys/caps.h"

#define IOPRIO_WHO_PROCESS 1

void process_all_cpus(void)
{
	uint64_t all[CPUS_MAX / 64];

	memset(all, 0xff, sizeof(all));
	/* The kernel takes what exists and is allowed. What a filter forbids stays as it is. */
	(void) syscall(SYS_sched_setaffinity, 0, sizeof(all), all);
}

static int limit_refused(const struct spec_rlimit *l, size_t i, struct err *e)
{
	return err_sys(e, errno,
		       "process.rlimits[%zu]: soft %llu, hard %llu (raising the hard limit needs "
		       "CAP_SYS_RESOURCE)",
		       i, (unsigned long long) l->soft, (unsigned long long) l->hard);
}

static int raise_limit(const struct spec_process *s, size_t i, pid_t pid, struct err *e)
{
	const struct spec_rlimit *l = &s->rlimits[i];
	enum __rlimit_resource which = (enum __rlimit_resource) l->resource;
	struct rlimit lim;

	if (prlimit(pid, which, NULL, &lim) < 0)
		return limit_refused(l, i, e);
	if (l->soft <= lim.rlim_cur && l->hard <= lim.rlim_max)
		return 0;
	lim.rlim_cur = l->soft > lim.rlim_cur ? l->soft : lim.rlim_cur;
	lim.rlim_max = l->hard > lim.rlim_max ? l->hard : lim.rlim_max;
	return prlimit(pid, which, &lim, NULL) < 0 ? limit_refused(l, i, e) : 0;
}

int process_limits_raise(const struct spec_process *s, pid_t pid, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < s->rlimits_n && r == 0; i++)
		r = raise_limit(s, i, pid, e);
	return r;
}

static int set_limit(const struct spec_process *s, size_t i, struct err *e)
{
	const struct spec_rlimit *l = &s->rlimits[i];
	struct rlimit lim = { .rlim_cur = l->soft, .rlim_max = l->hard };

	return setrlimit((int) l->resource, &lim) < 0 ? limit_refused(l, i, e) : 0;
}

/* All but that of open files: we have more of them than the program will. */
static int set_limits(const struct spec_process *s, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < s->rlimits_n && r == 0; i++)
		r = s->rlimits[i].resource == RLIMIT_NOFILE ? raise_limit(s, i, 0, e)
							    : set_limit(s, i, e);
	return r;
}

static int limit_files(const struct spec_process *s, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < s->rlimits_n && r == 0; i++)
		r = s->rlimits[i].resource == RLIMIT_NOFILE ? set_limit(s, i, e) : 0;
	return r;
}

static int set_scheduling(const struct plan_process *p, struct err *e)
{
	const struct spec_scheduler *s = p->spec->scheduler;
	const struct spec_io_priority *io = p->spec->io_priority;

	if (s) {
		struct sched_attr a = {
			.size = sizeof(a),
			.sched_policy = s->policy,
			.sched_flags = s->flags,
			.sched_nice = (int32_t) s->nice,
			.sched_priority = (uint32_t) s->priority,
			.sched_runtime = s->runtime,
			.sched_deadline = s->deadline,
			.sched_period = s->period,
		};

		bool realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

		/* A real-time group of cgroup v1 without any time says EPERM as well. */
		if (syscall(SYS_sched_setattr, 0, &a, 0) < 0)
			return err_sys(e, errno, "process.scheduler: sched_setattr%s",
				       errno == EPERM && realtime
					       ? " (it needs CAP_SYS_NICE, and on cgroup v1 "
						 "linux.resources.cpu.realtimeRuntime)"
					       : "");
	}
	if (io && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
			  (int) (io->class << 13 | (uint32_t) io->priority)) < 0)
		return err_sys(e, errno, "process.ioPriority");
	return 0;
}

static int set_memory_policy(const struct plan_process *p, struct err *e)
{
	const struct spec_memory_policy *m = p->memory_policy;
	unsigned long max = p->memory_nodes_max ? p->memory_nodes_max + 1 : 0;

	if (m && syscall(SYS_set_mempolicy, (int) (m->mode | m->flags),
			 max ? p->memory_nodes : NULL, max) < 0)
		return err_sys(e, errno, "linux.memoryPolicy: set_mempolicy");
	return 0;
}

/* /dev/stdout of an unprivileged process is opened anew: it must be its own. */
static void own_stdio(const struct plan_process *p)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || st.st_uid == p->spec->user.uid ||
		    (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
			continue;
		/* A read-only file system, an unmapped owner: it works as far as it works. */
		gid_t gid = S_ISCHR(st.st_mode) ? (gid_t) -1 : p->spec->user.gid;

		if (fchown(fd, p->spec->user.uid, gid) < 0)
			continue;
	}
}

int process_become_root(const struct spec_process *s)
{
	uint32_t uid = s ? s->user.uid : 0, gid = s ? s->user.gid : 0;

	if (setresgid(0, 0, 0) < 0 && (errno != EINVAL || setresgid(gid, gid, gid) < 0))
		return -errno;
	if (setresuid(0, 0, 0) == 0)
		return 0;
	if (errno != EINVAL || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	return setresuid(uid, uid, uid) < 0 ? -errno : 0;
}

static int set_ids(struct plan_process *p, struct err *e)
{
	const struct spec_user *u = &p->spec->user;
	const gid_t *groups = u->additional_gids.v;

	/* Refused where only one's own group is mapped, and with it what would need it. */
	if ((u->additional_gids.n || !p->keep_groups) &&
	    setgroups(u->additional_gids.n, groups) < 0 && (u->additional_gids.n || errno != EPERM))
		return err_sys(e, errno, "process.user.additionalGids: setgroups%s",
			       errno == EPERM ? " (in a user namespace it needs more than the "
						"own group mapped: see /etc/subgid)"
					      : "");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return err_sys(e, errno, "process.user.gid %u", u->gid);
	/* What is permitted stays over the change of uid; what of it remains is set last. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(e, errno, "process.user.uid %u", u->uid);
	return 0;
}

/* What the kernel grants of the wanted set: asking for more would be refused as a whole. */
static int set_caps(const struct plan_process *p, bool keep_admin, struct err *e)
{
	struct caps have = {}, c;
	uint64_t admin = keep_admin ? UINT64_C(1) << CAP_SYS_ADMIN : 0;
	int r = caps_get(&have);

	if (r < 0)
		return err_sys(e, -r, "capget");
	c.permitted = (p->caps.permitted | admin) & have.permitted;
	c.effective = (p->caps.effective | admin) & c.permitted;
	c.inheritable = p->caps.inheritable & have.permitted;
	r = caps_set(&c);
	return r < 0 ? err_sys(e, -r, "process.capabilities") : 0;
}

/* 1 when it is entered, 0 when not and this was not the last attempt. */
static int enter_cwd(const struct plan_process *p, bool last, struct err *e)
{
	char at[4096];

	if (chdir(p->spec->cwd) < 0) {
		if (!last)
			return 0;
		return err_sys(e, errno, "chdir to cwd (\"%.200s\") set in config.json failed",
			       p->spec->cwd);
	}
	/*
	 * A descriptor of the host that leaked in would show as a path "(unreachable)", or as
	 * ENOENT with the C library's check (CVE-2024-21626).
	 */
	if (syscall(SYS_getcwd, at, sizeof(at)) < 0 || at[0] != '/')
		return err_set(e, ERR_DENIED, EPERM,
			       "current working directory is outside of the container's root: "
			       "process.cwd '%.100s' is refused",
			       p->spec->cwd);
	return 1;
}

/* The sixth field of the line of passwd(5) whose third is the uid. */
static bool passwd_home(char *line, uint32_t uid, char *ret_home, size_t max)
{
	char *field[7] = { line };
	uint32_t id = 0;
	int n = 1;

	for (char *c = line; *c && n < 7; c++) {
		if (*c == ':') {
			*c = '\0';
			field[n++] = c + 1;
		}
	}
	if (n < 6 || num_parse_u32(str_of(field[2]), 0, UINT32_MAX, &id) < 0 || id != uid ||
	    !field[5][0])
		return false;
	(void) snprintf(ret_home, max, "HOME=%s", field[5]);
	return true;
}

/* HOME from the container's own /etc/passwd; "/" for a uid it does not know. */
static void set_home(struct plan_process *p)
{
	static char home[1024]; /* one process, and it stays until exec */
	char text[4096];
	size_t have = 0;
	auto_fd int fd = FD_NONE;
	bool found = false;
	struct stat st;

	if (!p->home_missing)
		return;
	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	while (fd >= 0 && !found && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		ssize_t n = read(fd, text + have, sizeof(text) - 1 - have);
		char *line = text, *end;

		if (n < 0 || (n == 0 && have == 0))
			break;
		if (n == 0)
			text[have++] = '\n'; /* a last line that lacks its end */
		have += (size_t) n;
		text[have] = '\0';
		while (!found && (end = strchr(line, '\n'))) {
			*end = '\0';
			found = passwd_home(line, p->spec->user.uid, home, sizeof(home));
			line = end + 1;
		}
		have -= (size_t) (line - text);
		if (have == sizeof(text) - 1)
			have = 0; /* a line of 4 KiB is nobody's */
		memmove(text, line, have);
	}
	if (!found)
		(void) snprintf(home, sizeof(home), "HOME=/");
	for (size_t i = 0; i < p->env_n; i++) {
		if (strncmp(p->env[i], "HOME=", 5) == 0) {
			p->env[i] = home;
			return;
		}
	}
	p->env[p->env_n++] = home;
	p->env[p->env_n] = NULL;
}

/* sd_listen_fds(3): "LISTEN_PID=" with nothing after it gets the pid that the program will see. */
static void set_listen_pid(struct plan_process *p)
{
	static char text[32]; /* one process, and it stays until exec */

	for (size_t i = 0; i < p->env_n; i++) {
		if (streq(p->env[i], "LISTEN_PID=")) {
			(void) snprintf(text, sizeof(text), "LISTEN_PID=%d", (int) getpid());
			p->env[i] = text;
		}
	}
}

/* 0: a file this process may execute. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Runtimes' callers know these texts: podman and docker tell 127 from 126 by them. */
static int find_program(const struct plan_process *p, const char **ret_path, struct err *e)
{
	static char found[4096];
	const char *name = p->spec->args[0], *dir = p->path_list;
	int worst = -ENOENT, r;

	if (!name[0])
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "exec: \"\": executable file not found in $PATH");
	if (strchr(name, '/')) {
		r = executable(name);
		if (r == 0) {
			*ret_path = name;
			return 0;
		}
		if (r == -ENOENT || r == -ENOTDIR)
			return err_set(e, ERR_NOT_FOUND, -r,
				       "exec: \"%.150s\": stat %.150s: no such file or directory",
				       name, name);
		return err_set(e, ERR_DENIED, -r, "exec: \"%.200s\": %s", name,
			       r == -EISDIR   ? "is a directory"
			       : r == -EACCES ? "permission denied"
					      : strerror(-r));
	}
	while (dir && *dir) {
		size_t n = strcspn(dir, ":");

		if (n == 0)
			r = snprintf(found, sizeof(found), "./%s", name);
		else
			r = snprintf(found, sizeof(found), "%.*s/%s", (int) n, dir, name);
		if (r > 0 && (size_t) r < sizeof(found)) {
			r = executable(found);
			if (r == 0) {
				*ret_path = found;
				return 0;
			}
			if (r == -EACCES)
				worst = r;
		}
		dir += n + (dir[n] == ':');
	}
	if (worst == -EACCES)
		return err_set(e, ERR_DENIED, EACCES, "exec: \"%.200s\": permission denied", name);
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "exec: \"%.200s\": executable file not found in $PATH", name);
}

int process_prepare(struct plan_process *p, const char **ret_path, struct err *e)
{
	int r = set_limits(p->spec, e), entered;

	r = r < 0 ? r : set_scheduling(p, e);
	r = r < 0 ? r : set_memory_policy(p, e);
	if (r < 0)
		return r;
	if (p->personality_set && personality(p->personality) < 0)
		return err_sys(e, errno, "linux.personality");
	for (int i = 0; i < 3; i++) {
		if (p->stdio[i] >= 0 && dup2(p->stdio[i], i) < 0)
			return err_sys(e, errno, "standard stream %d", i);
	}
	own_stdio(p);
	r = caps_bound(p->caps.bounding);
	if (r < 0)
		return err_sys(e, -r, "process.capabilities.bounding");
	/* First as root, who may pass where the user may not; again as the user, who may pass
	 * where root is squashed (NFS). */
	entered = enter_cwd(p, false, e);
	r = entered < 0 ? entered : set_ids(p, e);
	if (r < 0)
		return r;
	/* With the process's own powers, so that what is found is what exec will find; those that
	 * only the last steps need stay permitted. */
	{
		struct caps c = {};

		r = caps_get(&c);
		c.effective = p->caps.effective & c.permitted;
		r = r < 0 ? r : caps_set(&c);
		if (r < 0)
			return err_sys(e, -r, "process.capabilities");
	}
	r = entered ? 0 : enter_cwd(p, true, e);
	if (r < 0)
		return r;
	(void) umask(p->spec->user.umask_set ? p->spec->user.umask : 0022);
	set_home(p);
	set_listen_pid(p);
	return find_program(p, ret_path, e);
}

/*
 * From the filter on nothing may be called that the profile could trap before the listener has its
 * descriptor: that is one write, and one read that ends when the parent took it (listener.h).
 */
static int load_filter(const struct plan_process *p, int report_fd, struct err *e)
{
	struct child_message m = { .word = CHILD_LISTENER };
	long fd;
	char byte;

	if (!p->seccomp.len)
		return 0;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->seccomp_flags, &p->seccomp);
	if (fd < 0)
		return err_sys(e, errno, "linux.seccomp: loading the filter of %u instructions%s",
			       (unsigned) p->seccomp.len,
			       errno == EBUSY ? " (a listener exists already: only one filter of a "
						"process can have one)"
					      : "");
	if (!(p->seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return 0;
	m.pid = (int32_t) fd;
	if (write(report_fd, &m, sizeof(m)) != (ssize_t) sizeof(m))
		_exit(1); /* the parent is gone */
	/* Refused by the listener: then it has its descriptor. The parent gone: so shall we. */
	if (read(report_fd, &byte, 1) == 0)
		_exit(1);
	return 0;
}

/*
 * 3, 4, ... become the passed descriptors, the report comes after them and closes at exec; all
 * others are closed now, or the path of the program could lead through one of them to a file of
 * the host (CVE-2024-21626). Everything goes up first, out of the way of the places to be filled.
 */
static int arrange_fds(struct plan_process *p, int *report_fd)
{
	int n = (int) p->preserve_fds_n, last = 3 + n, up;

	for (int i = 0; i < n; i++) {
		if (p->preserve_fds[i] < 0)
			continue;
		up = fcntl(p->preserve_fds[i], F_DUPFD_CLOEXEC, last + 1);
		if (up < 0)
			return -errno;
		p->preserve_fds[i] = up;
	}
	up = fcntl(*report_fd, F_DUPFD_CLOEXEC, last + 1);
	if (up < 0)
		return -errno;
	*report_fd = up;
	for (int i = 0; i < n; i++) {
		if (p->preserve_fds[i] < 0)
			(void) close(3 + i);
		else if (dup2(p->preserve_fds[i], 3 + i) < 0)
			return -errno;
	}
	if (dup3(up, last, O_CLOEXEC) < 0)
		return -errno;
	*report_fd = last;
	return close_range((unsigned) last + 1, ~0u, 0) < 0 ? -errno : 0;
}

/*
 * What is blocked or ignored here would be so in the program too. Handlers fall with exec (clone3
 * has cleared them already).
 */
static void reset_signals(const struct plan_process *p)
{
	/* The kernel's struct: handler, flags, restorer, mask. glibc's call refuses 32 and 33. */
	static const unsigned long dfl[4] = { 0 };
	sigset_t none;

	for (int sig = 1; sig <= 64 && !p->signals_reset; sig++)
		(void) syscall(SYS_rt_sigaction, sig, dfl, NULL, 8L); /* KILL, STOP need none */
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool is_selinux(const struct plan_process *p)
{
	return p->lsm_text && p->lsm_text == p->spec->selinux_label;
}

int process_open_label(struct plan *p, struct err *e)
{
	const char *file = is_selinux(&p->process) ? "thread-self/attr/exec"
						   : "thread-self/attr/apparmor/exec";

	if (!p->process.lsm_text)
		return 0;
	p->process.lsm_fd = openat(p->proc_fd, file, O_WRONLY | O_CLOEXEC);
	return p->process.lsm_fd < 0
		       ? err_sys(e, errno, "security label '%.200s'", p->process.lsm_text)
		       : 0;
}

int process_keyring(struct plan *p, struct err *e)
{
	const struct plan_process *pp = &p->process;

	if (!pp->new_keyring)
		return 0;
	/* What it made without a label would be the caller's, out of the process's reach. */
	if (is_selinux(pp)) {
		int r = file_put(p->proc_fd, "thread-self/attr/keycreate", str_of(pp->lsm_text));

		if (r < 0 && r != -ENOENT)
			return err_sys(e, -r, "security label '%.200s' for its keys", pp->lsm_text);
	}
	/* Kernels without keys, and filters that forbid it, are lived with: as runc and crun do. */
	(void) syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, p->id);
	return 0;
}

int process_exec(struct plan_process *p, const char *path, int *report_fd, struct err *e)
{
	bool nnp = p->spec->no_new_privileges;
	int r;

	reset_signals(p);
	if (p->lsm_text &&
	    write(p->lsm_fd, p->lsm_text, strlen(p->lsm_text)) != (ssize_t) strlen(p->lsm_text))
		return err_sys(e, errno, "security label '%.200s'", p->lsm_text);
	r = arrange_fds(p, report_fd);
	if (r < 0)
		return err_sys(e, -r, "arranging the descriptors");
	r = limit_files(p->spec, e);
	if (r < 0)
		return r;
	if (!nnp && p->seccomp.len) {
		r = set_caps(p, true, e);
		r = r < 0 ? r : load_filter(p, *report_fd, e);
		if (r < 0)
			return r;
	}
	r = set_caps(p, false, e);
	if (r < 0)
		return r;
	if (p->caps.ambient) {
		r = caps_ambient(p->caps.ambient);
		if (r < 0)
			return err_sys(e, -r, "process.capabilities.ambient");
	}
	if (nnp) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			return err_sys(e, errno, "process.noNewPrivileges");
		r = load_filter(p, *report_fd, e);
		if (r < 0)
			return r;
	}
	(void) execve(path, (char *const *) (uintptr_t) p->spec->args, p->env);
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "exec %.150s: no such file or directory (it is there: is its "
			       "interpreter or loader?)",
			       path);
	if (errno == EACCES && is_selinux(p))
		return err_sys(e, errno,
			       "exec %.150s (with the security label '%.200s': does the policy of "
			       "SELinux let it?)",
			       path, p->lsm_text);
	return err_sys(e, errno, "exec %.200s", path);
}

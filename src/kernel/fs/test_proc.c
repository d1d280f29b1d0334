/* SPDX-License-Identifier: Apache-2.0 */
/* /proc, /sys and the sandbox's cgroup, as a process with a file, a pipe and a child reads them. */
#include <asm/fcntl.h>
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/sysfs.h"
#include "kernel/fs/text.h"
#include "kernel/ipc/shm.h"
#include "kernel/mm/space.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/limit.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/uts.h"
#include "kernel/vfs/names.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 1 << 20)
#define IN   (BASE + 2 * ROOM)

static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };
static const struct cred *root_cred;
static struct space *guest;
static struct path top;
static struct task *init, *other;
static char text[32768];

static struct walk as_root(void)
{
	return (struct walk){ .root = &top, .start = &top, .who = root_cred };
}

/* What a file holds, in pieces as small as `step`; NULL: it cannot be read. */
static const char *content_by(const char *name, uint64_t step)
{
	struct walk w = as_root();
	struct file *f;
	size_t len = 0;
	int64_t n;

	if (names_open(&w, name, O_RDONLY, 0, &f) < 0)
		return NULL;
	do {
		struct uio u;

		uio_one(&u, guest, uva(IN), step);
		n = vfs_read(f, &u, NULL);
		if (n > 0 && len + (size_t) n < sizeof(text)) {
			CHECK(copy_in(guest, text + len, uva(IN), (size_t) n) == 0);
			len += (size_t) n;
		}
	} while (n > 0);
	file_unref(f);
	text[len] = 0;
	return n < 0 ? NULL : text;
}

static const char *content(const char *name)
{
	return content_by(name, 4096);
}

static bool says(const char *name, const char *what)
{
	const char *t = content(name);
	bool found = t && strstr(t, what);

	if (!found)
		(void) fprintf(stderr, "%s: %s\n", name, t ? t : "(cannot be read)");
	return found;
}

static int64_t store(const char *name, const char *what)
{
	struct walk w = as_root();
	struct file *f;
	struct uio u;
	int64_t n = names_open(&w, name, O_WRONLY | O_TRUNC, 0, &f);

	if (n < 0)
		return n;
	CHECK(copy_out(guest, uva(IN), what, strlen(what)) == 0);
	uio_one(&u, guest, uva(IN), strlen(what));
	n = file_write(f, &u, NULL, UINT64_MAX);
	file_unref(f);
	return n;
}

/* readlink of the last component. */
static const char *target(const char *name)
{
	struct walk w = as_root();
	struct path p;
	int64_t n;

	if (walk(&w, name, 0, &p) < 0)
		return NULL;
	n = p.dentry->inode->ops->readlink
		    ? p.dentry->inode->ops->readlink(p.dentry->inode, text, sizeof(text) - 1)
		    : -EINVAL;
	path_unref(&p);
	if (n < 0)
		return NULL;
	text[n] = 0;
	return text;
}

/* Names of a directory, each with a blank behind it. */
static const char *names(const char *dir)
{
	struct walk w = as_root();
	static char out[32768];
	struct file *f;
	size_t used = 0;
	int64_t n;

	if (names_open(&w, dir, O_RDONLY | O_DIRECTORY, 0, &f) < 0)
		return NULL;
	while ((n = file_entries(f, uva(IN), 300, false, guest)) > 0) {
		CHECK(copy_in(guest, text, uva(IN), (size_t) n) == 0);
		for (int64_t at = 0; at < n;) {
			uint16_t len;
			const char *name = text + at + 19;

			memcpy(&len, text + at + 16, 2);
			memcpy(out + used, name, strlen(name));
			used += strlen(name);
			out[used++] = ' ';
			at += len;
		}
	}
	out[used] = 0;
	file_unref(f);
	return n < 0 ? NULL : out;
}

static bool lists(const char *dir, const char *name)
{
	const char *all = names(dir);
	bool found = all && strstr(all, name);

	if (!found)
		(void) fprintf(stderr, "%s: %s\n", dir, all ? all : "(cannot be read)");
	return found;
}

static int exists(const char *name)
{
	struct walk w = as_root();
	struct path p;
	int r = walk(&w, name, 0, &p);

	if (r == 0)
		path_unref(&p);
	return r;
}

static void formats(void)
{
	struct text t = {};

	text_put(&t, "%5d|%-5u|%05d|%s|%6s|%-4s|%c|%%|%x|%02lx|%o", -42, 7u, -42, "ab", "cd", "e",
		 'f', 255u, 10ul, 8u);
	text_add(&t, "", 1);
	CHECK_STR(t.bytes, "  -42|7    |-0042|ab|    cd|e   |f|%|ff|0a|10");
	text_fini(&t);
	text_put(&t, "%ld %lu", INT64_MIN, UINT64_MAX);
	text_escaped(&t, " a b\\\n");
	text_add(&t, "", 1);
	CHECK_STR(t.bytes, "-9223372036854775808 18446744073709551615\\040a\\040b\\134\\012");
	text_fini(&t);
	heap_fail_at(1);
	text_put(&t, "x");
	heap_fail_at(0);
	text_put(&t, "y");
	CHECK(t.failed == -ENOMEM && t.len == 0);
	text_fini(&t);
}

/* The number whose directory this is, 0: it is none. */
static uint64_t directory_of(const char *name)
{
	struct walk w = as_root();
	struct pid *p;
	struct file *f;

	CHECK(names_open(&w, name, O_RDONLY | O_DIRECTORY, 0, &f) == 0);
	p = proc_pid_of(f);
	file_unref(f);
	return p ? p->nr : 0;
}

static void of_process(void)
{
	char all[4096];

	CHECK(directory_of("/proc/1") == 1 && directory_of("/proc/self") == 1);
	CHECK(!directory_of("/proc/1/task/1") && !directory_of("/proc/1/fd") &&
	      !directory_of("/proc") && !directory_of("/bin"));
	CHECK_STR(target("/proc/self"), "1");
	CHECK_STR(target("/proc/thread-self"), "1/task/1");
	CHECK_STR(target("/proc/self/exe"), "/bin/program");
	CHECK_STR(target("/proc/1/cwd"), "/bin");
	CHECK_STR(target("/proc/self/root"), "/");
	CHECK_STR(content("/proc/self/comm"), "program\n");
	CHECK(store("/proc/self/comm", "another name, too long\n") == 23);
	CHECK_STR(content("/proc/1/task/1/comm"), "another name, t\n");
	task_set_comm(init, "pro) gram");
	CHECK(says("/proc/self/stat", "1 (pro) gram) R 0 1 1 0 -1 0 "));
	CHECK(says("/proc/1/stat", " 1073741824 "));
	CHECK(says("/proc/self/status",
		   "Name:\tpro)\\040gram\nUmask:\t0022\nState:\tR (running)\n"));
	CHECK(says("/proc/self/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"));
	CHECK(says("/proc/self/status", "Threads:\t1\n") &&
	      says("/proc/self/status", "SigIgn:\t0000"));
	CHECK(says("/proc/self/status", "CapEff:\tffffffffffffffff\n"));
	CHECK(says("/proc/self/limits", "Max open files            1024                 4096"));
	CHECK(says("/proc/self/cgroup", "0::/\n") && says("/proc/self/statm", " 0 "));
	/* Arguments as the guest has them now. */
	CHECK(content("/proc/self/cmdline") && memcmp(text, "one\0two", 8) == 0);
	CHECK(content("/proc/self/environ") && memcmp(text, "A=b", 4) == 0);
	CHECK(says("/proc/self/oom_score_adj", "0\n") &&
	      store("/proc/1/oom_score_adj", "-17\n") == 4);
	CHECK(init->process->oom_score_adj == -17 && says("/proc/self/oom_score_adj", "-17"));
	CHECK(store("/proc/self/oom_score_adj", "1001") == -EINVAL &&
	      store("/proc/self/oom_score_adj", "x") == -EINVAL);
	CHECK(store("/proc/self/stat", "x") == -EACCES);
	/* In small pieces it is the same text. */
	CHECK(content("/proc/self/maps") != NULL);
	memcpy(all, text, sizeof(all));
	CHECK(content_by("/proc/self/maps", 7) && memcmp(all, text, strlen(all)) == 0);
	CHECK(strstr(all, "40000000-40300000 rw-p 00000000 00:00 0 \n"));
	CHECK(strstr(all, "50000000-50001000 r--s 00001000 00:") && strstr(all, " /bin/program\n"));
	CHECK(says("/proc/self/smaps",
		   "\nSize:               3072 kB\nKernelPageSize:        4 kB\n") &&
	      says("/proc/self/smaps", "VmFlags: rd wr mr mw me\n") &&
	      says("/proc/self/smaps_rollup", "[rollup]\nRss:     ") &&
	      says("/proc/self/timerslack_ns", "50000\n") &&
	      store("/proc/self/timerslack_ns", "70000\n") == 6 &&
	      says("/proc/self/timerslack_ns", "70000\n") &&
	      store("/proc/self/timerslack_ns", "0") == 1 &&
	      says("/proc/self/timerslack_ns", "50000\n") &&
	      store("/proc/self/timerslack_ns", "x") == -EINVAL);
	init->usage.written = 17;
	init->usage.writes = 3;
	CHECK(says("/proc/self/io", "\nwchar: 17\n") && says("/proc/self/io", "\nsyscw: 3\n") &&
	      store("/proc/self/timerslack_ns", "50000") == 5 &&
	      says("/proc/self/io", "\nwchar: 22\n") && says("/proc/self/io", "\nsyscw: 4\n"));
	CHECK(says("/proc/self/mounts", "tmpfs / tmpfs rw,relatime 0 0\n"));
	CHECK(says("/proc/mounts", "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"));
	CHECK(says("/proc/self/mountinfo", " / / rw,relatime - tmpfs tmpfs rw\n"));
	CHECK(lists("/proc", "1 2 ") && lists("/proc", ". .. mounts self thread-self sys "));
	CHECK(lists("/proc/self", " task ") && lists("/proc/self/task", ". .. 1 "));
	CHECK(exists("/proc/3") == -ENOENT && exists("/proc/01") == -ENOENT);
	CHECK(exists("/proc/self/task/2") == -ENOENT && exists("/proc/nothing") == -ENOENT);
}

static void of_descriptors(void)
{
	struct walk w = as_root();
	struct file *in, *out, *again, *f;
	struct path p;

	CHECK(pipe_make(0, root_cred, &in, &out) == 0);
	CHECK(names_open(&w, "/bin/program", O_RDWR, 0, &f) == 0);
	CHECK(descriptors_add(init->files, in, false, 0, 1024) == 0 &&
	      descriptors_add(init->files, out, true, 0, 1024) == 1 &&
	      descriptors_add(init->files, f, false, 0, 1024) == 2);
	CHECK(strncmp(target("/proc/self/fd/0"), "pipe:[", 6) == 0);
	CHECK_STR(target("/proc/self/fd/2"), "/bin/program");
	CHECK_STR(names("/proc/self/fd"), ". .. 0 1 2 ");
	CHECK(exists("/proc/self/fd/3") == -ENOENT && exists("/proc/self/fd/x") == -ENOENT);
	f->pos = 5;
	CHECK(says("/proc/self/fdinfo/2", "pos:\t5\nflags:\t02\n") &&
	      says("/proc/self/fdinfo/1", "flags:\t02000001\n"));
	/* A file that lost its name is still to be had, and so is a pipe. */
	CHECK(walk(&w, "/proc/self/fd/2", WALK_FOLLOW, &p) == 0 && p.dentry->inode == f->inode);
	path_unref(&p);
	CHECK(names_open(&w, "/proc/self/fd/1", O_WRONLY, 0, &again) == 0);
	CHECK(again->inode == in->inode);
	struct uio u;

	CHECK(copy_out(guest, uva(IN), "hello", 5) == 0);
	uio_one(&u, guest, uva(IN), 5);
	CHECK(file_write(again, &u, NULL, UINT64_MAX) == 5);
	file_unref(again);
	uio_one(&u, guest, uva(IN), 9);
	CHECK(vfs_read(in, &u, NULL) == 5);
	CHECK(descriptors_close(init->files, 1) == 0);
	uio_one(&u, guest, uva(IN), 9);
	CHECK(vfs_read(in, &u, NULL) == 0 && exists("/proc/self/fd/1") == -ENOENT);
	CHECK(names_remove(&w, "/bin/program", 0) == 0);
	CHECK_STR(target("/proc/self/fd/2"), "/bin/program (deleted)");
	CHECK(descriptors_close(init->files, 0) == 0 && descriptors_close(init->files, 2) == 0);
}

/* Another user's process shows what all may see. */
static void of_others(void)
{
	struct cred *user = cred_new();

	user->uid = user->euid = user->suid = user->fsuid = 7;
	user->gid = user->egid = user->sgid = user->fsgid = 7;
	CHECK(content("/proc/2/environ") && says("/proc/2/status", "PPid:\t1\n"));
	other->cred = user;
	task_attach(other);
	CHECK_STR(target("/proc/self"), "2");
	CHECK(!content("/proc/1/environ") && !content("/proc/1/maps") && !target("/proc/1/exe"));
	CHECK(content("/proc/1/cmdline") && content("/proc/1/stat") && !target("/proc/1/fd/0"));
	CHECK(store("/proc/1/comm", "x") == -EINVAL);
	CHECK(store("/proc/sys/kernel/hostname", "x") == -EPERM);
	CHECK(store("/proc/sys/kernel/shmall", "1") == -EPERM);
	CHECK(store("/proc/self/oom_score_adj", "-5") == -EACCES &&
	      store("/proc/self/oom_score_adj", "5") == 1);
	task_attach(init);
	other->cred = NULL;
	cred_unref(user);
	other->cred = cred_ref(root_cred);
}

/* Limits may be written to by their owner, all of a file's or none. */
static void of_ipc(void)
{
	sysret_t id = shm_get(init, 0x12ab, PAGE_SIZE, IPC_CREAT | 0600);
	sysret_t at = shm_attach(init, (int32_t) id, 0, SHM_RDONLY);

	CHECK(says("/proc/self/maps", " /SYSV000012ab (deleted)\n") &&
	      says("/proc/sysvipc/shm", "4779"));
	CHECK(shm_detach(init, (uint64_t) at) == 0 && shm_remove(init, (int32_t) id) == 0);
	CHECK(lists("/proc", " sysvipc ") && lists("/proc/sysvipc", ". .. msg sem shm "));
	CHECK(says("/proc/sysvipc/shm", " nattch ") && says("/proc/sysvipc/sem", " nsems "));
	CHECK(says("/proc/sysvipc/msg", " qnum "));
	CHECK_STR(content("/proc/sys/kernel/sem"), "32000\t1024000000\t500\t32000\n");
	CHECK_STR(content("/proc/sys/kernel/shmmax"), "18446744073692774399\n");
	CHECK(store("/proc/sys/kernel/sem", "100 200") == 7);
	CHECK_STR(content("/proc/sys/kernel/sem"), "100\t200\t500\t32000\n");
	CHECK(store("/proc/sys/kernel/sem", "1 2 3 99999999") == -EINVAL);
	CHECK(store("/proc/sys/kernel/sem", "1 2 3 4 5") == -EINVAL);
	CHECK_STR(content("/proc/sys/kernel/sem"), "100\t200\t500\t32000\n");
	CHECK(store("/proc/sys/kernel/sem", "32000\t1024000000\n") == 17);
	CHECK(store("/proc/sys/kernel/msgmax", "-1") == -EINVAL &&
	      store("/proc/sys/kernel/msgmax", "1x") == -EINVAL &&
	      store("/proc/sys/kernel/msgmax", " \n") == -EINVAL &&
	      store("/proc/sys/kernel/shmmax", "18446744073709551616") == -EINVAL);
	CHECK(store("/proc/sys/kernel/msgmax", " 8192\n") == 6);
	CHECK_STR(content("/proc/sys/kernel/msgmax"), "8192\n");
	CHECK_STR(content("/proc/sys/fs/mqueue/msg_max"), "10\n");
}

static void of_machine(void)
{
	char first[64];

	CHECK(says("/proc/meminfo", "MemTotal:          32768 kB\n"));
	CHECK(says("/proc/meminfo", "MemAvailable:   ") &&
	      says("/proc/cpuinfo", "processor\t: 0\n"));
	CHECK(says("/proc/cpuinfo", " sse2 ") && says("/proc/stat", "cpu0 ") &&
	      says("/proc/stat", "\nbtime 17672"));
	CHECK(says("/proc/uptime", "3600.0") && says("/proc/loadavg", "0.00 0.00 0.00 1/2 2\n"));
	CHECK(says("/proc/version", "Linux version " UTS_RELEASE) &&
	      says("/proc/filesystems", "nodev\tproc\n"));
	CHECK(says("/proc/sys/kernel/osrelease", UTS_RELEASE "\n") &&
	      says("/proc/sys/kernel/pid_max", "32768\n") &&
	      says("/proc/sys/fs/pipe-max-size", "1048576\n") &&
	      says("/proc/sys/net/core/somaxconn", "4096\n") &&
	      says("/proc/sys/vm/overcommit_memory", "0\n"));
	CHECK(store("/proc/sys/kernel/hostname", "box\n") == 4);
	CHECK_STR(content("/proc/sys/kernel/hostname"), "box\n");
	CHECK_STR(uts_hostname(), "box");
	CHECK(store("/proc/sys/kernel/pid_max", "1") == -EACCES);
	CHECK(proc_sysctl("kernel.hostname", "other") == 0);
	CHECK_STR(uts_hostname(), "other");
	CHECK(proc_sysctl("kernel/sem", "1 2 3 4") == 0);
	CHECK_STR(content("/proc/sys/kernel/sem"), "1\t2\t3\t4\n");
	CHECK(proc_sysctl("net.ipv4.ip_unprivileged_port_start", "0") == 0);
	CHECK_STR(content("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0\n");
	CHECK(proc_sysctl("net.ipv4.ping_group_range", "0 2147483647") == 0);
	CHECK_STR(content("/proc/sys/net/ipv4/ping_group_range"), "0\t2147483647\n");
	CHECK(proc_sysctl("net.core.somaxconn", "x") == -EINVAL &&
	      proc_sysctl("net.core.somaxconn", "70") == 0);
	CHECK_STR(content("/proc/sys/net/core/somaxconn"), "70\n");
	CHECK(proc_sysctl("net.ipv4.ip_local_port_range", " 32768   60999") == 0);
	CHECK(proc_sysctl("net.ipv4.ip_local_port_range", "32768 6099") == -EPERM);
	CHECK(proc_sysctl("net.ipv4.ip_local_port_range", "32768") == -EPERM);
	CHECK(proc_sysctl("vm.swappiness", "60") == -EPERM && proc_sysctl("", "1") == -ENOENT);
	CHECK(proc_sysctl("kernel", "1") == -ENOENT && proc_sysctl("kernel.x", "1") == -ENOENT &&
	      proc_sysctl("kernel.hostname.x", "1") == -ENOENT);
	CHECK(content("/proc/sys/kernel/random/uuid") && strlen(text) == 37 && text[14] == '4');
	memcpy(first, text, 38);
	CHECK(strcmp(first, content("/proc/sys/kernel/random/uuid")) != 0);
	memcpy(first, content("/proc/sys/kernel/random/boot_id"), 38);
	CHECK_STR(content("/proc/sys/kernel/random/boot_id"), first);
	CHECK(lists("/proc/sys", ". .. fs kernel net vm "));

	sandbox_set_limits(&(struct sandbox_limits){ 150000, 100000, true });
	limit_tasks(50);
	CHECK_STR(content("/sys/fs/cgroup/cpu.max"), "150000 100000\n");
	CHECK_STR(content("/sys/fs/cgroup/memory.max"), "33554432\n");
	CHECK_STR(content("/sys/fs/cgroup/pids.max"), "50\n");
	CHECK_STR(content("/sys/fs/cgroup/pids.current"), "2\n");
	CHECK_STR(content("/sys/fs/cgroup/cgroup.procs"), "1\n2\n");
	CHECK_STR(content("/sys/fs/cgroup/pids.events"), "max 0\n");
	sandbox_set_limits(&(struct sandbox_limits){ .cpu_period_us = 100000 });
	limit_tasks(0);
	CHECK_STR(content("/sys/fs/cgroup/pids.max"), "max\n");
	CHECK_STR(content("/sys/fs/cgroup/cpu.max"), "max 100000\n");
	CHECK_STR(content("/sys/fs/cgroup/memory.max"), "max\n");
	CHECK(says("/sys/fs/cgroup/cpu.stat", "usage_usec ") &&
	      content("/sys/fs/cgroup/memory.current"));
	CHECK_STR(content("/sys/devices/system/cpu/online"), "0\n");
	CHECK_STR(content("/sys/devices/system/cpu/cpu0/topology/core_id"), "0\n");
	CHECK(exists("/sys/devices/system/cpu/cpu1") == -ENOENT &&
	      exists("/sys/devices/system/cpu/cpu") == -ENOENT);
	CHECK(lists("/sys/devices/system/cpu", "cpu0 ") &&
	      lists("/sys", ". .. class devices fs kernel "));
	CHECK(lists("/sys/class/net", "lo ") && says("/sys/class/net/lo/operstate", "unknown\n") &&
	      says("/sys/class/net/lo/mtu", "65536\n") &&
	      says("/sys/class/net/lo/ifindex", "1\n") &&
	      says("/sys/class/net/lo/statistics/rx_nohandler", "0\n"));
	CHECK(store("/sys/fs/cgroup/memory.max", "1") == -EROFS);
}

/* A process that has ended: its directory, and what was opened of it. */
static void of_the_gone(void)
{
	struct walk w = as_root();
	struct file *f, *dir;
	struct path p;
	struct uio u;

	CHECK(names_open(&w, "/proc/2/status", O_RDONLY, 0, &f) == 0);
	CHECK(names_open(&w, "/proc/2", O_RDONLY, 0, &dir) == 0);
	list_remove(&other->process->in_parent);
	process_free(other->process);
	CHECK(exists("/proc/2") == -ENOENT);
	uio_one(&u, guest, uva(IN), 100);
	CHECK(vfs_read(f, &u, NULL) == -ESRCH);
	p = dir->path;
	w.start = &p;
	CHECK(names_open(&w, "status", O_RDONLY, 0, &f) < 0);
	file_unref(f);
	file_unref(dir);
}

static void no_memory(void)
{
	static const char *const some[] = { "/proc/self/maps", "/proc/self/status", "/proc/mounts",
					    "/proc/self/cmdline", "/proc/sys/kernel/hostname" };

	for (unsigned long n = 1; n < 30; n++) {
		heap_fail_at(n);
		(void) content(some[n % countof(some)]);
		(void) target("/proc/self/exe");
		heap_fail_at(0);
	}
	for (size_t n = 0; n < countof(some); n++)
		CHECK(content(some[n]) != NULL);
}

static void mount_on(const char *name, struct super *s, unsigned int flags)
{
	struct walk w = as_root();
	struct path p;

	if (exists(name) < 0)
		CHECK(names_create(&w, name, S_IFDIR | 0755, 0, NULL) == 0);
	CHECK(walk(&w, name, 0, &p) == 0 && mount_add(&p, s->root, flags, s->ops->type, NULL) == 0);
	path_unref(&p);
	super_leave(s);
}

static struct task *child(struct process *parent)
{
	struct process *p;
	struct task *t = NULL;

	CHECK(process_new(&p) == 0 && task_new(p, &t) == 0);
	p->parent = parent;
	group_enter(p, parent->group);
	list_push(&parent->children, &p->in_parent);
	t->cred = cred_ref(root_cred);
	return t;
}

static void begin(void)
{
	struct cred *c = cred_new();
	struct task_first q = { .root = &top, .comm = "program" };
	struct walk w = as_root();
	struct program *g;
	struct pager *pager;
	struct file *f;
	struct path p;
	uint64_t at;

	c->effective = c->permitted = UINT64_MAX;
	q.cred = root_cred = c;
	w.who = root_cred;
	q.files = descriptors_new();
	CHECK(task_new_first(&q, &init) == 0);
	descriptors_unref(q.files);
	task_attach(init);
	CHECK(names_create(&w, "bin", S_IFDIR | 0755, 0, NULL) == 0);
	CHECK(names_open(&w, "bin/program", O_CREAT | O_RDWR, 0755, &f) == 0);
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	CHECK(f->ops->mmap(f, &pager) == 0);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = 0x50000000,
						 .len = PAGE_SIZE,
						 .prot = PROT_READ,
						 .flags = VMA_SHARED,
						 .pager = pager,
						 .offset = PAGE_SIZE,
						 .name = f->path.dentry,
						 .fixed = true },
			&at) == 0);
	CHECK(copy_out(guest, uva(BASE), "one\0two\0A=b", 12) == 0);
	init->space = guest;
	space_ref(guest);
	if (!init->image)
		init->image = task_image_new();
	g = &init->image->program;
	g->exe = f->path;
	path_ref(&g->exe);
	g->arguments_start = BASE;
	g->arguments_end = g->environment_start = BASE + 8;
	g->environment_end = BASE + 12;
	file_unref(f);
	CHECK(walk(&w, "bin", 0, &p) == 0);
	path_unref(&init->fs->cwd);
	init->fs->cwd = p;
	init->process->limits[RLIMIT_NOFILE] = (struct task_limit){ 1024, 4096 };
	other = child(init->process);
}

static void all(void *arg)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	begin();
	mount_on("/proc", proc_new(), MNT_NOSUID | MNT_NODEV | MNT_NOEXEC);
	mount_on("/sys", sysfs_new(), MNT_READONLY);
	mount_on("/sys/fs/cgroup", cgroupfs_new(), MNT_READONLY);
	formats();
	of_process();
	of_others();
	of_ipc();
	of_machine();
	no_memory();
	of_descriptors();
	of_the_gone();
	fiber_now()->owner = NULL;
	process_free(init->process);
	cred_unref(root_cred);
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
}

int main(void)
{
	return test_run(8192, all);
}

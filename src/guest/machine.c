/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "guest/network.h"
#include "sys/mount.h"

#define MODULES	     "/modules"
#define LATER	     MODULES "/later"
#define MODULES_MAX  256
#define PROBLEMS_MAX 16
#define FILES_MAX    65536 /* RLIMIT_NOFILE: for many sessions; the kernel gives init 1024 */
#define SEED_MAX     512   /* bytes of entropy that are taken at once */
#define OFF_WITHIN   (5 * NSEC_PER_SEC)
#define FLUSH_WITHIN (10 * NSEC_PER_SEC)

static char problem_texts[PROBLEMS_MAX][160];
static const char *problems[PROBLEMS_MAX + 1];
static size_t problems_n;

[[gnu::format(printf, 1, 2)]] static void problem(const char *fmt, ...)
{
	va_list ap;
	char *text = problems_n < PROBLEMS_MAX ? problem_texts[problems_n] : NULL;

	if (!text)
		return;
	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(problem_texts[0]), fmt, ap);
	va_end(ap);
	problems[problems_n++] = text;
	log_warn("%s", text);
}

struct field_strings machine_problems(void)
{
	return (struct field_strings){ problems, problems_n };
}

/* ---- file systems ------------------------------------------------------------------------ */

struct fs {
	const char *type, *path;
	unsigned long flags;
	const char *data;
	mode_t mode;
};
static const struct fs file_systems[] = {
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
	{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,gid=5,ptmxmode=666", 0755 },
	{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", 01777 },
	{ "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", 0755 },
	{ "tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777", 01777 },
	{ "cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555 },
};

static void mount_one(const struct fs *f)
{
	(void) mkdir(f->path, f->mode); /* below sysfs they are there; the mount says what is not */
	if (mount(f->type, f->path, f->type, f->flags, f->data) < 0)
		problem("mount %s at %s: %s", f->type, f->path, strerror(errno));
}

/* The kernel may have given none: then 0 to 2 would become others' descriptors. */
static void open_streams(void)
{
	int null = open("/dev/null", O_RDWR), log; /* NOLINT(android-cloexec-open) */

	(void) dup2(null, STDIN_FILENO);
	(void) dup2(null, STDOUT_FILENO);
	(void) dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		(void) close(null);
	log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log >= 0)
		log_configure(&(struct log_config){ .fd = log, .level = LOG_LEVEL_WARN });
}

/*
 * pivot_root cannot leave the file system that the kernel unpacked its archive into: it has no
 * parent. A mount of the same on top of it can be left, and shows the same files.
 */
static void leave_first_root(void)
{
	(void) mkdir("/root", 0700);
	if (mount("/", "/root", NULL, MS_BIND, NULL) < 0 || chdir("/root") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		problem("a root to be left: %s", strerror(errno));
}

static void enable_controllers(void)
{
	auto_buf struct buf text = BUF_INIT(4096);
	auto_fd int dir = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : file_read(dir, "cgroup.controllers", &text);

	for (struct str rest = str_trim(buf_str(&text)); r == 0 && rest.p && rest.n;) {
		struct str one = str_cut(rest, ' ', &rest);
		char word[64];
		int n = snprintf(word, sizeof(word), "+%.*s", (int) one.n, one.p);

		/* One at a time: some are refused to whom they are of no use (cpu with real-time
		 * processes about). */
		r = file_put(dir, "cgroup.subtree_control", (struct str){ word, (size_t) n });
		if (r < 0)
			problem("cgroup controller %.*s: %s", (int) one.n, one.p, strerror(-r));
		r = 0;
	}
	if (r < 0)
		problem("control groups: %s", strerror(-r));
}

/* No device, no shares: that is no problem here. */
static void mount_shares(void)
{
	if (mount("atoll", MACHINE_SHARES, "virtiofs", MS_NODEV, NULL) < 0 && errno != ENODEV &&
	    errno != EINVAL && errno != ENOENT)
		problem("mount the shares: %s", strerror(errno));
}

/* ---- modules ----------------------------------------------------------------------------- */

/* Once it is there, the host can be told of us. */
#define TRANSPORT "vmw_vsock_virtio_transport"

/* What only a device of virtio needs, by its number as sysfs writes it. None comes later. */
static const struct {
	const char *module, *device;
} of_devices[] = {
	{ "failover", "0x0001" },   { "net_failover", "0x0001" },   { "virtio_net", "0x0001" },
	{ "virtio_blk", "0x0002" }, { "virtio_console", "0x0003" }, { "virtio-rng", "0x0004" },
	{ "virtiofs", "0x001a" },   { "virtio_balloon", "0x0005" },
};

/* A bit for each of them whose device there is; all when that cannot be read. */
static unsigned devices_there(void)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, "/sys/bus/virtio/devices");
	unsigned there = 0;

	if (!d)
		return UINT_MAX;
	for (struct dirent *one; (one = dir_next(d));) {
		auto_buf struct buf text = BUF_INIT(64);
		auto_fd int at = openat(dirfd(d), one->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (at < 0 || file_read(at, "device", &text) < 0)
			return UINT_MAX;
		for (size_t i = 0; i < ARRAY_SIZE(of_devices); i++)
			if (str_is(str_trim(buf_str(&text)), of_devices[i].device))
				there |= 1u << i;
	}
	return there;
}

/* Whether a file "NN-NAME.ko" is that module. */
static bool is_module(const char *file, const char *name)
{
	const char *at = strchr(file, '-');
	size_t n = strlen(name);

	return at && strncmp(at + 1, name, n) == 0 && strcmp(at + 1 + n, ".ko") == 0;
}

static bool is_of_use(const char *file, unsigned there)
{
	for (size_t i = 0; i < ARRAY_SIZE(of_devices); i++)
		if (is_module(file, of_devices[i].module))
			return there & 1u << i;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void load_module(int dir, const char *name, bool of_use)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (!of_use)
		log_debug("module %s: no device for it", name);
	else if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		problem("module %.100s: %s", name, strerror(errno));
	/* Its file takes memory as long as it is there. */
	(void) unlinkat(dir, name, 0);
}

/* In the order of their names; up to the transport, or all that are there. */
static void load_modules(const char *dir, bool all)
{
	char *names[MODULES_MAX];
	size_t n = 0;
	unsigned there = all ? devices_there() : UINT_MAX;
	bool last = false;
	auto_dir DIR *d = dir_open(AT_FDCWD, dir);

	if (!d)
		return; /* all is built in */
	for (struct dirent *one; n < MODULES_MAX && (one = dir_next(d));) {
		if (!str_ends(str_of(one->d_name), ".ko"))
			continue;
		names[n] = str_dup(str_of(one->d_name));
		n += names[n] != NULL;
	}
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		if (!last)
			load_module(dirfd(d), names[i], is_of_use(names[i], there));
		last = last || (!all && is_module(names[i], TRANSPORT));
		free(names[i]);
	}
}

void machine_modules(void)
{
	load_modules(LATER, true); /* once: a file that was loaded is gone */
}

void machine_boot(void)
{
	struct rlimit files = { FILES_MAX, FILES_MAX };

	leave_first_root();
	mount_one(&(struct fs){ "devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755", 0755 });
	open_streams();
	(void) umask(022);
	(void) reboot(RB_DISABLE_CAD); /* nobody has a keyboard */
	(void) setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
		mount_one(&file_systems[i]);
	if (dir_make_all(MACHINE_SHARES, 0755) < 0)
		problem("make %s: %s", MACHINE_SHARES, strerror(errno));
	enable_controllers();
	load_modules(MODULES, false);
}

void machine_complete(void)
{
	static bool is;

	if (is)
		return;
	is = true;
	load_modules(MODULES, true);
	mount_shares();
}

/* ---- what the host knows ----------------------------------------------------------------- */

static int set_clock(uint64_t realtime_ns, struct err *e)
{
	struct timespec t = { (time_t) (realtime_ns / (uint64_t) NSEC_PER_SEC),
			      (long) (realtime_ns % (uint64_t) NSEC_PER_SEC) };

	return realtime_ns && clock_settime(CLOCK_REALTIME, &t) < 0
		       ? err_sys(e, errno, "set the clock")
		       : 0;
}

static int add_entropy(struct str bytes, struct err *e)
{
	union {
		struct rand_pool_info info;
		char room[sizeof(struct rand_pool_info) + SEED_MAX];
	} pool = {};
	auto_fd int fd = FD_NONE;
	size_t n = bytes.n < SEED_MAX ? bytes.n : SEED_MAX;
	int r = 0;

	if (!n)
		return 0;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "/dev/urandom");
	pool.info.entropy_count = (int) n * 8;
	pool.info.buf_size = (int) n;
	memcpy(pool.room + offsetof(struct rand_pool_info, buf), bytes.p, n);
	/* The second so that it is used from now on: after a snapshot two machines are the same. */
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		r = err_sys(e, errno, "feed the random generator");
	explicit_bzero(&pool, sizeof(pool));
	return r;
}

int machine_setup(const struct agent_setup *m, struct err *e)
{
	int r;

	if (m->version != AGENT_VERSION)
		return err_set(e, ERR_UNSUPPORTED, EPROTO,
			       "the machine speaks version %d of its protocol, not %ju",
			       AGENT_VERSION, (uintmax_t) m->version);
	r = set_clock(m->realtime_ns, e);
	r = r < 0 ? r : add_entropy(m->entropy, e);
	if (r == 0 && *m->hostname && sethostname(m->hostname, strlen(m->hostname)) < 0)
		r = err_sys(e, errno, "hostname '%.100s'", m->hostname);
	return r < 0 ? r : network_setup(m, e);
}

/* sysctl(8): the first separator says which of the two it is; the other is part of a name. */
int machine_sysctl(const char *key, const char *value, struct err *e)
{
	bool slashes = key[strcspn(key, "./")] == '/';
	char path[256];
	int r;

	if (snprintf(path, sizeof(path), "/proc/sys/%s", key) >= (int) sizeof(path) ||
	    strstr(key, ".."))
		return err_set(e, ERR_INVALID, EINVAL, "sysctl '%.60s'", key);
	for (char *c = path + strlen("/proc/sys/"); *c && !slashes; c++)
		*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	r = file_put(AT_FDCWD, path, str_of(value));
	return r < 0 ? err_sys(e, -r, "sysctl '%.60s' to '%.60s'", key, value) : 0;
}

int machine_reseed(const struct agent_reseed *m, struct err *e)
{
	int r = set_clock(m->realtime_ns, e);

	return r < 0 ? r : add_entropy(m->entropy, e);
}

/* 1: it is what it shall be; 0: there is no such processor. The first one is always on. */
static int switch_processor(unsigned n, bool on, struct err *e)
{
	auto_buf struct buf now = BUF_INIT(16);
	char path[64];
	int r;

	(void) snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", n);
	r = file_read(AT_FDCWD, path, &now);
	if (r == -ENOENT)
		return n == 0;
	if (r == 0 && str_eq(str_trim(buf_str(&now)), on ? STR("1") : STR("0")))
		return 1;
	r = r < 0 ? r : file_put(AT_FDCWD, path, on ? STR("1") : STR("0"));
	return r < 0 ? err_sys(e, -r, "switch processor %u %s", n, on ? "on" : "off") : 1;
}

int machine_processors(uint64_t online, struct err *e)
{
	unsigned there = 0;
	int r = 1;

	if (online == 0)
		return err_set(e, ERR_INVALID, EINVAL, "a machine without processors");
	for (; r > 0; there += r > 0)
		r = switch_processor(there, there < online, e);
	if (r == 0 && there < online)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the machine has %u processors, not %ju", there, (uintmax_t) online);
	return r;
}

/* The number of a line "name 1234" of /proc/vmstat. */
static uint64_t vm_count(struct str text, const char *name)
{
	while (text.p) {
		struct str rest, line = str_cut(text, '\n', &text);
		uint64_t v;

		if (str_is(str_cut(line, ' ', &rest), name) && rest.p &&
		    num_parse_u64(rest, 0, UINT64_MAX, &v) == 0)
			return v;
	}
	return 0;
}

/* Pages that files lack on the host. true when that is not known. */
static bool pages_wait(void)
{
	auto_buf struct buf text = BUF_INIT(64u << 10), none = BUF_INIT(4096);

	/* Each processor counts for itself; to read this is to sum them up. */
	(void) file_read(AT_FDCWD, "/proc/sys/vm/stat_refresh", &none);
	if (file_read(AT_FDCWD, "/proc/vmstat", &text) < 0)
		return true;
	return vm_count(buf_str(&text), "nr_dirty") || vm_count(buf_str(&text), "nr_writeback") ||
	       vm_count(buf_str(&text), "nr_writeback_temp");
}

void machine_flush(void)
{
	nsec_t deadline = clock_deadline(FLUSH_WITHIN);
	auto_fd int fd = FD_NONE;

	/* Only then: it has the host write to its disks. Plain writes are there by now. */
	if (!pages_wait())
		return;
	fd = open(MACHINE_SHARES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd) < 0)
		log_warn("the shares are not synchronised: %s", strerror(errno));
	/* Linux before 5.15 does not wait for what is on its way. */
	while (pages_wait() && clock_mono() < deadline)
		(void) usleep(1000);
}

void machine_off(void)
{
	nsec_t deadline = clock_deadline(OFF_WITHIN);

	(void) kill(-1, SIGKILL);
	while (clock_mono() < deadline && (waitpid(-1, NULL, WNOHANG) >= 0 || errno == EINTR))
		(void) usleep(1000);
	sync();
	(void) umount2(MACHINE_SHARES, 0);
	/* With "reboot=t" the end that every machine monitor understands: ACPI may be missing. */
	(void) reboot(RB_AUTOBOOT);
	for (;;)
		(void) pause();
}

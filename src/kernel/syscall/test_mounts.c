/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload mounts itself: mount and umount2 by their calls. */
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define CWD ((uint64_t) AT_FDCWD)
#define BUF (GUEST_AT + 8 * PAGE_SIZE)

#define DETACH	 2u
#define EXPIRE	 4u
#define NOFOLLOW 8u

static struct guest g;

static uint64_t at_text(const char *t)
{
	static uint64_t turn;

	turn = (turn + 1) % 8;
	return t ? guest_text(&g, turn * 512, t) : 0;
}

static sysret_t mount(const char *source, const char *on, const char *type, uint64_t flags,
		      const char *options)
{
	uint64_t s = at_text(source), o = at_text(on), t = at_text(type), d = at_text(options);

	return CALL(&g, __NR_mount, s, o, t, flags, d);
}

static sysret_t umount(const char *on, uint64_t flags)
{
	return CALL(&g, __NR_umount2, at_text(on), flags);
}

static sysret_t directory(const char *name)
{
	return CALL(&g, __NR_mkdir, at_text(name), 0755);
}

static sysret_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_openat, CWD, at_text(name), flags, 0644);
}

/* Makes a file; what making it gave. */
static sysret_t touch(const char *name)
{
	sysret_t fd = open_at(name, O_CREAT | O_WRONLY);

	if (fd < 0)
		return fd;
	return CALL(&g, __NR_close, (uint64_t) fd);
}

static sysret_t there(const char *name)
{
	return CALL(&g, __NR_access, at_text(name), 0);
}

static struct statfs told(const char *name)
{
	struct statfs s = {};

	CHECK(CALL(&g, __NR_statfs, at_text(name), BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, &s, sizeof(s));
	return s;
}

static void fresh(void)
{
	CHECK(directory("/m") == 0 && touch("/m/under") == 0 && touch("/file") == 0);
	CHECK(mount("a", "/m", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,nr_inodes=8,mode=711") ==
	      0);
	CHECK(there("/m/under") == -ENOENT && touch("/m/f") == 0);
	CHECK(told("/m").f_blocks == 16 && told("/m").f_files == 8);
	CHECK((told("/m").f_flags & 0x7) == (2 | 4));
	/* What it does not know it does not take. */
	CHECK(mount("a", "/m", "tmpfs", 0, "size=1x") == -EINVAL);
	CHECK(mount("a", "/m", "tmpfs", 0, "siz=1") == -EINVAL);
	CHECK(mount("a", "/m", "tmpfs", 0, "huge=always") == -EINVAL);
	CHECK(mount("a", "/m", "ext4", 0, NULL) == -ENODEV);
	CHECK(mount("a", "/m", NULL, 0, NULL) == -EINVAL);
	CHECK(mount("a", "/none", "tmpfs", 0, NULL) == -ENOENT);
	CHECK(mount("a", "/file", "tmpfs", 0, NULL) == -ENOTDIR);
	CHECK(mount("a", "/m", "proc", 0, "hidepid=2") == -EINVAL);
	CHECK(CALL(&g, __NR_mount, 0, at_text("/m"), 5, 0, 0) == -EFAULT);
	CHECK(umount("/m", 16) == -EINVAL && umount("/m", EXPIRE) == -EINVAL);
	CHECK(umount("/m/f", 0) == -EINVAL && umount("/", 0) == -EINVAL);
	CHECK(umount("/m", 0) == 0 && there("/m/under") == 0 && there("/m/f") == -ENOENT);
	CHECK(CALL(&g, __NR_fsopen, at_text("tmpfs"), 0) == -ENOSYS);
}

static void kinds(void)
{
	static const char *const types[] = { "proc", "sysfs", "cgroup2", "devpts" };
	static const char *const inside[] = { "/m/self", "/m/devices", "/m/cgroup.procs",
					      "/m/ptmx" };

	for (size_t n = 0; n < countof(types); n++) {
		CHECK(mount("none", "/m", types[n], 0, "") == 0);
		CHECK(CALL(&g, __NR_newfstatat, CWD, at_text(inside[n]), BUF,
			   AT_SYMLINK_NOFOLLOW) == 0);
		CHECK(umount("/m", 0) == 0);
	}
	CHECK(mount("none", "/m", "mqueue", 0, NULL) == 0 && told("/m").f_type == 0x19800202);
	CHECK(umount("/m", 0) == 0 && mount("none", "/m", "mqueue", 0, "x") == -EINVAL);
	CHECK(mount("none", "/m", "devpts", 0, "newinstance,mode=620,ptmxmode=666,gid=5") == 0);
	CHECK(umount("/m", 0) == 0);
}

static void remounts(void)
{
	sysret_t fd;

	CHECK(mount("a", "/m", "tmpfs", 0, NULL) == 0);
	fd = open_at("/m/f", O_CREAT | O_RDWR);
	CHECK(fd >= 0);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == -EBUSY);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == -EBUSY);
	CHECK(CALL(&g, __NR_close, (uint64_t) fd) == 0);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOATIME, NULL) == 0);
	CHECK(touch("/m/g") == -EROFS && (told("/m").f_flags & 0x401) == 0x401);
	/* Flags for access times that are not named stay. */
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 && touch("/m/g") == 0);
	CHECK((told("/m").f_flags & 0x401) == 0x400);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT, "size=8k") == 0 && told("/m").f_blocks == 2);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT, "nr_inodes=1") == -EINVAL);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT, "what") == -EINVAL);
	CHECK(mount(NULL, "/m/f", NULL, MS_REMOUNT, NULL) == -EINVAL);
	/* The file system's own is seen through all its mounts. */
	CHECK(directory("/m2") == 0 && mount("/m", "/m2", NULL, MS_BIND, NULL) == 0);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	CHECK(touch("/m2/h") == -EROFS && mount(NULL, "/m", NULL, MS_REMOUNT, NULL) == 0);
	CHECK(touch("/m2/h") == 0 && there("/m/h") == 0);
	CHECK(umount("/m2", 0) == 0);
	/* No link is followed. */
	CHECK(CALL(&g, __NR_symlink, at_text("/file"), at_text("/m/l")) == 0 && there("/m/l") == 0);
	CHECK(mount(NULL, "/m", NULL, MS_REMOUNT | MS_BIND | MS_NOSYMFOLLOW, NULL) == 0);
	CHECK(there("/m/l") == -ELOOP && umount("/m", 0) == 0);
}

static void binds(void)
{
	CHECK(mount("a", "/m", "tmpfs", 0, NULL) == 0 && directory("/m/d") == 0);
	CHECK(mount("b", "/m/d", "tmpfs", 0, NULL) == 0 && touch("/m/d/deep") == 0);
	CHECK(mount("", "/m2", NULL, MS_BIND, NULL) == -EINVAL);
	CHECK(mount("/none", "/m2", NULL, MS_BIND, NULL) == -ENOENT);
	CHECK(mount("/file", "/m2", NULL, MS_BIND, NULL) == -ENOTDIR);
	CHECK(mount("/m", "/m2", NULL, MS_BIND, NULL) == 0 && there("/m2/d/deep") == -ENOENT);
	CHECK(umount("/m2", 0) == 0);
	CHECK(mount("/m", "/m2", NULL, MS_BIND | MS_REC, NULL) == 0 && there("/m2/d/deep") == 0);
	CHECK(umount("/m2", 0) == -EBUSY && umount("/m2/d", 0) == 0 && there("/m/d/deep") == 0);
	CHECK(umount("/m2", 0) == 0);
	/* Into itself: what comes is no part of it. */
	CHECK(directory("/m/in") == 0);
	CHECK(mount("/m", "/m/in", NULL, MS_BIND | MS_REC, NULL) == 0);
	CHECK(there("/m/in/d/deep") == 0 && there("/m/in/in/d") == -ENOENT);
	CHECK(umount("/m/in", DETACH) == 0 && there("/m/in/d") == -ENOENT);
	/* A file upon a file, and out of a directory. */
	CHECK(mount("/m/d/deep", "/file", NULL, MS_BIND, NULL) == 0);
	CHECK(umount("/m/d", 0) == 0 && umount("/file", 0) == 0);
	CHECK(mount(NULL, "/m", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
	CHECK(mount(NULL, "/m", NULL, MS_SLAVE, NULL) == 0);
	CHECK(mount(NULL, "/m", NULL, MS_SHARED, NULL) == -EINVAL);
	CHECK(mount(NULL, "/m/d", NULL, MS_PRIVATE, NULL) == -EINVAL);
	CHECK(CALL(&g, __NR_chdir, at_text("/m")) == 0 && umount("/m", 0) == -EBUSY);
	CHECK(umount("/m", DETACH) == 0 && there("d") == 0 && there("/m/under") == 0);
	CHECK(mount("tmpfs", "d", "tmpfs", 0, NULL) == -EINVAL); /* it is nowhere now */
	CHECK(CALL(&g, __NR_chdir, at_text("/")) == 0);
}

static void moves(void)
{
	CHECK(mount("a", "/m", "tmpfs", 0, NULL) == 0 && directory("/m/d") == 0);
	CHECK(mount("b", "/m/d", "tmpfs", 0, NULL) == 0 && touch("/m/d/deep") == 0);
	CHECK(mount("c", "/m2", "tmpfs", 0, NULL) == 0 && directory("/m2/e") == 0);
	CHECK(mount("/m/d/deep", "/m2", NULL, MS_MOVE, NULL) == -EINVAL);
	CHECK(mount("/", "/m2", NULL, MS_MOVE, NULL) == -EINVAL);
	CHECK(mount("/m", "/file", NULL, MS_MOVE, NULL) == -EINVAL);
	CHECK(mount("/m", "/m/d", NULL, MS_MOVE, NULL) == -ELOOP);
	CHECK(mount("/m", "/m2/e", NULL, MS_MOVE, NULL) == 0);
	CHECK(there("/m2/e/d/deep") == 0 && there("/m/under") == 0);
	/* What stands within it came along. */
	CHECK(umount("/m2", 0) == -EBUSY && umount("/m2/e", 0) == -EBUSY);
	CHECK(mount("/m2/e/d", "/m", NULL, MS_MOVE, NULL) == 0 && there("/m/deep") == 0);
	CHECK(umount("/m2", DETACH) == 0 && umount("/m", 0) == 0);
}

static uint64_t mounts_there(void)
{
	return g.mounts->count;
}

/* Every allocation on the way fails once: nothing is left of what failed. */
static void failing(void)
{
	uint64_t before = mounts_there();

	CHECK(mount("a", "/m", "tmpfs", 0, NULL) == 0 && directory("/m/d") == 0);
	CHECK(mount("b", "/m/d", "tmpfs", 0, NULL) == 0);
	for (unsigned int n = 1; n < 40; n++) {
		sysret_t r;

		heap_fail_at(n);
		r = mount("/m", "/m2", NULL, MS_BIND | MS_REC, NULL);
		heap_fail_at(0);
		CHECK(r == 0 || r == -ENOMEM);
		CHECK(mounts_there() == before + 2 + (r == 0 ? 2 : 0));
		if (r == 0)
			CHECK(umount("/m2", DETACH) == 0);
		heap_fail_at(n);
		r = mount("t", "/m2", "tmpfs", 0, "size=4k");
		heap_fail_at(0);
		CHECK(r == 0 || r == -ENOMEM);
		if (r == 0)
			CHECK(umount("/m2", 0) == 0);
	}
	CHECK(umount("/m", DETACH) == 0 && mounts_there() == before);
}

static void as_user(void)
{
	CHECK(CALL(&g, __NR_setresuid, 1000, 1000, 1000) == 0);
	CHECK(mount("a", "/m", "tmpfs", 0, NULL) == -EPERM && umount("/m", 0) == -EPERM);
	CHECK(mount("a", "/none", "tmpfs", 0, NULL) == -ENOENT);
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	fresh();
	kinds();
	remounts();
	binds();
	moves();
	failing();
	as_user();
	guest_end(&g);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}

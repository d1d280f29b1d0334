/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of readlink(2) that the platform answers: each is asked for once, and again after what has
 * changed it. That no answer is told that is another by now the sim looks at in all tests.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>

#include "kernel/task/test_life.h"

#define TEXT  (DATA + 0x1000)
#define OTHER (DATA + 0x2000)
#define ROOM  (DATA + 0x3000)

static uint64_t at(uint64_t where, const char *text)
{
	CHECK(sim_write(where, text, strlen(text) + 1));
	return where;
}

static sysret_t linked(const char *name)
{
	return sim_sys(__NR_readlink, at(TEXT, name), ROOM, 100);
}

static void asked(const char *name, sysret_t want)
{
	unsigned long before = sim_counts()->known;

	CHECK(linked(name) == want && sim_counts()->known == before);
}

static void known(const char *name, sysret_t want)
{
	unsigned long before = sim_counts()->known;

	CHECK(linked(name) == want && sim_counts()->known == before + 1);
}

/* Asked for once. */
static void once(const char *name, sysret_t want)
{
	asked(name, want);
	known(name, want);
	known(name, want);
}

/* Asked for each time. */
static void always(const char *name, sysret_t want)
{
	asked(name, want);
	asked(name, want);
}

static void make(const char *name)
{
	sysret_t fd = sim_sys(__NR_open, at(TEXT, name), O_CREAT | O_WRONLY, 0644);

	CHECK(fd >= 0 && sim_sys(__NR_close, fd) == 0);
}

static void move(const char *from, const char *to, unsigned int flags)
{
	CHECK(sim_sys(__NR_renameat2, AT_FDCWD, at(TEXT, from), AT_FDCWD, at(OTHER, to), flags) ==
	      0);
}

static void names_move(void)
{
	CHECK(sim_sys(__NR_mkdir, at(TEXT, "/d"), 0755) == 0);
	make("/d/f");
	once("/d/f", -EINVAL);
	once("/d", -EINVAL);
	once("/", -EINVAL);
	/* Others come and go. */
	make("/d/g");
	make("/g");
	CHECK(sim_sys(__NR_unlink, at(TEXT, "/g")) == 0);
	known("/d/f", -EINVAL);
	move("/d", "/e", 0);
	once("/d/f", -ENOENT);
	once("/e/f", -EINVAL);
	move("/e", "/d", 0);
	once("/d/f", -EINVAL);
	CHECK(sim_sys(__NR_unlink, at(TEXT, "/d/f")) == 0);
	once("/d/f", -ENOENT);
	CHECK(sim_sys(__NR_symlink, at(TEXT, "x"), at(OTHER, "/d/f")) == 0);
	always("/d/f", 1);
	once("/d/f/", -ENOENT);
	make("/d/x");
	always("/d/f/", -ENOTDIR);
}

static void names_come(void)
{
	once("/d/n", -ENOENT);
	CHECK(sim_sys(__NR_mkdir, at(TEXT, "/d/n"), 0755) == 0);
	once("/d/n", -EINVAL);
	once("/d/n/m/o", -ENOENT);
	CHECK(sim_sys(__NR_mkdir, at(TEXT, "/d/n/m"), 0755) == 0);
	once("/d/n/m/o", -ENOENT);
	CHECK(sim_sys(__NR_rmdir, at(TEXT, "/d/n/m")) == 0);
	CHECK(sim_sys(__NR_rmdir, at(TEXT, "/d/n")) == 0);
	once("/d/n", -ENOENT);
	CHECK(sim_sys(__NR_link, at(TEXT, "/d/g"), at(OTHER, "/d/n")) == 0);
	once("/d/n", -EINVAL);
	CHECK(sim_sys(__NR_symlink, at(TEXT, "y"), at(OTHER, "/d/l")) == 0);
	/* In the place of each other, and over each other. */
	move("/d/n", "/d/l", RENAME_EXCHANGE);
	always("/d/n", 1);
	once("/d/l", -EINVAL);
	move("/d/n", "/d/l", 0);
	always("/d/l", 1);
	once("/d/n", -ENOENT);
	make("/alone");
	move("/alone", "/d/n", 0);
	once("/d/n", -EINVAL);
	CHECK(sim_sys(__NR_unlink, at(TEXT, "/d/n")) == 0);
	once("/d/n", -ENOENT);
	CHECK(sim_sys(__NR_mknod, at(TEXT, "/d/n"), S_IFIFO | 0644, 0) == 0);
	once("/d/n", -EINVAL);
}

static void links_lead(void)
{
	CHECK(sim_sys(__NR_mkdir, at(TEXT, "/d2"), 0755) == 0);
	CHECK(sim_sys(__NR_symlink, at(TEXT, "d"), at(OTHER, "/way")) == 0);
	CHECK(sim_sys(__NR_symlink, at(TEXT, "/d2"), at(OTHER, "/way2")) == 0);
	once("/way/g", -EINVAL);
	once("/way/../d/g", -EINVAL);
	move("/way2", "/way", 0);
	once("/way/g", -ENOENT);
	make("/d2/g");
	once("/way/g", -EINVAL);
	CHECK(sim_sys(__NR_unlink, at(TEXT, "/d2/g")) == 0);
	once("/way/g", -ENOENT);
}

static void others(void)
{
	char text[200];

	CHECK(sim_sys(__NR_chdir, at(TEXT, "/d")) == 0);
	always("g", -EINVAL);
	always("nothing", -ENOENT);
	always("", -ENOENT);
	memset(text, '/', sizeof(text));
	memcpy(text + 118, "g", 2);
	once(text, -ENOENT);
	memset(text, '/', sizeof(text));
	memcpy(text + 119, "g", 2);
	always(text, -ENOENT);
	once("/d/g", -EINVAL);
	CHECK(sim_sys(__NR_readlink, at(TEXT, "/d/nothing"), ROOM, 0) == -EINVAL);
	CHECK(sim_sys(__NR_readlink, at(TEXT, "/d/nothing"), ROOM, -1) == -EINVAL);
	once("/d/nothing", -ENOENT);
	CHECK(sim_sys(__NR_readlink, at(TEXT, "/d/nothing"), ROOM, 0) == -EINVAL);
	CHECK(sim_sys(__NR_readlinkat, AT_FDCWD, at(TEXT, "/d/nothing"), ROOM, 9) == -ENOENT);
}

static void mounts_stand(void)
{
	once("/d/g", -EINVAL);
	CHECK(sim_sys(__NR_mount, at(TEXT, "tmpfs"), at(OTHER, "/d"), TEXT, 0, 0) == 0);
	once("/d/g", -ENOENT);
	make("/d/g");
	once("/d/g", -EINVAL);
	CHECK(sim_sys(__NR_mount, at(TEXT, "/d"), at(OTHER, "/d2"), 0, MS_BIND, 0) == 0);
	once("/d2/g", -EINVAL);
	CHECK(sim_sys(__NR_unlink, at(TEXT, "/d/g")) == 0);
	once("/d2/g", -ENOENT);
	CHECK(sim_sys(__NR_umount2, at(TEXT, "/d2"), 0) == 0);
	CHECK(sim_sys(__NR_umount2, at(TEXT, "/d"), 0) == 0);
	once("/d/g", -EINVAL);
	once("/g", -ENOENT);
	CHECK(sim_sys(__NR_chroot, at(TEXT, "/d")) == 0);
	once("/g", -EINVAL);
	CHECK(sim_sys(__NR_chroot, at(TEXT, "..")) == 0);
}

/* Last: it cannot go back. */
static void rights_change(void)
{
	once("/g", -EINVAL);
	CHECK(sim_sys(__NR_mkdir, at(TEXT, "/own"), 0755) == 0);
	make("/own/f");
	CHECK(sim_sys(__NR_chown, at(TEXT, "/own"), 1000, 1000) == 0);
	once("/own/f", -EINVAL);
	CHECK(sim_sys(__NR_setresuid, 1000, 1000, 1000) == 0);
	once("/own/f", -EINVAL);
	CHECK(sim_sys(__NR_chmod, at(TEXT, "/own"), 0600) == 0);
	always("/own/f", -EACCES);
	CHECK(sim_sys(__NR_chmod, at(TEXT, "/own"), 0100) == 0);
	once("/own/f", -EINVAL);
}

static void begin(void *arg)
{
	(void) arg;
	names_move();
	names_come();
	links_lead();
	others();
	mounts_stand();
	rights_change();
	sim_sys(__NR_exit_group, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	sim_answers(true);
	CHECK(run(begin) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}

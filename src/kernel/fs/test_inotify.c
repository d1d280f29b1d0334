/* SPDX-License-Identifier: Apache-2.0 */
/* inotify by the system calls of its user, and what all others make of it: in Linux's order. */
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/inotify.h"
#include "kernel/fs/text.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"
#include "kernel/vfs/notify.h"

#define CWD  ((uint64_t) AT_FDCWD)
#define ROOM (GUEST_AT + 4 * PAGE_SIZE)
#define ALL  ((uint64_t) IN_ALL_EVENTS)

static struct guest g;
static int64_t in;

static uint64_t at_text(const char *t)
{
	static uint64_t turn;

	turn = (turn + 1) % 4;
	return guest_text(&g, turn * 1024, t);
}

static int64_t watch(const char *name, uint64_t mask)
{
	return CALL(&g, __NR_inotify_add_watch, (uint64_t) in, at_text(name), mask);
}

static int64_t open_at(const char *name, uint64_t flags)
{
	return CALL(&g, __NR_openat, CWD, at_text(name), flags, 0644);
}

static void write_to(int64_t fd)
{
	CHECK(CALL(&g, __NR_write, (uint64_t) fd, ROOM, 1) == 1);
}

static void close_it(int64_t fd)
{
	CHECK(CALL(&g, __NR_close, (uint64_t) fd) == 0);
}

static void touch(const char *name)
{
	close_it(open_at(name, O_CREAT | O_WRONLY));
}

/* What is in the queue: "1 CREATE f;2 OPEN;", and "+" behind what has a cookie. */
static const char *events(void)
{
	static const char *const names[32] = {
		[0] = "ACCESS",	       [1] = "MODIFY",	  [2] = "ATTRIB",	[3] = "CLOSE_WRITE",
		[4] = "CLOSE_NOWRITE", [5] = "OPEN",	  [6] = "MOVED_FROM",	[7] = "MOVED_TO",
		[8] = "CREATE",	       [9] = "DELETE",	  [10] = "DELETE_SELF", [11] = "MOVE_SELF",
		[13] = "UNMOUNT",      [14] = "OVERFLOW", [15] = "IGNORED",	[30] = "ISDIR",
	};
	static char kept[1024];
	int64_t n = CALL(&g, __NR_read, (uint64_t) in, ROOM, 4096);
	struct text t = {};

	memset(kept, 0, sizeof(kept));
	for (int64_t at = 0; at < n;) {
		struct {
			int32_t number;
			uint32_t mask, cookie, len;
			char name[256];
		} e = {};

		guest_get(&g, ROOM - GUEST_AT + (uint64_t) at, &e, 16);
		CHECK(e.len < sizeof(e.name) && e.len % 16 == 0);
		guest_get(&g, ROOM - GUEST_AT + (uint64_t) at + 16, e.name, e.len);
		text_put(&t, "%d", e.number);
		for (unsigned int bit = 0; bit < 32; bit++) {
			if (e.mask >> bit & 1)
				text_put(&t, " %s", names[bit] ? names[bit] : "?");
		}
		if (e.len)
			text_put(&t, " %s", e.name);
		text_put(&t, e.cookie ? "+;" : ";");
		at += 16 + e.len;
	}
	CHECK(!t.failed && t.len < sizeof(kept));
	if (n < 0)
		text_put(&t, "%d", (int) n);
	memcpy(kept, t.bytes, t.len);
	text_fini(&t);
	return kept;
}

#define NOTHING "-11" /* EAGAIN */

static void begin(void)
{
	in = CALL(&g, __NR_inotify_init1, IN_NONBLOCK);
	CHECK(in >= 0);
}

static void files(void)
{
	int64_t fd;

	begin();
	CHECK(watch("/", ALL) == 1);
	fd = open_at("/f", O_CREAT | O_WRONLY);
	write_to(fd);
	write_to(fd); /* one with the one before */
	close_it(fd);
	CHECK_STR(events(), "1 CREATE f;1 OPEN f;1 MODIFY f;1 CLOSE_WRITE f;");
	CHECK(watch("/f", ALL) == 2);
	close_it(open_at("/f", O_TRUNC | O_WRONLY));
	CHECK_STR(events(), "1 OPEN f;2 OPEN;1 MODIFY f;2 MODIFY;1 CLOSE_WRITE f;2 CLOSE_WRITE;");
	CHECK(CALL(&g, __NR_truncate, at_text("/f"), 8) == 0);
	CHECK(CALL(&g, __NR_chmod, at_text("/f"), 0600) == 0);
	CHECK(CALL(&g, __NR_chown, at_text("/f"), 0, 0) == 0);
	CHECK_STR(events(), "1 MODIFY f;2 MODIFY;1 ATTRIB f;2 ATTRIB;1 ATTRIB f;2 ATTRIB;");
	CHECK(CALL(&g, __NR_utimensat, CWD, at_text("/f"), 0, 0) == 0);
	CHECK_STR(events(), "1 ATTRIB f;2 ATTRIB;");
	CHECK(CALL(&g, __NR_setxattr, at_text("/f"), at_text("user.a"), ROOM, 1, 0) == 0);
	CHECK_STR(events(), "1 ATTRIB f;2 ATTRIB;");
	CHECK(CALL(&g, __NR_removexattr, at_text("/f"), at_text("user.a")) == 0);
	CHECK_STR(events(), "1 ATTRIB f;2 ATTRIB;");
	fd = open_at("/f", O_RDWR);
	CHECK(CALL(&g, __NR_pread64, (uint64_t) fd, ROOM, 4, 0) == 4);
	CHECK(CALL(&g, __NR_pread64, (uint64_t) fd, ROOM, 4, 100) == 0);
	CHECK(CALL(&g, __NR_ftruncate, (uint64_t) fd, 9) == 0);
	CHECK_STR(events(), "1 OPEN f;2 OPEN;1 ACCESS f;2 ACCESS;1 MODIFY f;2 MODIFY;");
	CHECK(CALL(&g, __NR_fallocate, (uint64_t) fd, 0, 0, 100) == 0);
	CHECK_STR(events(), "1 MODIFY f;2 MODIFY;");
	/* A second descriptor of it is no other open file. */
	close_it(CALL(&g, __NR_dup, (uint64_t) fd));
	close_it(open_at("/f", O_PATH));
	CHECK_STR(events(), NOTHING);
	close_it(fd);
	CHECK_STR(events(), "1 CLOSE_WRITE f;2 CLOSE_WRITE;");
	/* A program, which this is none. */
	CHECK(CALL(&g, __NR_chmod, at_text("/f"), 0700) == 0);
	CHECK(CALL(&g, __NR_execve, at_text("/f"), 0, 0) == -ENOEXEC);
	CHECK_STR(events(), "1 ATTRIB f;2 ATTRIB;1 OPEN f;2 OPEN;1 ACCESS f;2 ACCESS;"
			    "1 CLOSE_NOWRITE f;2 CLOSE_NOWRITE;");
	/* The last name of what nobody uses, and of what somebody does. */
	CHECK(CALL(&g, __NR_unlink, at_text("/f")) == 0);
	CHECK_STR(events(), "2 ATTRIB;2 DELETE_SELF;2 IGNORED;1 DELETE f;");
	fd = open_at("/g", O_CREAT | O_WRONLY);
	CHECK(watch("/g", ALL) == 3);
	CHECK_STR(events(), "1 CREATE g;1 OPEN g;");
	CHECK(CALL(&g, __NR_unlink, at_text("/g")) == 0);
	CHECK_STR(events(), "3 ATTRIB;1 DELETE g;");
	write_to(fd);
	CHECK_STR(events(), "1 MODIFY g;3 MODIFY;");
	CHECK(watch("/", ALL | IN_EXCL_UNLINK) == 1);
	write_to(fd);
	CHECK_STR(events(), "3 MODIFY;");
	close_it(fd);
	CHECK_STR(events(), "3 CLOSE_WRITE;3 DELETE_SELF;3 IGNORED;");
	close_it(in);
}

static void names(void)
{
	int64_t fd;

	begin();
	touch("/a");
	touch("/b");
	CHECK(watch("/", ALL) == 1 && watch("/a", ALL) == 2 && watch("/b", ALL) == 3);
	CHECK(CALL(&g, __NR_rename, at_text("/a"), at_text("/b")) == 0);
	CHECK_STR(events(), "1 MOVED_FROM a+;1 MOVED_TO b+;3 ATTRIB;2 MOVE_SELF;3 DELETE_SELF;"
			    "3 IGNORED;");
	CHECK(CALL(&g, __NR_mkdir, at_text("/s"), 0755) == 0 && watch("/s", ALL) == 4);
	CHECK_STR(events(), "1 CREATE ISDIR s;");
	fd = open_at("/s", O_RDONLY | O_DIRECTORY);
	CHECK(CALL(&g, __NR_getdents64, (uint64_t) fd, ROOM, 4096) > 0);
	close_it(fd);
	CHECK_STR(events(), "1 OPEN ISDIR s;4 OPEN ISDIR;1 ACCESS ISDIR s;4 ACCESS ISDIR;"
			    "1 CLOSE_NOWRITE ISDIR s;4 CLOSE_NOWRITE ISDIR;");
	CHECK(CALL(&g, __NR_renameat2, CWD, at_text("/s"), CWD, at_text("/b"), RENAME_EXCHANGE) ==
	      0);
	CHECK_STR(events(), "1 MOVED_FROM ISDIR s+;1 MOVED_TO ISDIR b+;4 MOVE_SELF;"
			    "1 MOVED_FROM b+;1 MOVED_TO s+;2 MOVE_SELF;");
	CHECK(CALL(&g, __NR_rename, at_text("/s"), at_text("/b/x")) == 0);
	CHECK_STR(events(), "1 MOVED_FROM s+;4 MOVED_TO x+;2 MOVE_SELF;");
	CHECK(CALL(&g, __NR_link, at_text("/b/x"), at_text("/c")) == 0);
	CHECK_STR(events(), "2 ATTRIB;1 CREATE c;");
	CHECK(CALL(&g, __NR_unlink, at_text("/b/x")) == 0);
	CHECK_STR(events(), "2 ATTRIB;4 DELETE x;");
	CHECK(CALL(&g, __NR_rmdir, at_text("/b")) == 0);
	CHECK_STR(events(), "4 DELETE_SELF;4 IGNORED;1 DELETE ISDIR b;");
	CHECK(CALL(&g, __NR_symlink, at_text("c"), at_text("/l")) == 0);
	CHECK(CALL(&g, __NR_mknod, at_text("/p"), S_IFIFO | 0600, 0) == 0);
	CHECK_STR(events(), "1 CREATE l;1 CREATE p;");
	/* The link itself, and what it leads to. */
	CHECK(watch("/l", ALL | IN_DONT_FOLLOW) == 5 && watch("/l", ALL) == 2);
	CHECK(watch("/l", ALL | IN_ONLYDIR) == -ENOTDIR && watch("/no", ALL) == -ENOENT);
	CHECK(CALL(&g, __NR_unlink, at_text("/l")) == 0);
	CHECK_STR(events(), "5 ATTRIB;5 DELETE_SELF;5 IGNORED;1 DELETE l;");
	CHECK(CALL(&g, __NR_unlink, at_text("/p")) == 0 &&
	      CALL(&g, __NR_unlink, at_text("/c")) == 0);
	/* With it goes what it watches. */
	close_it(in);
	CHECK(!inotify_any());
}

static void masks(void)
{
	uint64_t n = (uint64_t) in;

	touch("/f");
	CHECK(CALL(&g, __NR_inotify_init1, 1) == -EINVAL);
	in = CALL(&g, __NR_inotify_init1, IN_CLOEXEC);
	CHECK(CALL(&g, __NR_fcntl, (uint64_t) in, F_GETFD) == 1);
	CHECK(CALL(&g, __NR_fcntl, (uint64_t) in, F_SETFL, O_NONBLOCK) == 0);
	n = (uint64_t) in;
	CHECK(CALL(&g, __NR_inotify_add_watch, 77, at_text("/"), ALL) == -EBADF);
	CHECK(watch("/", 0) == -EINVAL && watch("/", 0x10000) == -EINVAL);
	CHECK(watch("/", ALL | IN_MASK_ADD | IN_MASK_CREATE) == -EINVAL);
	CHECK(CALL(&g, __NR_inotify_add_watch, n, 0x1000, ALL) == -EFAULT);
	CHECK(watch("/f", IN_ATTRIB | IN_MASK_CREATE) == 1 &&
	      watch("/f", IN_ATTRIB | IN_MASK_CREATE) == -EEXIST);
	touch("/f");
	CHECK_STR(events(), NOTHING);
	CHECK(watch("/f", IN_OPEN | IN_MASK_ADD) == 1);
	touch("/f");
	CHECK(CALL(&g, __NR_chmod, at_text("/f"), 0644) == 0);
	CHECK_STR(events(), "1 OPEN;1 ATTRIB;");
	CHECK(watch("/f", IN_CLOSE_WRITE | IN_ONESHOT) == 1);
	touch("/f");
	touch("/f");
	CHECK_STR(events(), "1 CLOSE_WRITE;1 IGNORED;");
	CHECK(CALL(&g, __NR_inotify_rm_watch, n, 1) == -EINVAL);
	/* Numbers are not those of before. */
	CHECK(watch("/f", IN_OPEN) == 2 && CALL(&g, __NR_inotify_rm_watch, n, 2) == 0);
	touch("/f");
	CHECK_STR(events(), "2 IGNORED;");
	CHECK(CALL(&g, __NR_inotify_rm_watch, n, (uint64_t) -1) == -EINVAL);
	CHECK(CALL(&g, __NR_inotify_rm_watch, 77, 1) == -EBADF);
	n = (uint64_t) open_at("/f", O_RDONLY);
	CHECK(CALL(&g, __NR_inotify_add_watch, n, at_text("/"), ALL) == -EINVAL);
	CHECK(CALL(&g, __NR_inotify_rm_watch, n, 1) == -EINVAL);
	close_it((int64_t) n);
	close_it(in);
}

static unsigned int ready(void)
{
	struct {
		int32_t fd;
		int16_t events, revents;
	} p = { (int32_t) in, POLLIN | POLLOUT, 0 };

	(void) guest_put(&g, 0x1800, &p, sizeof(p));
	CHECK(CALL(&g, __NR_poll, GUEST_AT + 0x1800, 1, 0) >= 0);
	guest_get(&g, 0x1800, &p, sizeof(p));
	return (unsigned int) p.revents;
}

static struct inode *watched;

static void later(struct ktimer *k)
{
	(void) k;
	notify_inode(watched, IN_ATTRIB);
}

static void reads(void)
{
	struct ktimer k = { .fire = later };
	int32_t bytes = 0;
	uint64_t n;
	struct file *f;

	in = CALL(&g, __NR_inotify_init);
	n = (uint64_t) in;
	CHECK(watch("/", ALL) == 1 && ready() == 0);
	CHECK(CALL(&g, __NR_write, n, ROOM, 16) == -EBADF);
	/* One that waits, and one whose wait a signal ends. */
	watched = g.task->fs->root.dentry->inode;
	ktimer_set(&k, sim_now() + 1000);
	CHECK(CALL(&g, __NR_read, n, ROOM, 4096) == 16);
	CHECK(CALL(&g, __NR_read, n, ROOM, 4096) == -ERESTARTSYS);
	CHECK(CALL(&g, __NR_fcntl, n, F_SETFL, O_NONBLOCK) == 0);
	CHECK(CALL(&g, __NR_chmod, at_text("/f"), 0600) == 0);
	CHECK(CALL(&g, __NR_chmod, at_text("/"), 0755) == 0);
	CHECK(ready() == POLLIN);
	CHECK(CALL(&g, __NR_ioctl, n, FIONREAD, ROOM) == 0);
	guest_get(&g, ROOM - GUEST_AT, &bytes, sizeof(bytes));
	CHECK(bytes == 48 && CALL(&g, __NR_ioctl, n, 0x5401, ROOM) == -ENOTTY);
	/* Whole events alone. */
	CHECK(CALL(&g, __NR_read, n, ROOM, 31) == -EINVAL);
	CHECK(CALL(&g, __NR_read, n, ROOM, 47) == 32);
	CHECK(CALL(&g, __NR_read, n, 0x1000, 4096) == -EFAULT);
	CHECK_STR(events(), NOTHING);
	f = descriptors_get(g.task->files, n);
	for (int turn = 0; turn < 2; turn++) {
		/* More than there is room for: the rest is lost, and that is told. */
		for (unsigned int told = 0; told < INOTIFY_QUEUE_MOST + 5; told++)
			notify_inode(watched, told % 2 ? IN_ATTRIB : IN_MODIFY);
		for (unsigned int told = 0; told < INOTIFY_QUEUE_MOST / 64; told++)
			CHECK(CALL(&g, __NR_read, n, ROOM, 1024) == 1024);
		CHECK_STR(events(), "-1 OVERFLOW;");
	}
	/* Without memory, too. */
	heap_fail_at(1);
	notify_inode(watched, IN_ATTRIB);
	heap_fail_at(0);
	CHECK_STR(events(), "-1 OVERFLOW;");
	file_unref(f);
	close_it(in);
}

static void shown(void)
{
	struct text t = {};
	struct file *f;

	begin();
	CHECK(watch("/", IN_OPEN | IN_ONESHOT) == 1);
	f = descriptors_get(g.task->files, (uint64_t) in);
	CHECK_STR(f->path.dentry->name, "anon_inode:inotify");
	inotify_lines(f, &t);
	CHECK(t.len > 20 && memcmp(t.bytes, "inotify wd:1 ino:", 17) == 0 &&
	      memcmp(t.bytes + t.len - 16, "ignored_mask:0 \n", 16) == 0);
	text_fini(&t);
	file_unref(f);
	close_it(in);
}

static void unmounts(void)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct walk w = task_walk(g.task);
	struct mount *m = NULL;
	struct path at;

	begin();
	CHECK(CALL(&g, __NR_mkdir, at_text("/m"), 0755) == 0);
	CHECK(walk(&w, "/m", WALK_FOLLOW, &at) == 0 && mount_add(&at, s->root, 0, "m", &m) == 0);
	path_unref(&at);
	super_leave(s);
	touch("/m/f");
	CHECK(watch("/m", ALL) == 1 && watch("/m/f", IN_OPEN) == 2 && watch("/", IN_OPEN) == 3);
	CHECK(mount_remove(m, false) == 0);
	CHECK_STR(events(), "1 UNMOUNT ISDIR;1 IGNORED;2 UNMOUNT;2 IGNORED;");
	close_it(in);
}

static void limits(void)
{
	struct cred *other = cred_new();
	struct file *f;
	int64_t first = CALL(&g, __NR_inotify_init), last = first;

	for (int n = 1; n < INOTIFY_INSTANCES_MOST; n++)
		last = CALL(&g, __NR_inotify_init);
	CHECK(last == first + INOTIFY_INSTANCES_MOST - 1);
	CHECK(CALL(&g, __NR_inotify_init) == -EMFILE);
	/* Another user has others. */
	other->euid = 7;
	CHECK(inotify_make(0, other, &f) == 0);
	file_unref(f);
	cred_unref(other);
	close_it(last);
	CHECK(CALL(&g, __NR_inotify_init) == last);
	CHECK(CALL(&g, __NR_close_range, (uint64_t) first, (uint64_t) last, 0) == 0);
	/* Who may not read may not watch. */
	CHECK(CALL(&g, __NR_chown, at_text("/f"), 5, 5) == 0);
	begin();
	g.cred->effective = 0;
	g.cred->fsuid = 9;
	CHECK(watch("/f", ALL) == -EACCES && watch("/", ALL) == 1);
	g.cred->effective = UINT64_MAX;
	g.cred->fsuid = 0;
	close_it(in);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 9; n++) {
		struct file *f;
		int r;

		heap_fail_at(n);
		r = inotify_make(0, g.cred, &f);
		if (r == 0)
			r = inotify_watch(f, g.task->fs->root.dentry, IN_ALL_EVENTS);
		else
			f = NULL;
		heap_fail_at(0);
		CHECK(r == 1 || r == -ENOMEM);
		file_unref(f);
		CHECK(!inotify_any());
	}
}

static void all(void *arg)
{
	(void) arg;
	guest_begin(&g);
	files();
	names();
	masks();
	reads();
	shown();
	unmounts();
	limits();
	no_memory();
	guest_end(&g);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(1024, all);
}

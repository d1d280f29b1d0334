/* SPDX-License-Identifier: Apache-2.0 */
/* The file server's requests one by one, against a directory in /tmp. */
#include "base/test.h"
#include "device/test_fs_client.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "sys/tree.h"

static struct client c;
static uint64_t rw, ro;

static void host_rename(const char *from, const char *to)
{
	char was[512];

	(void) snprintf(was, sizeof(was), "%s", at(from));
	CHECK(rename(was, at(to)) == 0);
}

static size_t open_fds(void)
{
	auto_dir DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (d && readdir(d))
		n++;
	return n;
}

static void start(size_t fds_max)
{
	struct fs_share shares[] = {
		{ .name = "rw", .fd = client_dir(at("rw")) },
		{ .name = "ro", .fd = client_dir(at("ro")), .read_only = true },
		{ .name = "file", .fd = open(at("single"), O_PATH | O_CLOEXEC) },
	};

	client_init(&c, shares, ARRAY_SIZE(shares), fds_max);
	CHECK(client_name(&c, FUSE_LOOKUP, 1, "rw") == -EIO); /* before INIT */
	CHECK(client_start(&c) == 0);
	rw = client_lookup(&c, 1, "rw", NULL);
	ro = client_lookup(&c, 1, "ro", NULL);
	CHECK(rw && ro);
}

static void stop(void)
{
	fs_session_free(c.session);
	c.session = NULL;
}

static void test_init(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 20 };
	struct fuse_init_out out;

	CHECK(client_ask(&c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0) == -EPROTO);
	in = (struct fuse_init_in){ .major = 8 };
	CHECK(client_ask(&c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0) == 0);
	memcpy(&out, c.p, sizeof(out));
	CHECK(out.major == 7);
	in = (struct fuse_init_in){ .major = 7, .minor = 31, .flags = FUSE_MAX_PAGES };
	CHECK(client_ask(&c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0) == 0);
	memcpy(&out, c.p, sizeof(out));
	CHECK(out.flags == FUSE_MAX_PAGES && out.max_write == 1u << 20 && out.max_pages == 256);
	CHECK(client_start(&c) == 0);
	rw = client_lookup(&c, 1, "rw", NULL);
	ro = client_lookup(&c, 1, "ro", NULL);
}

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "../x", "/etc/passwd" };
	static char longer[300];
	int error;

	memset(longer, 'x', sizeof(longer) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK(client_name(&c, FUSE_LOOKUP, rw, bad[i]) == -EINVAL);
		CHECK(client_name(&c, FUSE_UNLINK, rw, bad[i]) == -EINVAL);
		CHECK(client_name(&c, FUSE_RMDIR, rw, bad[i]) == -EINVAL);
		CHECK(client_name(&c, FUSE_LOOKUP, 1, bad[i]) == -EINVAL);
	}
	CHECK(client_name(&c, FUSE_LOOKUP, rw, longer) == -ENAMETOOLONG);
	CHECK(client_ask(&c, FUSE_LOOKUP, rw, NULL, 0, "abc", 3) == -EINVAL); /* no NUL */
	CHECK(client_lookup(&c, rw, "none", &error) == 0 && error == -ENOENT);
	CHECK(client_lookup(&c, 1, "none", &error) == 0 && error == -ENOENT);
	CHECK(client_lookup(&c, 4711, "x1", &error) == 0 && error == -ESTALE);
	CHECK(client_lookup(&c, UINT64_MAX, "x1", &error) == 0 && error == -ESTALE);
	CHECK(client_lookup(&c, 0, "x1", &error) == 0 && error == -ESTALE);
}

static void test_lengths(void)
{
	struct fuse_in_header h = { .len = sizeof(h), .opcode = FUSE_GETATTR, .nodeid = 1 };

	memcpy(c.out, &h, sizeof(h));
	CHECK(client_raw(&c, sizeof(h), 8, 4096) == -EINVAL);	  /* its body is missing */
	CHECK(client_raw(&c, sizeof(h) - 1, 8, 4096) == 1);	  /* not even a header */
	CHECK(client_raw(&c, sizeof(h) + 1, 8, 4096) == -EINVAL); /* len says otherwise */
	CHECK(client_raw(&c, sizeof(h), 8, 8) == 1);		  /* no room for an answer */
	h.opcode = 4000;
	memcpy(c.out, &h, sizeof(h));
	CHECK(client_raw(&c, sizeof(h), 8, 4096) == -ENOSYS);
	h = (struct fuse_in_header){ .opcode = FUSE_GETATTR, .nodeid = 1 };
	h.len = sizeof(h) + sizeof(struct fuse_getattr_in);
	memset(c.out, 0, 256);
	memcpy(c.out, &h, sizeof(h));
	CHECK(client_raw(&c, h.len, 8, 64) == -EINVAL); /* the attributes do not fit */
	CHECK(client_raw(&c, h.len, 8, 4096) == 0);
}

static void test_file(void)
{
	uint64_t fh = 0, node = client_create(&c, rw, "f", 0640, &fh), again = 0;
	struct fuse_attr a;
	struct stat st;

	CHECK(node != 0);
	CHECK(client_write(&c, node, fh, 0, "hello world", 0, O_RDWR) == 0);
	CHECK(client_write(&c, node, fh, 0, "!", 0, O_RDWR | O_APPEND) == 0);
	CHECK(client_write(&c, node, fh, 0, "H", FUSE_WRITE_CACHE, O_RDWR | O_APPEND) == 0);
	CHECK(client_read(&c, FUSE_READ, node, fh, 0, 100) == 0);
	CHECK(c.in_n == 12 && memcmp(c.p, "Hello world!", 12) == 0);
	CHECK(client_read(&c, FUSE_READ, node, fh, 6, 5) == 0 && c.in_n == 5);
	CHECK(client_read(&c, FUSE_READ, node, fh, 100, 5) == 0 && c.in_n == 0);
	CHECK(client_read(&c, FUSE_READ, node, fh + 1, 0, 5) == -EBADF);
	CHECK(client_read(&c, FUSE_READ, rw, fh, 0, 5) == -EBADF); /* another's handle */
	CHECK(client_read(&c, FUSE_READDIR, node, fh, 0, 500) == -EBADF);
	CHECK(client_read(&c, FUSE_READ, node, fh, UINT64_MAX, 5) == -EINVAL);
	CHECK(stat(at("rw/f"), &st) == 0 && st.st_size == 12 && (st.st_mode & 07777) == 0640);
	/* What is open lives without its name. */
	CHECK(client_name(&c, FUSE_UNLINK, rw, "f") == 0);
	CHECK(client_getattr(&c, node, &a) == 0 && a.nlink == 0 && a.size == 12);
	CHECK(client_open(&c, FUSE_OPEN, node, O_RDONLY, &again) == 0);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == -EBADF);
	CHECK(client_read(&c, FUSE_READ, node, again, 0, 5) == 0 && c.in_n == 5);
	CHECK(client_release(&c, FUSE_RELEASE, node, again) == 0);
	CHECK(client_getattr(&c, node, &a) == 0 && a.size == 12); /* still known */
	client_forget(&c, node, UINT64_MAX);
	CHECK(client_getattr(&c, node, &a) == -ESTALE);
}

/* A size in the request that its bytes do not bear out. */
static void test_write_size(void)
{
	struct fuse_write_in in = { .size = 1000 };
	uint64_t node = client_create(&c, rw, "w", 0600, &in.fh);

	CHECK(client_ask(&c, FUSE_WRITE, node, &in, sizeof(in), "abc", 3) == -EINVAL);
	in.size = 2u << 20;
	CHECK(client_ask(&c, FUSE_WRITE, node, &in, sizeof(in), "abc", 3) == -EINVAL);
	in.size = 2;
	CHECK(client_ask(&c, FUSE_WRITE, node, &in, sizeof(in), "abc", 3) == 0);
	CHECK(client_release(&c, FUSE_RELEASE, node, in.fh) == 0);
}

/* What is no file or directory is never opened, and links are not followed. */
static void test_kinds(void)
{
	struct fuse_mknod_in fifo = { .mode = S_IFIFO | 0600 };
	struct fuse_mknod_in white = { .mode = S_IFCHR };
	uint64_t node, fh;
	struct stat st;

	CHECK(client_ask(&c, FUSE_MKNOD, rw, &fifo, sizeof(fifo), "fifo", 5) == 0);
	node = client_entry(&c).nodeid;
	CHECK(client_open(&c, FUSE_OPEN, node, O_RDONLY, &fh) == -EINVAL);
	CHECK(client_open(&c, FUSE_OPENDIR, node, O_RDONLY, &fh) == -ENOTDIR);
	CHECK(client_ask(&c, FUSE_SYMLINK, rw, "link\0/etc/passwd", 17, NULL, 0) == 0);
	node = client_entry(&c).nodeid;
	CHECK(S_ISLNK(client_entry(&c).attr.mode));
	CHECK(client_open(&c, FUSE_OPEN, node, O_RDONLY, &fh) == -EINVAL);
	CHECK(client_name(&c, FUSE_LOOKUP, node, "x") == -ENOTDIR);
	CHECK(client_ask(&c, FUSE_READLINK, node, NULL, 0, NULL, 0) == 0);
	CHECK(c.in_n == 11 && memcmp(c.p, "/etc/passwd", 11) == 0);
	CHECK(client_open(&c, FUSE_OPEN, rw, O_RDONLY, &fh) == -EISDIR);
	if (geteuid() == 0) {
		CHECK(client_ask(&c, FUSE_MKNOD, rw, &white, sizeof(white), "white", 6) == 0);
		CHECK(stat(at("rw/white"), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
	}
	/* A directory becomes a link behind the guest's back. */
	CHECK(mkdir(at("rw/turns"), 0755) == 0);
	node = client_lookup(&c, rw, "turns", NULL);
	CHECK(rmdir(at("rw/turns")) == 0 && symlink("/etc", at("rw/turns")) == 0);
	CHECK(client_name(&c, FUSE_LOOKUP, node, "passwd") == -ENOENT);
}

static void test_read_only(void)
{
	struct fuse_setattr_in set = { .valid = FATTR_MODE, .mode = 0777 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_link_in link_in = {};
	struct fuse_rename_in rename_in = { .newdir = rw };
	struct fuse_setxattr_in x = { .size = 1 };
	uint64_t node = client_lookup(&c, ro, "kept", NULL), fh = 0;

	CHECK(client_open(&c, FUSE_OPEN, node, O_RDWR, &fh) == -EROFS);
	CHECK(client_open(&c, FUSE_OPEN, node, O_WRONLY, &fh) == -EROFS);
	CHECK(client_open(&c, FUSE_OPEN, node, O_RDONLY | O_TRUNC, &fh) == -EROFS);
	CHECK(client_open(&c, FUSE_OPEN, node, O_RDONLY, &fh) == 0);
	CHECK(client_write(&c, node, fh, 0, "x", 0, O_RDWR) == -EROFS);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
	CHECK(client_create(&c, ro, "new", 0600, &fh) == 0);
	CHECK(client_name(&c, FUSE_UNLINK, ro, "kept") == -EROFS);
	CHECK(client_ask(&c, FUSE_SETATTR, node, &set, sizeof(set), NULL, 0) == -EROFS);
	CHECK(client_ask(&c, FUSE_MKDIR, ro, &mkdir_in, sizeof(mkdir_in), "d", 2) == -EROFS);
	CHECK(client_ask(&c, FUSE_MKDIR, 1, &mkdir_in, sizeof(mkdir_in), "d", 2) == -EROFS);
	CHECK(client_ask(&c, FUSE_RENAME, ro, &rename_in, sizeof(rename_in), "kept\0k", 7) ==
	      -EROFS);
	rename_in.newdir = ro;
	CHECK(client_ask(&c, FUSE_RENAME, rw, &rename_in, sizeof(rename_in), "f\0k", 4) == -EXDEV);
	link_in.oldnodeid = node;
	CHECK(client_ask(&c, FUSE_LINK, rw, &link_in, sizeof(link_in), "k", 2) == -EXDEV);
	CHECK(client_ask(&c, FUSE_SETXATTR, node, &x, sizeof(x), "user.a\0v", 8) == -EROFS);
	CHECK(client_name(&c, FUSE_REMOVEXATTR, node, "user.a") == -EROFS);
}

static void test_owner(void)
{
	uint64_t fh, node;
	struct fuse_mkdir_in in = { .mode = 0777, .umask = 027 };
	struct stat st;

	if (geteuid() != 0)
		return;
	c.uid = 1234;
	c.gid = 2345;
	node = client_create(&c, rw, "owned", 0666, &fh);
	CHECK(node && stat(at("rw/owned"), &st) == 0 && st.st_uid == 1234 && st.st_gid == 2345);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
	CHECK(client_ask(&c, FUSE_MKDIR, rw, &in, sizeof(in), "owned.d", 8) == 0);
	CHECK(stat(at("rw/owned.d"), &st) == 0 && st.st_uid == 1234 && (st.st_mode & 0777) == 0750);
	c.uid = UINT32_MAX;
	CHECK(client_create(&c, rw, "nobody", 0666, &fh) == 0);
	c.uid = c.gid = 0;
	node = client_create(&c, rw, "roots", 0666, &fh);
	CHECK(node && stat(at("rw/roots"), &st) == 0 && st.st_uid == 0 && st.st_gid == 0);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
}

static void test_suid(void)
{
	struct fuse_setattr_in set = { .valid = FATTR_MODE, .mode = 06755 };
	uint64_t fh, node = client_create(&c, rw, "suid", 0755, &fh);
	struct stat st;

	if (geteuid() != 0)
		return;
	CHECK(client_ask(&c, FUSE_SETATTR, node, &set, sizeof(set), NULL, 0) == 0);
	CHECK(client_write(&c, node, fh, 0, "root may", 0, O_RDWR) == 0);
	CHECK(stat(at("rw/suid"), &st) == 0 && (st.st_mode & 07777) == 06755);
	CHECK(client_write(&c, node, fh, 0, "others", FUSE_WRITE_KILL_SUIDGID, O_RDWR) == 0);
	CHECK(stat(at("rw/suid"), &st) == 0 && (st.st_mode & 07777) == 0755);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
}

static void test_xattr(void)
{
	struct fuse_setxattr_in in = { .size = 5 };
	struct fuse_getxattr_in get = { .size = 100 };
	struct fuse_getxattr_out size;
	uint64_t fh, node = client_create(&c, rw, "x", 0644, &fh);
	int r = client_ask(&c, FUSE_SETXATTR, node, &in, sizeof(in), "user.abc\0value", 14);

	CHECK(client_ask(&c, FUSE_SETXATTR, node, &in, sizeof(in), "trusted.a\0value", 15) ==
	      -EOPNOTSUPP);
	CHECK(client_ask(&c, FUSE_SETXATTR, node, &in, sizeof(in), "security.ima\0value", 18) ==
	      -EOPNOTSUPP);
	CHECK(client_ask(&c, FUSE_GETXATTR, node, &get, sizeof(get), "trusted.a", 10) ==
	      -EOPNOTSUPP);
	if (r != -EOPNOTSUPP) { /* a tmpfs before Linux 6.6 has no user.* */
		CHECK(r == 0);
		CHECK(client_ask(&c, FUSE_GETXATTR, node, &get, sizeof(get), "user.abc", 9) == 0);
		CHECK(c.in_n == 5 && memcmp(c.p, "value", 5) == 0);
		CHECK(client_ask(&c, FUSE_LISTXATTR, node, &get, sizeof(get), NULL, 0) == 0);
		CHECK(c.in_n == 9 && memcmp(c.p, "user.abc", 9) == 0);
		get.size = 0;
		CHECK(client_ask(&c, FUSE_LISTXATTR, node, &get, sizeof(get), NULL, 0) == 0);
		memcpy(&size, c.p, sizeof(size));
		CHECK(size.size == 9);
		CHECK(client_name(&c, FUSE_REMOVEXATTR, node, "user.abc") == 0);
	}
	in.size = 50;
	CHECK(client_ask(&c, FUSE_SETXATTR, node, &in, sizeof(in), "user.abc\0value", 14) ==
	      -EINVAL);
	CHECK(client_release(&c, FUSE_RELEASE, node, fh) == 0);
}

/* Every name of a listing once; plus: the sum of those with a node. */
static size_t list(uint64_t node, uint32_t opcode, uint32_t room, size_t *ret_nodes)
{
	uint64_t fh = 0, offset = 0;
	size_t names = 0;

	*ret_nodes = 0;
	CHECK(client_open(&c, FUSE_OPENDIR, node, O_RDONLY, &fh) == 0);
	while (client_read(&c, opcode, node, fh, offset, room) == 0 && c.in_n > 0) {
		for (size_t n = 0; n < c.in_n;) {
			struct fuse_entry_out e = {};
			struct fuse_dirent d;

			if (opcode == FUSE_READDIRPLUS) {
				memcpy(&e, c.p + n, sizeof(e));
				n += sizeof(e);
			}
			memcpy(&d, c.p + n, FUSE_NAME_OFFSET);
			*ret_nodes += e.nodeid != 0;
			offset = d.off;
			names++;
			n += FUSE_DIRENT_SIZE(&d);
		}
	}
	CHECK(client_release(&c, FUSE_RELEASEDIR, node, fh) == 0);
	return names;
}

static void test_listing(void)
{
	uint64_t dir;
	size_t nodes;
	char name[32];

	CHECK(mkdir(at("rw/many"), 0755) == 0);
	for (int i = 0; i < 2000; i++) {
		(void) snprintf(name, sizeof(name), "rw/many/name-%d", i);
		put(name, "");
	}
	dir = client_lookup(&c, rw, "many", NULL);
	CHECK(list(dir, FUSE_READDIR, 4096, &nodes) == 2002);
	CHECK(list(dir, FUSE_READDIR, 300, &nodes) == 2002);
	CHECK(list(dir, FUSE_READDIRPLUS, 4096, &nodes) == 2002 && nodes == 2000);
	CHECK(list(dir, FUSE_READDIRPLUS, 1u << 20, &nodes) == 2002 && nodes == 2000);
	CHECK(list(1, FUSE_READDIR, 4096, &nodes) == 5);
	CHECK(list(1, FUSE_READDIRPLUS, 4096, &nodes) == 5 && nodes == 3);
}

/* A file of two names is one, with one descriptor; a name given to another file is that one. */
static void test_two_names(void)
{
	uint64_t a, b, other;
	char one[512];
	size_t before;

	CHECK(client_lookup(&c, rw, "one", NULL) == 0);
	put("rw/one", "1");
	(void) snprintf(one, sizeof(one), "%s", at("rw/one"));
	CHECK(link(one, at("rw/two")) == 0);
	before = open_fds();
	a = client_lookup(&c, rw, "one", NULL);
	CHECK(a && open_fds() == before + 1);
	b = client_lookup(&c, rw, "two", NULL);
	CHECK(b == a && open_fds() == before + 1);
	CHECK(client_lookup(&c, rw, "one", NULL) == a && open_fds() == before + 1);
	put("rw/three", "3");
	host_rename("rw/three", "rw/two");
	other = client_lookup(&c, rw, "two", NULL);
	CHECK(other && other != a && open_fds() == before + 2);
	client_forget(&c, a, 3);
	client_forget(&c, other, 1);
	CHECK(open_fds() == before);
}

/* More files than descriptors: those that were closed are found again, but only if they are they.
 */
static void test_eviction(void)
{
	uint64_t nodes[200], dir, deep;
	struct fuse_rename_in to = {};
	struct fuse_attr a;
	size_t before = open_fds();
	char name[32];
	int r = 0, opened = 0;
	uint64_t fh;

	start(20);
	CHECK(mkdir(at("rw/ev"), 0755) == 0 && mkdir(at("rw/ev/deep"), 0755) == 0);
	dir = client_lookup(&c, rw, "ev", NULL);
	deep = client_lookup(&c, dir, "deep", NULL);
	for (int i = 0; i < 200; i++) {
		(void) snprintf(name, sizeof(name), "rw/ev/deep/%d", i);
		put(name, name);
		nodes[i] = client_lookup(&c, deep, strrchr(name, '/') + 1, NULL);
	}
	CHECK(open_fds() <= before + 20 + 8);
	for (int i = 0; i < 200; i++)
		CHECK(nodes[i] && client_getattr(&c, nodes[i], &a) == 0 &&
		      a.size == strlen("rw/ev/deep/0") + (i > 9) + (i > 99));
	/* The guest moves the directory, and one file out of it. */
	to.newdir = rw;
	CHECK(client_ask(&c, FUSE_RENAME, dir, &to, sizeof(to), "deep\0moved", 11) == 0);
	CHECK(client_ask(&c, FUSE_RENAME, deep, &to, sizeof(to), "0\0zero", 7) == 0);
	for (int i = 0; i < 200; i++)
		CHECK(client_getattr(&c, nodes[i], &a) == 0);
	/* The host puts another file in the place of one. */
	CHECK(unlink(at("rw/moved/5")) == 0);
	put("rw/moved/5", "another");
	CHECK(client_getattr(&c, nodes[5], &a) == -ESTALE || a.size == strlen("rw/ev/deep/5"));
	CHECK(client_lookup(&c, deep, "5", NULL) != nodes[5]);
	/* One without a name keeps what it needs. */
	CHECK(client_name(&c, FUSE_UNLINK, deep, "7") == 0);
	for (int i = 10; i < 200; i++)
		CHECK(client_getattr(&c, nodes[i], &a) == 0);
	CHECK(client_getattr(&c, nodes[7], &a) == 0 && a.nlink == 0);
	/* A handle for each of more files than there are descriptors cannot be. */
	for (int i = 10; i < 100 && r == 0; i++, opened++)
		r = client_open(&c, FUSE_OPEN, nodes[i], O_RDONLY, &fh);
	CHECK(r == -ENFILE && opened > 10);
	CHECK(client_getattr(&c, nodes[150], &a) == 0);
	stop();
	CHECK(open_fds() == before);
}

/* The host moves directories so that places remembered would form a ring. */
static void test_ring(void)
{
	uint64_t a, b, again;
	struct fuse_attr attr;

	CHECK(mkdir(at("rw/A"), 0755) == 0 && mkdir(at("rw/A/B"), 0755) == 0);
	a = client_lookup(&c, rw, "A", NULL);
	b = client_lookup(&c, a, "B", NULL);
	CHECK(a && b);
	host_rename("rw/A/B", "rw/B");
	host_rename("rw/A", "rw/B/A");
	again = client_lookup(&c, b, "A", NULL);
	CHECK(again == a);
	CHECK(client_getattr(&c, a, &attr) == 0 && client_getattr(&c, b, &attr) == 0);
	client_forget(&c, a, 2);
	client_forget(&c, b, 1);
	CHECK(client_getattr(&c, b, &attr) == -ESTALE);
}

/* A share that comes while others are used, and goes with all that is open in it. */
static void test_shares_come_and_go(void)
{
	uint64_t late, dir, node, fh = 0, dir_fh = 0, names_fh = 0;
	size_t before = open_fds();
	struct fuse_attr a;

	CHECK(mkdir(at("late"), 0755) == 0);
	CHECK(fs_session_add(c.session, "late", client_dir(at("late")), false) == 0);
	CHECK(fs_session_add(c.session, "late", client_dir(at("late")), true) == -EEXIST);
	late = client_lookup(&c, 1, "late", NULL);
	CHECK(late != 0);
	CHECK(client_ask(&c, FUSE_MKDIR, late, &(struct fuse_mkdir_in){ .mode = 0755 },
			 sizeof(struct fuse_mkdir_in), "d", 2) == 0);
	dir = client_entry(&c).nodeid;
	node = client_create(&c, dir, "f", 0644, &fh);
	CHECK(node != 0 && client_write(&c, node, fh, 0, "text", 0, O_RDWR) == 0);
	CHECK(client_open(&c, FUSE_OPENDIR, dir, O_RDONLY, &dir_fh) == 0);
	CHECK(client_open(&c, FUSE_OPENDIR, 1, O_RDONLY, &names_fh) == 0);
	CHECK(fs_session_remove(c.session, "late") == 0);
	CHECK(fs_session_remove(c.session, "late") == -ENOENT);
	CHECK(open_fds() == before);
	CHECK(client_getattr(&c, late, &a) == -ESTALE && client_getattr(&c, dir, &a) == -ESTALE);
	CHECK(client_read(&c, FUSE_READ, node, fh, 0, 10) == -ESTALE);
	CHECK(client_read(&c, FUSE_READDIR, dir, dir_fh, 0, 4096) == -ESTALE);
	CHECK(client_lookup(&c, 1, "late", NULL) == 0);
	/* Its place is another's now; the listing goes on over it. */
	CHECK(client_read(&c, FUSE_READDIRPLUS, 1, names_fh, 0, 4096) == 0);
	CHECK(client_release(&c, FUSE_RELEASEDIR, 1, names_fh) == 0);
	CHECK(fs_session_add(c.session, "next", client_dir(at("late")), true) == 0);
	late = client_lookup(&c, 1, "next", NULL);
	CHECK(late && client_name(&c, FUSE_RMDIR, late, "d") == -EROFS);
	CHECK(client_lookup(&c, late, "d", NULL) != 0);
	CHECK(fs_session_remove(c.session, "next") == 0);
	CHECK(client_lookup(&c, rw, "none", NULL) == 0 && client_getattr(&c, rw, &a) == 0);
	CHECK(open_fds() == before);
}

int main(void)
{
	size_t before;

	if (!mkdtemp(top) || mkdir(at("rw"), 0755) < 0 || mkdir(at("ro"), 0755) < 0)
		return 1;
	put("single", "alone");
	put("ro/kept", "kept");
	before = open_fds();
	start(1000);
	test_init();
	test_names();
	test_lengths();
	test_file();
	test_write_size();
	test_kinds();
	test_read_only();
	test_owner();
	test_suid();
	test_xattr();
	test_listing();
	test_two_names();
	test_ring();
	test_shares_come_and_go();
	stop();
	CHECK(open_fds() == before);
	test_eviction();
	CHECK(chdir("/") == 0);
	CHECK(tree_unlink(AT_FDCWD, top) == 0);
	return test_done();
}

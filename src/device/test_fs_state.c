/* SPDX-License-Identifier: Apache-2.0 */
/* A file server's state in another one: of the same shares, of copies, of what has changed. */
#include "base/test.h"
#include "device/fs_state.h"
#include "device/test_fs_client.h"

#include "sys/tree.h"

#define FDS 64

static struct client c;
static uint64_t rw;
static struct buf state = BUF_INIT(FS_STATE_MAX);

static void make_dir(const char *name)
{
	if (mkdir(at(name), 0755) < 0)
		abort();
}

/* A server of `tree`, which no guest has spoken to. */
static void serve(const char *tree, bool copied)
{
	struct fs_share shares[] = {
		{ .name = "rw", .fd = client_dir(at(tree)), .copied = copied },
		{ .name = "ro", .fd = client_dir(at("ro")), .read_only = true },
	};

	client_init(&c, shares, ARRAY_SIZE(shares), FDS);
}

static void stop(void)
{
	fs_session_free(c.session);
	c.session = NULL;
}

static void save(void)
{
	struct err e = {};

	buf_clear(&state);
	CHECK(fs_state_save(c.session, &state, &e) == 0);
	CHECK_STR(e.msg, "");
	stop();
}

static void restore(const char *tree, bool copied)
{
	struct err e = {};

	serve(tree, copied);
	CHECK(fs_state_restore(c.session, buf_str(&state), &e) == 0);
	CHECK_STR(e.msg, "");
}

/* It has to be refused, with this in the reason; the server is as new. */
static void refused(struct str bytes, const char *tree, const char *why)
{
	struct err e = {};

	serve(tree, false);
	CHECK(fs_state_restore(c.session, bytes, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(strstr(e.msg, why));
	if (!strstr(e.msg, why))
		(void) fprintf(stderr, "%s\n", e.msg);
	CHECK(client_name(&c, FUSE_LOOKUP, 1, "rw") == -EIO);
	CHECK(client_start(&c) == 0 && client_lookup(&c, 1, "rw", NULL));
	stop();
}

static bool reads(uint64_t node, uint64_t fh, const char *text)
{
	return client_read(&c, FUSE_READ, node, fh, 0, 100) == 0 && c.in_n == strlen(text) &&
	       memcmp(c.p, text, c.in_n) == 0;
}

struct known {
	uint64_t dir, f, f_fh, g, g_fh, link, dir_fh, root_fh, gone, many[3 * FDS], last;
};

/* A guest that knows a tree, and has some of it open. */
static struct known know(const char *tree)
{
	struct known k = {};
	char name[16];

	serve(tree, false);
	CHECK(client_start(&c) == 0);
	rw = client_lookup(&c, 1, "rw", NULL);
	k.f = client_create(&c, rw, "f", 0640, &k.f_fh);
	CHECK(k.f && client_write(&c, k.f, k.f_fh, 0, "hello", 0, O_RDWR) == 0);
	k.dir = client_lookup(&c, rw, "dir", NULL);
	CHECK(client_lookup(&c, rw, "dir", NULL) == k.dir); /* twice: two to be forgotten */
	k.g = client_lookup(&c, k.dir, "g", NULL);
	CHECK(k.dir && k.g && client_open(&c, FUSE_OPEN, k.g, O_RDONLY, &k.g_fh) == 0);
	CHECK(client_ask(&c, FUSE_SYMLINK, rw, "link\0target", 12, NULL, 0) == 0);
	k.link = client_entry(&c).nodeid;
	CHECK(client_open(&c, FUSE_OPENDIR, k.dir, O_RDONLY, &k.dir_fh) == 0);
	CHECK(client_open(&c, FUSE_OPENDIR, 1, O_RDONLY, &k.root_fh) == 0);
	k.gone = client_lookup(&c, k.dir, "gone", NULL);
	CHECK(k.gone && client_name(&c, FUSE_UNLINK, k.dir, "gone") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(k.many); i++) {
		(void) snprintf(name, sizeof(name), "%zu", i);
		k.many[i] = client_lookup(&c, k.dir, name, NULL);
	}
	/* One forgotten, whose number stays nobody's. */
	k.last = client_lookup(&c, k.dir, "last", NULL);
	client_forget(&c, k.last, 1);
	return k;
}

static void fill(const char *tree)
{
	char name[64];

	make_dir(tree);
	(void) snprintf(name, sizeof(name), "%s/dir", tree);
	make_dir(name);
	for (const char *const *p = (const char *const[]){ "g", "gone", "last", NULL }; *p; p++) {
		(void) snprintf(name, sizeof(name), "%s/dir/%s", tree, *p);
		put(name, *p);
	}
	for (size_t i = 0; i < 3 * FDS; i++) {
		(void) snprintf(name, sizeof(name), "%s/dir/%zu", tree, i);
		put(name, "x");
	}
}

/* All that was known goes on, and nothing is known that was not. */
static void test_the_same(bool copied)
{
	struct known k;
	struct fuse_attr a;
	uint64_t offset = 0, fresh;

	fill("same");
	k = know("same");
	CHECK(client_read(&c, FUSE_READDIR, k.dir, k.dir_fh, 0, 200) == 0 && c.in_n > 0);
	memcpy(&offset, c.p + offsetof(struct fuse_dirent, off), sizeof(offset));
	save();
	if (copied) {
		int from, to;

		make_dir("copy");
		from = client_dir(at("same"));
		to = client_dir(at("copy"));
		CHECK(tree_copy(from, to) == 0);
		(void) close(from);
		(void) close(to);
		CHECK(tree_unlink(AT_FDCWD, at("same")) == 0);
	}
	restore(copied ? "copy" : "same", copied);
	CHECK(reads(k.f, k.f_fh, "hello") && reads(k.g, k.g_fh, "g"));
	CHECK(client_write(&c, k.f, k.f_fh, 0, "HE", 0, O_RDWR) == 0 &&
	      reads(k.f, k.f_fh, "HEllo"));
	CHECK(client_write(&c, k.g, k.g_fh, 0, "no", 0, O_RDWR) == -EBADF); /* read-only */
	CHECK(client_ask(&c, FUSE_READLINK, k.link, NULL, 0, NULL, 0) == 0 && c.in_n == 6);
	CHECK(client_getattr(&c, k.dir, &a) == 0 && S_ISDIR(a.mode));
	for (size_t i = 0; i < ARRAY_SIZE(k.many); i++)
		CHECK(client_getattr(&c, k.many[i], &a) == 0 && a.size == 1);
	/* Looked up again they are the same ones. */
	CHECK(client_lookup(&c, k.dir, "17", NULL) == k.many[17]);
	CHECK(client_lookup(&c, rw, "f", NULL) == k.f);
	CHECK(client_lookup(&c, 1, "rw", NULL) == rw);
	/* A directory goes on where it was, if that means anything. */
	CHECK(client_read(&c, FUSE_READDIR, k.dir, k.dir_fh, offset, 500) ==
	      (copied ? -ESTALE : 0));
	CHECK(client_read(&c, FUSE_READDIR, k.dir, k.dir_fh, 0, 500) == 0 && c.in_n > 0);
	CHECK(client_read(&c, FUSE_READDIR, 1, k.root_fh, 0, 500) == 0 && c.in_n > 0);
	/* What had been forgotten or removed is unknown; its numbers are not given again. */
	CHECK(client_getattr(&c, k.gone, &a) == -ESTALE);
	CHECK(client_getattr(&c, k.last, &a) == -ESTALE);
	fresh = client_lookup(&c, k.dir, "last", NULL);
	CHECK(fresh && fresh != k.last && fresh != k.gone);
	client_forget(&c, k.dir, 1); /* looked up twice */
	CHECK(client_getattr(&c, k.dir, &a) == 0);
	client_forget(&c, k.gone, 1);
	CHECK(client_release(&c, FUSE_RELEASE, k.f, k.f_fh) == 0);
	CHECK(client_release(&c, FUSE_RELEASEDIR, k.dir, k.dir_fh) == 0);
	/* And from there to yet another server. */
	save();
	restore(copied ? "copy" : "same", false);
	CHECK(reads(k.g, k.g_fh, "g") && client_getattr(&c, k.f, &a) == 0);
	CHECK(client_release(&c, FUSE_RELEASE, k.f, k.f_fh) == -EBADF);
	stop();
	CHECK(tree_unlink(AT_FDCWD, at(copied ? "copy" : "same")) == 0);
}

/* Each file that is gone or another one is lost, and no other. */
static void test_changed(void)
{
	struct fuse_open_in open_in = {};
	char was[512];
	struct fuse_attr a;
	struct known k;

	fill("changed");
	k = know("changed");
	save();
	CHECK(unlink(at("changed/dir/g")) == 0); /* another one in its place */
	put("changed/dir/other", "other");
	(void) snprintf(was, sizeof(was), "%s", at("changed/dir/other"));
	CHECK(rename(was, at("changed/dir/g")) == 0);
	CHECK(unlink(at("changed/f")) == 0 && symlink("/etc/passwd", at("changed/f")) == 0);
	CHECK(unlink(at("changed/dir/3")) == 0);
	restore("changed", false);
	CHECK(client_getattr(&c, k.g, &a) == -ESTALE);
	CHECK(client_read(&c, FUSE_READ, k.g, k.g_fh, 0, 10) == -ESTALE);
	CHECK(client_ask(&c, FUSE_OPEN, k.g, &open_in, sizeof(open_in), NULL, 0) == -ESTALE);
	CHECK(client_getattr(&c, k.f, &a) == -ESTALE);
	CHECK(client_write(&c, k.f, k.f_fh, 0, "x", 0, O_RDWR) == -ESTALE);
	CHECK(client_getattr(&c, k.many[3], &a) == -ESTALE);
	CHECK(client_getattr(&c, k.many[4], &a) == 0);
	CHECK(client_lookup(&c, k.dir, "g", NULL) != k.g); /* the new one, by another number */
	client_forget(&c, k.g, 1);
	client_forget(&c, k.f, 1);
	stop();
	/* The directory above them is another one. */
	(void) snprintf(was, sizeof(was), "%s", at("changed/dir"));
	CHECK(rename(was, at("changed/moved")) == 0);
	make_dir("changed/dir");
	put("changed/dir/4", "not this one");
	restore("changed", false);
	CHECK(client_getattr(&c, k.dir, &a) == -ESTALE);
	CHECK(client_getattr(&c, k.many[4], &a) == -ESTALE);
	CHECK(client_name(&c, FUSE_LOOKUP, k.dir, "4") == -ESTALE);
	CHECK(client_getattr(&c, k.link, &a) == 0);
	stop();
	/* For a copy it is the one. */
	restore("changed", true);
	CHECK(client_getattr(&c, k.dir, &a) == 0);
	CHECK(client_getattr(&c, k.many[4], &a) == 0 && a.size == 12);
	CHECK(client_getattr(&c, k.many[5], &a) == -ESTALE);
	stop();
	refused(buf_str(&state), "ro", "is not the directory");
	CHECK(tree_unlink(AT_FDCWD, at("changed")) == 0);
}

/* What no name leads to while it is open cannot be found again. */
static void test_unlinked(void)
{
	struct err e = {};
	struct known k;

	fill("unlinked");
	k = know("unlinked");
	CHECK(client_name(&c, FUSE_UNLINK, rw, "f") == 0);
	buf_clear(&state);
	CHECK(fs_state_save(c.session, &state, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	CHECK(strstr(e.msg, "'rw'") && strstr(e.msg, "1 open file has no name"));
	CHECK(reads(k.f, k.f_fh, "hello")); /* it goes on */
	CHECK(client_release(&c, FUSE_RELEASE, k.f, k.f_fh) == 0);
	CHECK(unlink(at("unlinked/dir/g")) == 0); /* by the host */
	CHECK(fs_state_save(c.session, &state, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	CHECK(client_release(&c, FUSE_RELEASE, k.g, k.g_fh) == 0);
	save();
	restore("unlinked", false);
	stop();
	CHECK(tree_unlink(AT_FDCWD, at("unlinked")) == 0);
}

static void test_refused(void)
{
	auto_free char *bytes = NULL;
	size_t n;

	fill("refused");
	(void) know("refused");
	save();
	n = state.n;
	bytes = malloc(n + 1);
	CHECK(bytes);
	if (!bytes)
		return;
	memcpy(bytes, state.p, n);
	for (size_t cut = 0; cut < n; cut += cut < 300 ? 1 : n / 7)
		refused((struct str){ bytes, cut }, "refused", "");
	bytes[n] = 0;
	refused((struct str){ bytes, n + 1 }, "refused", "another length");
	bytes[0]++;
	refused((struct str){ bytes, n }, "refused", "begins with something else");
	CHECK(tree_unlink(AT_FDCWD, at("refused")) == 0);
}

int main(void)
{
	if (!mkdtemp(top))
		return 1;
	make_dir("ro");
	test_the_same(false);
	test_the_same(true);
	test_changed();
	test_unlinked();
	test_refused();
	buf_fini(&state);
	CHECK(chdir("/") == 0);
	CHECK(tree_unlink(AT_FDCWD, top) == 0);
	return test_done();
}

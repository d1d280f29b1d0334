/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/tar.h"
#include "fmt/tar_write.h"

/* Everything the reader says about an archive, pushed in pieces of `step` bytes. */
static int read_all(struct str in, size_t step, struct buf *log, struct err *e)
{
	auto_tar struct tar t;

	tar_init(&t);
	while (in.n) {
		struct str piece = { in.p, in.n < step ? in.n : step };
		struct tar_event ev;

		in = (struct str){ in.p + piece.n, in.n - piece.n };
		do {
			int r = tar_step(&t, &piece, &ev, e);

			if (r < 0)
				return r;
			switch (ev.kind) {
			case TAR_MORE:
			case TAR_ENTRY_END:
			case TAR_EOF:
				break;
			case TAR_ENTRY:
				buf_addf(log, "%d:%s:%s:%o:%u:%u:%lld:%llu:%zu\n",
					 (int) ev.entry->type, ev.entry->name.p, ev.entry->link.p,
					 ev.entry->mode, ev.entry->uid, ev.entry->gid,
					 (long long) ev.entry->mtime,
					 (unsigned long long) ev.entry->size, ev.entry->xattrs_n);
				break;
			case TAR_DATA:
				for (size_t i = 0; i < ev.data.n; i++)
					buf_addf(log, "@%llu%c", (unsigned long long) (ev.off + i),
						 ev.data.p[i]);
				break;
			}
		} while (ev.kind != TAR_MORE);
	}
	return tar_finish(&t, e);
}

static void add(struct buf *b, struct tar_entry n, const char *data)
{
	n.size = data ? strlen(data) : 0;
	tar_write_header(b, &n);
	if (data) {
		buf_adds(b, data);
		for (size_t i = tar_padding(n.size); i > 0; i--)
			buf_addc(b, '\0');
	}
}

static void test_round_trip(void)
{
	static const char want[] = "5:d/::755:0:0:1:0:0\n"
				   "0:d/f::4755:3000000:5:-7:3:1\n"
				   "@0a@1b@2c"
				   "1:h:d/f:644:0:0:0:0:0\n"
				   "2:l:../x:777:0:0:0:0:0\n";
	auto_buf struct buf b = BUF_INIT(1 << 20), name = BUF_INIT(4096);
	struct tar_xattr x = { "user.k", STR("v\n=") };
	static const size_t steps[] = { 1, 7, 511, 512, 513, 100000 };

	add(&b, (struct tar_entry){ .name = STR("d/"), .type = TAR_DIR, .mode = 0755, .mtime = 1 },
	    NULL);
	add(&b,
	    (struct tar_entry){ .name = STR("d/f"),
				.mode = 04755,
				.uid = 3000000,
				.gid = 5,
				.mtime = -7,
				.xattrs = &x,
				.xattrs_n = 1 },
	    "abc");
	add(&b,
	    (struct tar_entry){
		    .name = STR("h"), .link = STR("d/f"), .type = TAR_HARDLINK, .mode = 0644 },
	    NULL);
	add(&b,
	    (struct tar_entry){
		    .name = STR("l"), .link = STR("../x"), .type = TAR_SYMLINK, .mode = 0777 },
	    NULL);
	tar_write_end(&b);
	CHECK(buf_ok(&b) && b.n % TAR_BLOCK == 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		auto_buf struct buf log = BUF_INIT(1 << 16);
		struct err e = {};

		CHECK(read_all(buf_str(&b), steps[i], &log, &e) == 0);
		CHECK_STR(buf_z(&log), want);
	}
	/* Cut anywhere, it is an error or ends between entries; never a crash, never more. */
	for (size_t n = 1; n < b.n; n += 97) {
		auto_buf struct buf log = BUF_INIT(1 << 16);
		struct err e = {};
		int r = read_all((struct str){ b.p, n }, 4096, &log, &e);

		CHECK(r == 0 || e.msg[0]);
	}
	for (size_t i = 0; i < 1000; i++)
		buf_addc(&name, 'n');
	b.n = 0;
	add(&b, (struct tar_entry){ .name = buf_str(&name), .mode = 0644 }, "x");
	tar_write_end(&b);
	{
		auto_buf struct buf log = BUF_INIT(1 << 16);
		struct err e = {};

		CHECK(read_all(buf_str(&b), 4096, &log, &e) == 0);
		CHECK(log.n > 1000 && memcmp(log.p + 2, name.p, 1000) == 0);
	}
}

static void test_sparse(void)
{
	const struct tar_segment s[] = { { 4096, 3 }, { UINT64_C(9) << 30, 4 } };
	const struct tar_entry n = { .name = STR("hole"),
				     .mode = 0600,
				     .size = (UINT64_C(10) << 30) };
	auto_buf struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1 << 16);
	struct err e = {};

	tar_write_sparse(&b, &n, s, ARRAY_SIZE(s));
	buf_adds(&b, "abcdefg");
	buf_add(&b, (const char[TAR_BLOCK]){}, tar_padding(7));
	tar_write_sparse(&b, &(struct tar_entry){ .name = STR("empty"), .size = 5000 }, s, 0);
	tar_write_end(&b);
	CHECK(buf_ok(&b) && b.n < 8192);
	CHECK(read_all(buf_str(&b), 4096, &log, &e) == 0);
	CHECK_STR(e.msg, "");
	CHECK_STR(buf_z(&log), "0:hole::600:0:0:0:10737418240:0\n@4096a@4097b@4098c"
			       "@9663676416d@9663676417e@9663676418f@9663676419g"
			       "0:empty::0:0:0:0:5000:0\n");
}

static void test_bad(void)
{
	auto_buf struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1 << 16);
	struct err e = {};

	add(&b, (struct tar_entry){ .name = STR("f"), .mode = 0644 }, "data");
	b.p[0] = 'g'; /* the checksum tells */
	CHECK(read_all(buf_str(&b), 4096, &log, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(read_all(STR("this is no archive"), 4096, &log, &e) < 0);
	CHECK(read_all(STR(""), 4096, &log, &e) < 0);
	b.n = 0;
	add(&b, (struct tar_entry){ .name = STR("f"), .mode = 0644 }, "data");
	CHECK(read_all((struct str){ b.p, 514 }, 4096, &log, &e) < 0);
	CHECK(e.kind == ERR_INVALID);
}

int main(void)
{
	test_round_trip();
	test_sparse();
	test_bad();
	return test_done();
}

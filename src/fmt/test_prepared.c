/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/prepared.h"

static struct prepared sample(void)
{
	struct prepared p = {
		.boot = "c1e1d9a0-0000-4000-8000-000000000000",
		.version = "6.1.0-56-cloud-amd64",
		.kernel = "/boot/a kernel",
		.lacks = "erofs virtio_net",
		.vmlinux = { .size = 53243444 },
		.initramfs = { .size = 1 },
	};

	p.source.b[0] = 1;
	p.vmlinux.digest.b[1] = 2;
	p.initramfs.digest.b[31] = 0xff;
	return p;
}

static void test_round_trip(void)
{
	struct prepared p = sample(), got;
	auto_buf struct buf b = BUF_INIT(PREPARED_RECORD_MAX);

	prepared_write(&p, &b);
	CHECK(buf_ok(&b) && prepared_read(buf_str(&b), &got) == 0);
	CHECK_STR(got.boot, p.boot);
	CHECK_STR(got.version, p.version);
	CHECK_STR(got.kernel, p.kernel);
	CHECK_STR(got.lacks, p.lacks);
	CHECK(digest_eq(&got.source, &p.source));
	CHECK(got.vmlinux.size == 53243444 && got.initramfs.size == 1);
	CHECK(digest_eq(&got.vmlinux.digest, &p.vmlinux.digest));
	CHECK(digest_eq(&got.initramfs.digest, &p.initramfs.digest));
	for (size_t cut = 0; cut < b.n; cut++)
		CHECK(prepared_read((struct str){ b.p, cut }, &got) == -EINVAL);
	buf_addc(&b, 'x');
	CHECK(prepared_read(buf_str(&b), &got) == -EINVAL);
}

static void test_intact(void)
{
	const struct prepared_file f = { .size = 5 };
	struct stat st = { .st_mode = S_IFREG | 0400, .st_size = 5 };

	CHECK(prepared_intact(&f, &st));
	st.st_size = 4;
	CHECK(!prepared_intact(&f, &st));
	st.st_size = 5;
	st.st_mtim.tv_nsec = 1;
	CHECK(!prepared_intact(&f, &st));
	st.st_mtim.tv_nsec = 0;
	st.st_mode = S_IFIFO;
	CHECK(!prepared_intact(&f, &st));
}

static void test_stamp(void)
{
	struct stat a = { .st_dev = 1, .st_ino = 2, .st_size = 3 }, b = a;
	char one[PREPARED_STAMP_MAX], two[PREPARED_STAMP_MAX];

	CHECK(prepared_stamp(&a, &a, &a, one) && prepared_stamp(&a, &b, &a, two));
	CHECK_STR(one, two);
	b.st_mtim.tv_nsec = 1;
	CHECK(prepared_stamp(&a, &b, &a, two) && !streq(one, two));
	memset(&b, 0xff, sizeof(b));
	CHECK(!prepared_stamp(&b, &b, &b, two));
}

int main(void)
{
	test_round_trip();
	test_intact();
	test_stamp();
	return test_done();
}

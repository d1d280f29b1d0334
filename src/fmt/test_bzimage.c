/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/auto.h"
#include "base/le.h"
#include "base/test.h"
#include "fmt/bzimage.h"

#define N 4096

/* setup of two sectors, the release in it, and an xz payload that is none. */
static void image_of(uint8_t p[static N])
{
	memset(p, 0, N);
	p[0x1f1] = 1;
	store_le16(p + 0x1fe, 0xaa55);
	memcpy(p + 0x202, "HdrS", 4);
	store_le16(p + 0x206, 0x020f);
	store_le16(p + 0x20e, 0x80);
	memcpy(p + 0x280, "6.1.0-9-cloud-amd64 (x@y) #1", 29);
	store_le16(p + 0x236, 1);
	store_le32(p + 0x248, 0x100);
	store_le32(p + 0x24c, 0x200);
	memcpy(p + 1024 + 0x100,
	       "\xfd"
	       "7zXZ",
	       6);
	store_le32(p + 1024 + 0x100 + 0x200 - 4, 123456);
}

static const char *refusal(const uint8_t *p, size_t n)
{
	static struct err e;
	struct bzimage got;

	e = (struct err){};
	return bzimage_read(p, n, &got, &e) < 0 ? e.msg : "";
}

static void test_good(void)
{
	uint8_t p[N];
	struct bzimage b;
	struct err e;

	image_of(p);
	CHECK(bzimage_is(p, N));
	CHECK(bzimage_read(p, N, &b, &e) == 0);
	CHECK_STR(b.version, "6.1.0-9-cloud-amd64");
	CHECK(b.format == BZIMAGE_XZ && b.payload == 1280 && b.payload_n == 508);
	CHECK(b.vmlinux_n == 123456);
	CHECK_STR(bzimage_format_name(b.format), "xz");
	memcpy(p + 1280, "\x1f\x8b\x08", 3);
	CHECK(bzimage_read(p, N, &b, &e) == 0 && b.format == BZIMAGE_GZIP && b.payload_n == 512);
	store_le16(p + 0x20e, 0xffff);
	CHECK(bzimage_read(p, N, &b, &e) == 0);
	CHECK_STR(b.version, "");
}

static void test_bad(void)
{
	uint8_t p[N];

	image_of(p);
	CHECK_STR(refusal(p, 1500), "damaged kernel: it ends within its payload: the file is cut "
				    "short");
	CHECK_STR(refusal(p, 0x210), "damaged kernel: its setup header is not whole");
	CHECK_STR(refusal(p, 0x100), "not a Linux kernel");
	store_le16(p + 0x236, 0);
	CHECK_STR(refusal(p, N), "a 32-bit kernel, where x86-64 is needed");
	store_le16(p + 0x206, 0x0206);
	CHECK_STR(refusal(p, N), "a kernel older than Linux 2.6.26 (boot protocol 2.06)");
	image_of(p);
	store_le32(p + 0x24c, 0);
	CHECK_STR(refusal(p, N), "damaged kernel: it has no payload");
	memset(p, 0, N);
	memcpy(p + 0x38, "ARM\x64", 4);
	CHECK(bzimage_is(p, N));
	CHECK_STR(refusal(p, N), "a kernel for arm64, where x86-64 is needed");
	memset(p, 0, N);
	memcpy(p, "MZ\0\0zimg", 8);
	CHECK_STR(refusal(p, N), "an EFI zboot image: its kernel must be taken out of it first");
}

static void test_version(void)
{
	static const char text[] = "xLinux version %s (\0Linux version 6.12.1-x+ (me) #1";
	char v[KERNEL_VERSION_MAX] = "";

	CHECK(kernel_version_in(text, sizeof(text), v));
	CHECK_STR(v, "6.12.1-x+");
	CHECK(!kernel_version_in(text, 20, v));
	CHECK(!kernel_version_in("Linux version 6", 15, v));
	CHECK(kernel_version_ok(STR("6.1.0-56-amd64")));
	CHECK(!kernel_version_ok(STR("../6.1")) && !kernel_version_ok(STR("6/1")));
	CHECK(!kernel_version_ok(STR("")));
}

int main(void)
{
	test_good();
	test_bad();
	test_version();
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/advisory_feed.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/test.h"

static int note(void *user, const struct advisory *a)
{
	return advisory_write(user, a);
}

/* What a feed says, or its error; borrowed until the next call. */
static const char *reads(const char *text, const char *release)
{
	static struct buf b;
	struct advisory_feed f = { .release = release, .told = note, .user = &b };
	struct err e;

	buf_fini(&b);
	b = BUF_INIT(100000);
	if (advisory_feed_read(&f, str_of(text), &e) < 0) {
		buf_clear(&b);
		buf_adds(&b, e.msg);
	} else if (f.foreign) {
		buf_addf(&b, "%d foreign\n", (int) f.foreign);
	}
	return buf_z(&b);
}

static void test_tracker(void)
{
	CHECK_STR(
		reads("{\"glibc\":{\"CVE-1\":{\"description\":\"Worse\",\"releases\":{"
		      "\"bookworm\":{\"status\":\"resolved\",\"fixed_version\":\"2.36-9+deb12u4\","
		      "\"urgency\":\"high**\"},"
		      "\"sid\":{\"status\":\"open\",\"urgency\":\"not yet assigned\"},"
		      "\"trixie\":{\"status\":\"resolved\",\"fixed_version\":\"0\"},"
		      "\"bullseye\":{\"status\":\"undetermined\"}}}},\n \"b\" : {} }",
		      NULL),
		"Debian:12\tglibc\tCVE-1\t4\tI0 F2.36-9+deb12u4\tWorse\n"
		"Debian:sid\tglibc\tCVE-1\t0\tI0\tWorse\n");
	CHECK(strstr(reads("{\"a\":{\"CVE-1\":{", NULL), "damaged"));
	CHECK(strstr(reads("{\"a\":{\"CVE-1\":7,}}", NULL), "damaged"));
	CHECK_STR(reads("{}", NULL), "");
}

static void test_debsecan(void)
{
	static const char feed[] = "VERSION 1\nCVE-1,,first\nCVE-2,,second\n\n"
				   "glibc,0,SH F,2.40,2.36-9+deb12u4 2.36-9+deb12u5\n"
				   "bash,1,BL  ,,\n"
				   "vim,1,S ? ,9,\n\nglibc,libc6 libc-bin\n";

	CHECK_STR(reads(feed, "bookworm"),
		  "Debian:12\tglibc\tCVE-1\t4\tI0 F2.40 N2.36-9+deb12u4 N2.36-9+deb12u5\tfirst\n"
		  "Debian:12\tbash\tCVE-2\t2\tB I0\tsecond\n"
		  "Debian:12\tvim\tCVE-2\t0\tI0 U9\tsecond\n");
	CHECK(strstr(reads(feed, NULL), "--release"));
	CHECK(strstr(reads("VERSION 1\nCVE-1,,x\n\nglibc,1,SH F,2,\n", "sid"), "damaged"));
	CHECK(strstr(reads("VERSION 1\nCVE-1,,x\n\nglibc,0,SH\n", "sid"), "damaged"));
	CHECK(strstr(reads("VERSION 1\nCVE-1", "sid"), "damaged"));
}

static void test_osv(void)
{
	CHECK_STR(
		reads("{\"id\":\"GHSA-1\",\"aliases\":[\"CVE-7\"],\"summary\":\"S\",\"severity\":[{"
		      "\"type\":\"CVSS_V3\",\"score\":"
		      "\"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"}],\"affected\":[{"
		      "\"package\":{\"ecosystem\":\"PyPI\",\"name\":\"Foo_Bar\"},\"ranges\":[{"
		      "\"type\":\"ECOSYSTEM\",\"events\":[{\"fixed\":\"2.1\"},{\"introduced\":"
		      "\"2\"},"
		      "{\"introduced\":\"0\"},{\"last_affected\":\"1.9\"}]},"
		      "{\"type\":\"GIT\",\"events\":[{\"introduced\":\"abc\"}]}]},"
		      "{\"package\":{\"ecosystem\":\"Go\",\"name\":\"x\"}}]}",
		      NULL),
		"PyPI\tfoo-bar\tCVE-7\t5\tI0 L1.9 I2 F2.1\tS\n1 foreign\n");
	CHECK_STR(
		reads("[{\"id\":\"OSV-1\",\"aliases\":[\"CVE-1\",\"CVE-2\"],\"affected\":[{"
		      "\"package\":{\"ecosystem\":\"Ubuntu:22.04:LTS\",\"name\":\"a\"},"
		      "\"database_specific\":{\"severity\":\"MODERATE\"},"
		      "\"versions\":[\"1\",\"2\"]}]},"
		      "{\"id\":\"OSV-2\",\"withdrawn\":\"2020-01-01T00:00:00Z\",\"affected\":[{"
		      "\"package\":{\"ecosystem\":\"npm\",\"name\":\"a\"},\"versions\":[\"1\"]}]}]",
		      NULL),
		"Ubuntu:22.04\ta\tOSV-1\t3\tE1 E2\t\n");
	CHECK(strstr(reads("{\"name\":\"x\"}", NULL), "no id"));
	CHECK(strstr(reads("{\"id\":\"x\"", NULL), "JSON"));
	CHECK(strstr(reads("[{\"id\":\"x\"} {\"id\":\"x\"}]", NULL), "damaged"));
	CHECK(strstr(reads("hello", NULL), "no feed"));
	CHECK(strstr(reads("", NULL), "no feed"));
}

int main(void)
{
	test_tracker();
	test_debsecan();
	test_osv();
	return test_done();
}

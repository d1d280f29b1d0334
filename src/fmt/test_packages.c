/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/packages.h"

#include <errno.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/test.h"

static int note(void *user, const struct package *p)
{
	buf_addf(user, "%.*s %.*s %.*s %.*s;", (int) p->name.n, p->name.p, (int) p->version.n,
		 p->version.p, (int) p->source.n, p->source.p, (int) p->source_version.n,
		 p->source_version.p);
	return 0;
}

static int stop(void *user, const struct package *p)
{
	(void) p;
	++*(int *) user;
	return -E2BIG;
}

static void test_dpkg(void)
{
	static const char status[] =
		"Package: libc6\nStatus: install ok installed\nSource: glibc\nVersion: 2.36-9\n"
		"Description: words\n Package: not\n"
		"\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
		"\nPackage: bash\nVersion: 5.2-2+b1\nSource: bash (5.2-2)\n"
		"\nPackage: bad name\nVersion: 1\n"
		"\nPackage: none\n"
		"\nPackage: last\nStatus: install ok half-configured\nVersion: 3";
	auto_buf struct buf b = BUF_INIT(1000);
	int n = 0;

	CHECK(packages_dpkg(str_of(status), note, &b) == 0);
	CHECK_STR(buf_z(&b), "libc6 2.36-9 glibc 2.36-9;bash 5.2-2+b1 bash 5.2-2;last 3 last 3;");
	CHECK(packages_dpkg(str_of(status), stop, &n) == -E2BIG && n == 1);
	buf_clear(&b);
	CHECK(packages_dpkg(STR(""), note, &b) == 0 && b.n == 0);
}

static void test_apk(void)
{
	auto_buf struct buf b = BUF_INIT(1000);

	CHECK(packages_apk(STR("C:Q1\nP:libcrypto3\nV:3.1.4-r1\no:openssl\nF:lib\n\nP:x\nV:1-r0\n"
			       "\nP:no\n"),
			   note, &b) == 0);
	CHECK_STR(buf_z(&b), "libcrypto3 3.1.4-r1 openssl 3.1.4-r1;x 1-r0 x 1-r0;");
}

static void test_languages(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct package p = { 0 };

	CHECK(packages_python(&a,
			      STR("Metadata-Version: 2.1\r\nName: Foo._Bar\r\nVersion: 1.0\r\n"
				  "\r\nVersion: 9\r\n"),
			      &p) == 0);
	CHECK(str_is(p.name, "foo-bar") && str_is(p.version, "1.0"));
	CHECK(packages_python(&a, STR("Name: x\n\nVersion: 9"), &p) == -EINVAL);
	CHECK(packages_node(&a, STR("{\"name\":\"@a/b\",\"version\":\"1.2.3\"}"), &p) == 0);
	CHECK(str_is(p.name, "@a/b") && str_is(p.version, "1.2.3") && p.kind == PACKAGE_NODE);
	CHECK(packages_node(&a, STR("{\"name\":\"a\"}"), &p) == -EINVAL);
	CHECK(packages_node(&a, STR("{\"name\":\"a b\",\"version\":\"1\"}"), &p) == -EINVAL);
	CHECK(packages_node(&a, STR("[1"), &p) == -EINVAL);
}

static void test_os_release(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct os_release o;

	CHECK(os_release_parse(&a,
			       STR("PRETTY_NAME=\"Debian \\\"12\\\"\"\nID=debian\n"
				   "VERSION_ID='12'\n#ID=no\nVERSION_CODENAME=bookworm"),
			       &o) == 0);
	CHECK_STR(o.name, "Debian \"12\"");
	CHECK_STR(o.id, "debian");
	CHECK_STR(o.version, "12");
	CHECK_STR(o.codename, "bookworm");
	CHECK(os_release_parse(&a, STR(""), &o) == 0);
	CHECK_STR(o.id, "");
}

int main(void)
{
	test_dpkg();
	test_apk();
	test_languages();
	test_os_release();
	return test_done();
}

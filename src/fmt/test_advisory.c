/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/advisory.h"

#include <errno.h>

#include "base/auto.h"
#include "base/test.h"

/* The fixed version where one is hit, "-" where no version is fixed, "" where it is not hit. */
static const char *hits(const char *when, const char *version)
{
	static char text[64];
	struct advisory a = { .when = str_of(when) };
	struct str fixed = { 0 };

	if (!advisory_hits(&a, VERSION_DEBIAN, str_of(version), &fixed))
		return "";
	(void) snprintf(text, sizeof(text), "%.*s", fixed.n ? (int) fixed.n : 1,
			fixed.n ? fixed.p : "-");
	return text;
}

static void test_matching(void)
{
	CHECK_STR(hits("I0", "1"), "-");
	CHECK_STR(hits("I0 F1.2", "1.1"), "1.2");
	CHECK_STR(hits("I0 F1.2", "1.2"), "");
	CHECK_STR(hits("I0 F1.2 I2 F2.4", "1.9"), "");
	CHECK_STR(hits("I0 F1.2 I2 F2.4", "2.0"), "2.4");
	CHECK_STR(hits("I1.5 L1.7", "1.7"), "-");
	CHECK_STR(hits("I1.5 L1.7", "1.8"), "");
	CHECK_STR(hits("I0 U3", "2"), "-");
	CHECK_STR(hits("I0 U3", "3"), "");
	CHECK_STR(hits("E1 E2", "2"), "-");
	CHECK_STR(hits("E1 E2", "3"), "");
	CHECK_STR(hits("I0 F3 N2.1 N2.5", "2.1"), "");
	CHECK_STR(hits("I0 F3 N2.5 N2.1 N1", "2.0"), "2.1");
	CHECK_STR(hits("B I0 F3", "2.0"), "3");
	CHECK_STR(hits("F3", "2.0"), ""); /* nobody said from when */
}

static struct advisory make(const char *ecosystem, const char *package, const char *id)
{
	return (struct advisory){ .ecosystem = str_of(ecosystem),
				  .package = str_of(package),
				  .id = str_of(id),
				  .when = STR("I0"),
				  .summary = STR("a\tb\n"),
				  .severity = SEVERITY_HIGH };
}

static void test_lines(void)
{
	static const char *const bad[] = { "", "x 1", "A1", "I", "BI0", "I0  F1", "I0 B" };
	auto_buf struct buf b = BUF_INIT(10000);
	struct advisory a = make("Debian:12", "x", "CVE-1"), again;

	CHECK(advisory_write(&b, &a) == 0);
	CHECK_STR(buf_z(&b), "Debian:12\tx\tCVE-1\t4\tI0\ta b \n");
	CHECK(advisory_parse((struct str){ b.p, b.n - 1 }, &again));
	CHECK(str_is(again.summary, "a b ") && again.severity == SEVERITY_HIGH);
	buf_clear(&b);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		a.when = str_of(bad[i]);
		CHECK(advisory_write(&b, &a) == -EINVAL && b.n == 0);
	}
	a = make("Debian:12", "x y", "CVE-1");
	CHECK(advisory_write(&b, &a) == -EINVAL);
	CHECK(!advisory_parse(STR("a\tb\tc\t9\tI0\t"), &again));
	CHECK(!advisory_parse(STR("a\tb\tc\t1\tI0"), &again));
	CHECK(!advisory_parse(STR(""), &again));
}

static void test_find(void)
{
	static const char text[] = ADVISORY_HEAD "Debian:12\ta\tC1\t1\tI0\t\n"
						 "Debian:12\tab\tC2\t1\tI0\t\n"
						 "Debian:12\tab\tC3\t1\tI0\t\n"
						 "Debian:12\tb\tC4\t1\tI0\t\n"
						 "PyPI\ta\tC5\t1\tI0\t\n";
	struct str lines, got;

	CHECK(advisory_base(str_of(text), &lines) == 0);
	got = advisory_find(lines, STR("Debian:12"), STR("ab"));
	CHECK(got.n == 44 && str_starts(got, "Debian:12\tab\tC2"));
	got = advisory_find(lines, STR("Debian:12"), STR("a"));
	CHECK(str_is(got, "Debian:12\ta\tC1\t1\tI0\t\n"));
	got = advisory_find(lines, STR("PyPI"), STR("a"));
	CHECK(str_is(got, "PyPI\ta\tC5\t1\tI0\t\n"));
	CHECK(advisory_find(lines, STR("Debian:12"), STR("c")).n == 0);
	CHECK(advisory_find(lines, STR("Debian:1"), STR("")).n == 0);
	CHECK(advisory_find(lines, STR("PyPI"), STR("")).n == 16);
	CHECK(advisory_find(lines, STR("npm"), STR("")).n == 0);
	CHECK(advisory_base(STR(ADVISORY_HEAD), &lines) == 0 && lines.n == 0);
	CHECK(advisory_find(lines, STR("PyPI"), STR("a")).n == 0);
	CHECK(advisory_base(STR("other\n"), &lines) == -EINVAL);
	CHECK(advisory_base(STR(ADVISORY_HEAD "cut"), &lines) == -EINVAL);
}

int main(void)
{
	enum severity s;

	test_matching();
	test_lines();
	test_find();
	CHECK(severity_parse(STR("High"), &s) == 0 && s == SEVERITY_HIGH);
	CHECK(severity_parse(STR("worse"), &s) == -EINVAL);
	return test_done();
}

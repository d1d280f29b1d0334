/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/clock.h"
#include "base/test.h"

static const char *human(nsec_t seconds)
{
	static char text[CLOCK_DURATION_MAX];

	clock_human(seconds * NSEC_PER_SEC, text);
	return text;
}

static void test_dates(void)
{
	char text[CLOCK_RFC3339_MAX];
	nsec_t back;

	/* The limits of an era, leap days, and before 1970; each is read back by the parser. */
	static const struct {
		nsec_t seconds;
		const char *text;
	} dates[] = {
		{ 1, "1970-01-01T00:00:01.000000000Z" },
		{ -1, "1969-12-31T23:59:59.000000000Z" },
		{ 951782400, "2000-02-29T00:00:00.000000000Z" },
		{ 951868800, "2000-03-01T00:00:00.000000000Z" },
		{ 1709251199, "2024-02-29T23:59:59.000000000Z" },
		{ 4107542400, "2100-03-01T00:00:00.000000000Z" },
		{ 1798761599, "2026-12-31T23:59:59.000000000Z" },
	};

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		clock_rfc3339(dates[i].seconds * NSEC_PER_SEC, text);
		CHECK_STR(text, dates[i].text);
		CHECK(clock_parse(str_of(text), &back) == 0 &&
		      back == dates[i].seconds * NSEC_PER_SEC);
	}
}

int main(void)
{
	test_dates();
	char text[CLOCK_RFC3339_MAX], d[CLOCK_DURATION_MAX];
	nsec_t t = 0;

	clock_rfc3339(1700000000123456789, text);
	CHECK_STR(text, "2023-11-14T22:13:20.123456789Z");
	CHECK(clock_parse(str_of(text), &t) == 0 && t == 1700000000123456789);
	CHECK(clock_parse(STR("2023-11-15T00:13:20.123456789+02:00"), &t) == 0 &&
	      t == 1700000000123456789);
	CHECK(clock_parse(STR("1700000000.5"), &t) == 0 && t == 1700000000500000000);
	CHECK(clock_parse(STR("2023-11-14"), &t) == 0 && t == 1699920000 * NSEC_PER_SEC);
	CHECK(clock_parse(STR("2023-13-14"), &t) == -EINVAL);
	CHECK(clock_parse(STR("yesterday"), &t) == -EINVAL);
	clock_rfc3339(0, text);
	CHECK_STR(text, "0001-01-01T00:00:00Z");
	CHECK(clock_parse_duration(STR("1h2m3.5s"), &t) == 0 && t == 3723500 * NSEC_PER_MSEC);
	CHECK(clock_parse_duration(STR("300ms"), &t) == 0 && t == 300 * NSEC_PER_MSEC);
	CHECK(clock_parse_duration(STR("300"), &t) == -EINVAL);
	CHECK(clock_parse_duration(STR(""), &t) == -EINVAL);
	CHECK(clock_parse_duration(STR("9999999999h"), &t) == -ERANGE);
	clock_duration(90 * NSEC_PER_SEC, d);
	CHECK_STR(d, "1m30s");
	CHECK_STR(human(0), "Less than a second");
	CHECK_STR(human(61), "About a minute");
	CHECK_STR(human(7200), "2 hours");
	CHECK_STR(human(86400 * 3), "3 days");
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/num.h"
#include "base/test.h"

static int bytes(const char *z, uint64_t *v)
{
	return num_parse_bytes(str_of(z), v);
}

static void test_mac(void)
{
	static const char *const bad[] = { "",
					   "02:00:00:00:ab",
					   "02:00:00:00:ab:010",
					   "02-00-00-00-ab-01",
					   "02:00:00:00:ab:g1",
					   "2:000:00:00:ab:01" };
	uint8_t mac[6] = {};

	CHECK(num_parse_mac(STR("02:00:00:00:aB:01"), mac) == 0);
	CHECK(memcmp(mac, "\x02\0\0\0\xab\x01", sizeof(mac)) == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(num_parse_mac(str_of(bad[i]), mac) == -EINVAL);
	CHECK(mac[5] == 1);
}

int main(void)
{
	uint64_t v = 0;
	int64_t i = 0;
	uint32_t o = 0;

	CHECK(num_parse_u64(STR("18446744073709551615"), 0, UINT64_MAX, &v) == 0 &&
	      v == UINT64_MAX);
	CHECK(num_parse_u64(STR("18446744073709551616"), 0, UINT64_MAX, &v) == -ERANGE);
	CHECK(num_parse_u64(STR(""), 0, 9, &v) == -EINVAL);
	CHECK(num_parse_u64(STR(" 1"), 0, 9, &v) == -EINVAL);
	CHECK(num_parse_u64(STR("-1"), 0, 9, &v) == -EINVAL);
	CHECK(num_parse_u64(STR("3"), 4, 9, &v) == -ERANGE);
	CHECK(num_parse_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &i) == 0 &&
	      i == INT64_MIN);
	CHECK(num_parse_i64(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &i) == -ERANGE);
	CHECK(num_parse_octal(STR("0755"), 07777, &o) == 0 && o == 0755);
	CHECK(num_parse_octal(STR("8"), 07777, &o) == -EINVAL);
	CHECK(num_parse_fixed(STR("1.5"), 1000, UINT64_MAX, &v) == 0 && v == 1500);
	CHECK(num_parse_fixed(STR(".25"), 1000, UINT64_MAX, &v) == 0 && v == 250);
	CHECK(num_parse_fixed(STR("."), 1000, UINT64_MAX, &v) == -EINVAL);
	CHECK(bytes("64m", &v) == 0 && v == 64 << 20);
	CHECK(bytes("1.5GiB", &v) == 0 && v == 3ull << 29);
	CHECK(bytes("10kb", &v) == 0 && v == 10240);
	CHECK(bytes("7b", &v) == 0 && v == 7);
	CHECK(bytes("7", &v) == 0 && v == 7);
	CHECK(bytes("m", &v) == -EINVAL);
	CHECK(bytes("1mm", &v) == -EINVAL);
	CHECK(bytes("99999999p", &v) == -ERANGE);
	test_mac();
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <errno.h>

static int parse_base(struct str s, uint32_t base, uint64_t max, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		uint32_t digit = (uint32_t) (unsigned char) s.p[i] - '0';

		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*ret_v = v;
	return 0;
}

int num_parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *ret_v)
{
	uint64_t v;
	int r = parse_base(s, 10, max, &v);

	if (r < 0)
		return r;
	if (v < min)
		return -ERANGE;
	*ret_v = v;
	return 0;
}

int num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret_v)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v;
	int64_t i;
	int r;

	if (negative || (s.n && s.p[0] == '+')) {
		s.p++;
		s.n--;
	}
	r = parse_base(s, 10, (uint64_t) INT64_MAX + negative, &v);
	if (r < 0)
		return r;
	i = negative ? (int64_t) (0 - v) : (int64_t) v;
	if (i < min || i > max)
		return -ERANGE;
	*ret_v = i;
	return 0;
}

int num_parse_u32(struct str s, uint32_t min, uint32_t max, uint32_t *ret_v)
{
	uint64_t v;
	int r = num_parse_u64(s, min, max, &v);

	if (r < 0)
		return r;
	*ret_v = (uint32_t) v;
	return 0;
}

int num_parse_octal(struct str s, uint32_t max, uint32_t *ret_v)
{
	uint64_t v;
	int r = parse_base(s, 8, max, &v);

	if (r < 0)
		return r;
	*ret_v = (uint32_t) v;
	return 0;
}

int num_parse_fixed(struct str s, uint32_t scale, uint64_t max, uint64_t *ret_v)
{
	struct str fraction, whole = str_cut(s, '.', &fraction);
	uint64_t v, unit = scale;
	int r;

	if (whole.n == 0 && fraction.n == 0)
		return -EINVAL;
	r = whole.n ? parse_base(whole, 10, UINT64_MAX, &v) : (v = 0, 0);
	if (r < 0)
		return r;
	if (!mul_u64(v, scale, &v))
		return -ERANGE;
	for (size_t i = 0; i < fraction.n; i++) {
		uint32_t digit = (uint32_t) (unsigned char) fraction.p[i] - '0';

		if (digit > 9)
			return -EINVAL;
		unit /= 10;
		if (!add_u64(v, unit * digit, &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*ret_v = v;
	return 0;
}

#define FRACTION_DIGITS 9

int num_parse_bytes(struct str s, uint64_t *ret_v)
{
	static const char units[] = "kmgtp";
	uint64_t unit = 1, whole = 0, part = 0, parts = 1;
	struct str digits = s, fraction;
	size_t i = 0;
	int r;

	while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'))
		i++;
	digits.n = i;
	if (i < s.n) {
		char c = (char) (s.p[i] | 0x20);
		const char *at = strchr(units, c);

		if (at && c) {
			for (const char *u = units; u <= at; u++)
				unit *= 1024;
			i++;
			if (i < s.n && (s.p[i] | 0x20) == 'i')
				i++;
			if (i < s.n && (s.p[i] | 0x20) == 'b')
				i++;
		} else if (c == 'b') {
			i++;
		}
		if (i != s.n)
			return -EINVAL;
	}
	digits = str_cut(digits, '.', &fraction);
	if (digits.n == 0 && fraction.n == 0)
		return -EINVAL;
	r = digits.n ? parse_base(digits, 10, UINT64_MAX, &whole) : 0;
	if (r < 0)
		return r;
	if (!mul_u64(whole, unit, &whole))
		return -ERANGE;
	for (i = 0; i < fraction.n; i++) {
		uint32_t digit = (uint32_t) (unsigned char) fraction.p[i] - '0';

		if (digit > 9)
			return -EINVAL;
		if (i < FRACTION_DIGITS) {
			part = part * 10 + digit;
			parts *= 10;
		}
	}
	/* 2^50 times 10^9 needs more than 64 bits. */
	if (!add_u64(whole, (uint64_t) ((unsigned __int128) unit * part / parts), &whole))
		return -ERANGE;
	*ret_v = whole;
	return 0;
}

int num_parse_mac(struct str s, uint8_t ret_mac[static 6])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t mac[6] = {};

	if (s.n != 17)
		return -EINVAL;
	for (size_t i = 0; i < 17; i++) {
		char c = s.p[i] >= 'A' && s.p[i] <= 'F' ? (char) (s.p[i] | 0x20) : s.p[i];
		const char *at = c ? strchr(digits, c) : NULL;

		if (i % 3 == 2 ? c != ':' : !at)
			return -EINVAL;
		if (i % 3 != 2)
			mac[i / 3] = (uint8_t) (mac[i / 3] << 4 | (at - digits));
	}
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

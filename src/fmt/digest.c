/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/digest.h"

#include <errno.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int digest_parse_hex(struct str s, struct digest *ret_d)
{
	struct digest d;

	if (s.n != DIGEST_HEX_LEN)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(d.b); i++) {
		int hi = hex_value(s.p[2 * i]), lo = hex_value(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		d.b[i] = (uint8_t) (hi << 4 | lo);
	}
	*ret_d = d;
	return 0;
}

int digest_parse(struct str s, struct digest *ret_d)
{
	if (!str_starts(s, "sha256:"))
		return -EINVAL;
	return digest_parse_hex((struct str){ s.p + 7, s.n - 7 }, ret_d);
}

void digest_hex(const struct digest *d, char ret_hex[static DIGEST_HEX_MAX])
{
	for (size_t i = 0; i < sizeof(d->b); i++) {
		ret_hex[2 * i] = hex_digits[d->b[i] >> 4];
		ret_hex[2 * i + 1] = hex_digits[d->b[i] & 15];
	}
	ret_hex[DIGEST_HEX_LEN] = '\0';
}

void digest_text(const struct digest *d, char ret_text[static DIGEST_TEXT_MAX])
{
	memcpy(ret_text, "sha256:", 7);
	digest_hex(d, ret_text + 7);
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/base64.h"

#include <errno.h>
#include <stdint.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct buf *out, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i += 3) {
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < bytes.n ? (unsigned char) bytes.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			buf_addc(out, i + k > bytes.n ? '=' : letters[v >> (18 - 6 * k) & 63]);
	}
}

static int value_of(char c)
{
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? (int) (at - letters) : -1;
}

int base64_read(struct str text, struct buf *out)
{
	size_t pad = 0;

	if (text.n % 4)
		return -EINVAL;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t n = i + 4 == text.n ? 4 - pad : 4;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int one = k < n ? value_of(text.p[i + k]) : 0;

			if (one < 0)
				return -EINVAL;
			v = v << 6 | (uint32_t) one;
		}
		if (v & ((1u << 8 * (4 - n)) - 1)) /* bits that nobody wrote */
			return -EINVAL;
		for (size_t k = 0; k + 1 < n; k++)
			buf_addc(out, (char) (v >> (16 - 8 * k)));
	}
	return buf_error(out);
}

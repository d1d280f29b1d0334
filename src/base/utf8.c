/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

size_t utf8_length(struct str s)
{
	const unsigned char *p = (const unsigned char *) s.p;
	size_t n = p[0] < 0x80	 ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void utf8_put(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_addc(b, (char) c);
	} else if (c < 0x800) {
		buf_addc(b, (char) (0xc0 | c >> 6));
		buf_addc(b, (char) (0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_addc(b, (char) (0xe0 | c >> 12));
		buf_addc(b, (char) (0x80 | (c >> 6 & 0x3f)));
		buf_addc(b, (char) (0x80 | (c & 0x3f)));
	} else {
		buf_addc(b, (char) (0xf0 | c >> 18));
		buf_addc(b, (char) (0x80 | (c >> 12 & 0x3f)));
		buf_addc(b, (char) (0x80 | (c >> 6 & 0x3f)));
		buf_addc(b, (char) (0x80 | (c & 0x3f)));
	}
}

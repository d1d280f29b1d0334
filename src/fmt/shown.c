/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/shown.h"

struct shown shown_of(struct str s)
{
	static const char hex[] = "0123456789abcdef";
	struct shown r = {};
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char) s.p[i];

		if (n + 8 > sizeof(r.z)) {
			memcpy(r.z + n, "...", 4);
			return r;
		}
		if (c >= ' ' && c < 0x7f && c != '\\') {
			r.z[n++] = (char) c;
			continue;
		}
		r.z[n++] = '\\';
		r.z[n++] = 'x';
		r.z[n++] = hex[c >> 4];
		r.z[n++] = hex[c & 15];
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/url.h"

static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("-._~:/,", c));
}

void url_escape(struct buf *to, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (is_plain(text.p[i]))
			buf_addc(to, text.p[i]);
		else
			buf_addf(to, "%%%02X", (unsigned int) (unsigned char) text.p[i]);
	}
}

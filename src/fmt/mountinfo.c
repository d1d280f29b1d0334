/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/mountinfo.h"

#include <errno.h>

#include "base/num.h"

/* Blanks, tabs, line ends and backslashes stand as a backslash and three octal digits. */
static char *unescape(struct arena *a, struct str s)
{
	char *text = arena_dup(a, s), *to = text;

	for (size_t i = 0; text && i < s.n; i++) {
		uint32_t c;

		if (s.p[i] == '\\' && s.n - i >= 4 &&
		    num_parse_octal((struct str){ s.p + i + 1, 3 }, 0xff, &c) == 0 && c) {
			*to++ = (char) c;
			i += 3;
		} else {
			*to++ = s.p[i];
		}
	}
	if (text)
		*to = '\0';
	return text;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" */
static int parse_line(struct arena *a, struct str line, struct mountinfo *m)
{
	struct str word[6], rest = line;

	for (size_t i = 0; i < 6; i++) {
		word[i] = str_cut(rest, ' ', &rest);
		if (!rest.p || !word[i].n)
			return -EBADMSG;
	}
	for (struct str tag = str_cut(rest, ' ', &rest); !str_is(tag, "-");
	     tag = str_cut(rest, ' ', &rest)) {
		if (!rest.p)
			return -EBADMSG;
	}
	if (!rest.p || num_parse_u64(word[0], 0, UINT64_MAX, &m->id) < 0 ||
	    num_parse_u64(word[1], 0, UINT64_MAX, &m->parent) < 0)
		return -EBADMSG;
	m->root = unescape(a, word[3]);
	m->at = unescape(a, word[4]);
	m->fstype = unescape(a, str_cut(rest, ' ', &rest));
	return m->root && m->at && m->fstype ? 0 : -ENOMEM;
}

int mountinfo_parse(struct arena *a, struct str text, const struct mountinfo **ret_v, size_t *ret_n)
{
	struct mountinfo *v = NULL;
	size_t n = 0;

	for (struct str rest = text; rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest);
		struct mountinfo *m = arena_push(a, &v, &n, sizeof(*m));
		int r = m ? parse_line(a, line, m) : -ENOMEM;

		if (r < 0)
			return r;
	}
	*ret_v = v;
	*ret_n = n;
	return 0;
}

const struct mountinfo *mountinfo_find(const struct mountinfo *v, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].id == id)
			return &v[i];
	}
	return NULL;
}

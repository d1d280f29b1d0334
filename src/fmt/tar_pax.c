/* SPDX-License-Identifier: Apache-2.0 */
/* pax records, "LENGTH KEY=VALUE\n": POSIX.1-2017, pax, "pax Extended Header". */
#include "fmt/tar_pax.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "fmt/tar.h"

static int set_name(struct tar *t, struct buf *to, struct str v, bool *flag, struct err *e)
{
	if (v.n == 0 || v.n > TAR_NAME_MAX || memchr(v.p, '\0', v.n))
		return tar_bad(t, e,
			       "a name that is empty, longer than 4095 bytes or holds a NUL byte");
	buf_clear(to);
	buf_addstr(to, v);
	if (!buf_ok(to))
		return tar_no_memory(e);
	*flag = true;
	return 0;
}

static int set_u64(struct tar *t, struct str v, uint64_t max, uint64_t *to, bool *flag,
		   struct err *e)
{
	if (num_parse_u64(v, 0, max, to) < 0)
		return tar_bad(t, e, "a bad number in an extended header");
	*flag = true;
	return 0;
}

static int set_id(struct tar *t, struct str v, uint32_t *to, bool *flag, struct err *e)
{
	uint64_t id = 0;
	int r = set_u64(t, v, UINT32_MAX - 1, &id, flag, e);

	if (r == 0)
		*to = (uint32_t) id;
	return r;
}

/* "-1.25", "1700000000.123456789"; digits past the ninth are dropped. */
static int set_mtime(struct tar *t, struct str v, struct err *e)
{
	struct str frac = {}, whole = str_cut(v, '.', &frac);
	int64_t s = 0;
	uint32_t ns = 0;

	if (num_parse_i64(whole, INT64_MIN / 2, INT64_MAX / 2, &s) < 0)
		return tar_bad(t, e, "a bad time in an extended header");
	for (size_t i = 0; i < 9; i++) {
		char c = i < frac.n ? frac.p[i] : '0';

		if (c < '0' || c > '9')
			return tar_bad(t, e, "a bad time in an extended header");
		ns = ns * 10 + (uint32_t) (c - '0');
	}
	if (whole.n && whole.p[0] == '-' && ns) {
		s--;
		ns = 1000000000u - ns;
	}
	t->mtime = s;
	t->mtime_ns = ns;
	t->has_mtime = true;
	return 0;
}

static int add_xattr(struct tar *t, struct str name, struct str value, struct err *e)
{
	struct tar_xattr *x = NULL;

	if (name.n == 0 || name.n > 255 || memchr(name.p, '\0', name.n))
		return tar_bad(t, e, "a bad name of an extended attribute");
	for (size_t i = 0; i < t->xattrs_n && !x; i++)
		if (str_eq(str_of(t->xattrs[i].name), name))
			x = &t->xattrs[i];
	if (!x) {
		if (t->xattrs_n == TAR_XATTRS_MAX)
			return tar_bad(t, e, "too many extended attributes");
		x = &t->xattrs[t->xattrs_n];
		x->name = arena_dup(&t->arena, name);
		if (!x->name)
			return tar_no_memory(e);
		t->xattrs_n++;
	}
	x->value = (struct str){ arena_dup(&t->arena, value), value.n };
	return x->value.p ? 0 : tar_no_memory(e);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* LIBARCHIVE.xattr: the name percent-encoded, the value in base64, often without padding. */
static int add_libarchive_xattr(struct tar *t, struct str name, struct str value, struct err *e)
{
	char *plain = arena_alloc(&t->arena, name.n + 1);
	char *bytes = arena_alloc(&t->arena, value.n + 1);
	size_t n = 0, m = 0;
	uint32_t acc = 0, bits = 0;

	if (!plain || !bytes)
		return tar_no_memory(e);
	for (size_t i = 0; i < name.n; i++) {
		uint32_t v = 0;

		if (name.p[i] != '%') {
			plain[n++] = name.p[i];
			continue;
		}
		if (i + 2 >= name.n)
			return tar_bad(t, e, "a bad name of an extended attribute");
		for (size_t k = 1; k <= 2; k++) {
			char c = name.p[i + k];

			v = v * 16 + (uint32_t) (c >= '0' && c <= '9'	? c - '0'
						 : c >= 'A' && c <= 'F' ? c - 'A' + 10
						 : c >= 'a' && c <= 'f' ? c - 'a' + 10
									: 0);
		}
		plain[n++] = (char) v;
		i += 2;
	}
	for (size_t i = 0; i < value.n && value.p[i] != '='; i++) {
		int v = base64_value(value.p[i]);

		if (v < 0)
			return tar_bad(t, e, "a bad value of an extended attribute");
		acc = acc << 6 | (uint32_t) v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[m++] = (char) (acc >> bits & 0xff);
		}
	}
	return add_xattr(t, (struct str){ plain, n }, (struct str){ bytes, m }, e);
}

/* GNU.sparse.map of version 0.1: "offset,length,offset,length". */
static int sparse_list(struct tar *t, struct str v, struct err *e)
{
	t->segments_n = 0;
	while (v.p && v.n) {
		struct str off = str_cut(v, ',', &v), len = str_cut(v, ',', &v);
		uint64_t o, l;
		int r;

		if (num_parse_u64(off, 0, INT64_MAX, &o) < 0 ||
		    num_parse_u64(len, 0, INT64_MAX, &l) < 0)
			return tar_bad(t, e, "a bad number in the map of a sparse file");
		r = tar_segment_add(t, o, l, e);
		if (r < 0)
			return r;
	}
	t->sparse = true;
	return 0;
}

/* "GNU.sparse." has been cut off the key. */
static int sparse_key(struct tar *t, struct str key, struct str v, struct err *e)
{
	uint64_t number = 0;
	bool ok = false;
	int r;

	if (str_is(key, "name"))
		return set_name(t, &t->name, v, &t->has_name, e);
	if (str_is(key, "map"))
		return sparse_list(t, v, e);
	if (str_is(key, "size") || str_is(key, "realsize")) {
		t->sparse = true;
		return set_u64(t, v, INT64_MAX, &t->real_size, &t->has_real_size, e);
	}
	if (str_is(key, "major")) {
		if (str_is(v, "1"))
			t->sparse = t->sparse_map = true;
		return 0;
	}
	if (!str_is(key, "offset") && !str_is(key, "numbytes"))
		return 0; /* minor, numblocks: implied by the rest */
	r = set_u64(t, v, INT64_MAX, &number, &ok, e);
	if (r < 0)
		return r;
	t->sparse = true;
	if (str_is(key, "offset"))
		return tar_segment_add(t, number, 0, e);
	if (t->segments_n == 0)
		return tar_bad(t, e, "the map of a sparse file begins with a length");
	t->segments[t->segments_n - 1].len = number;
	return 0;
}

static int record(struct tar *t, struct str key, struct str v, struct err *e)
{
	static const char schily[] = "SCHILY.xattr.", libarchive[] = "LIBARCHIVE.xattr.",
			  sparse[] = "GNU.sparse.";

	/* GNU.sparse.name is the real one; "path" beside it is a made-up "GNUSparseFile.0/x". */
	if (str_is(key, "path"))
		return t->sparse && t->has_name ? 0 : set_name(t, &t->name, v, &t->has_name, e);
	if (str_is(key, "linkpath"))
		return set_name(t, &t->link, v, &t->has_link, e);
	if (str_is(key, "size"))
		return set_u64(t, v, INT64_MAX, &t->size, &t->has_size, e);
	if (str_is(key, "uid"))
		return set_id(t, v, &t->uid, &t->has_uid, e);
	if (str_is(key, "gid"))
		return set_id(t, v, &t->gid, &t->has_gid, e);
	if (str_is(key, "mtime"))
		return set_mtime(t, v, e);
	if (str_starts(key, schily))
		return add_xattr(
			t, (struct str){ key.p + sizeof(schily) - 1, key.n - sizeof(schily) + 1 },
			v, e);
	if (str_starts(key, libarchive))
		return add_libarchive_xattr(t,
					    (struct str){ key.p + sizeof(libarchive) - 1,
							  key.n - sizeof(libarchive) + 1 },
					    v, e);
	if (str_starts(key, sparse))
		return sparse_key(
			t, (struct str){ key.p + sizeof(sparse) - 1, key.n - sizeof(sparse) + 1 },
			v, e);
	return 0;
}

int tar_pax(struct tar *t, struct str text, struct err *e)
{
	while (text.n) {
		const char *blank = memchr(text.p, ' ', text.n < 12 ? text.n : 12);
		const char *equals;
		uint64_t len;
		size_t head;
		int r;

		if (!blank)
			return tar_bad(t, e, "a record of an extended header without length");
		head = (size_t) (blank - text.p) + 1;
		if (num_parse_u64((struct str){ text.p, head - 1 }, 1, text.n, &len) < 0 ||
		    len < head + 2 || text.p[len - 1] != '\n')
			return tar_bad(t, e, "a record of an extended header with a lying length");
		equals = memchr(text.p + head, '=', (size_t) len - head);
		if (!equals || equals == text.p + head)
			return tar_bad(t, e, "a record of an extended header without a key");
		r = record(t, (struct str){ text.p + head, (size_t) (equals - text.p) - head },
			   (struct str){ equals + 1, (size_t) (text.p + len - 1 - (equals + 1)) },
			   e);
		if (r < 0)
			return r;
		text = (struct str){ text.p + len, text.n - (size_t) len };
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/fields.h"

#include <assert.h>
#include <errno.h>

#include "base/auto.h"

#define FIELD_BYTES 6	  /* tag:u16 length:u32 */
#define COUNT_BYTES 2	  /* of a list's member: how many fields it has */
#define STRINGS_MAX 16384 /* members of one list */
#define LIST_MAX    4096
#define LIST_DEPTH  4

static void *at(void *p, const struct field *f)
{
	return (char *) p + f->offset;
}

static const void *at_const(const void *p, const struct field *f)
{
	return (const char *) p + f->offset;
}

void field_put_le(struct buf *b, uint64_t v, size_t bytes)
{
	unsigned char p[8];

	for (size_t i = 0; i < bytes; i++)
		p[i] = (unsigned char) (v >> (8 * i));
	buf_add(b, p, bytes);
}

uint64_t field_get_le(const char *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t) (unsigned char) p[i] << (8 * i);
	return v;
}

/* Numbers that were not known when their place was written. */
static void set_le(struct buf *b, size_t pos, uint64_t v, size_t bytes)
{
	for (size_t i = 0; buf_ok(b) && i < bytes; i++)
		b->p[pos + i] = (char) (v >> (8 * i));
}

void fields_init(const struct field_layout *l, void *p)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct field *f = &l->v[i];

		if (f->kind == FIELD_STRING)
			*(const char **) at(p, f) = "";
		else if (f->kind == FIELD_FD)
			*(int *) at(p, f) = FD_NONE;
	}
}

void fields_close_fds(const struct field_layout *l, void *p)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].kind == FIELD_FD)
			close_fd(at(p, &l->v[i]));
}

/* ---- to bytes ---------------------------------------------------------------------------- */

static void put_field(struct buf *out, size_t tag, size_t len)
{
	field_put_le(out, tag, 2);
	field_put_le(out, len, 4);
}

static void put_strings(struct buf *out, size_t tag, const struct field_strings *s)
{
	size_t len = 0;

	for (size_t i = 0; i < s->n; i++)
		len += strlen(s->v[i]) + 1;
	put_field(out, tag, len);
	for (size_t i = 0; i < s->n; i++)
		buf_add(out, s->v[i], strlen(s->v[i]) + 1);
}

static void put_list(struct buf *out, size_t tag, const struct field_layout *l,
		     const struct field_list *list)
{
	size_t begin = out->n + FIELD_BYTES, none = 0;
	int no_fds[FIELD_FDS_MAX];

	put_field(out, tag, 0);
	for (size_t i = 0; i < list->n; i++) {
		size_t count, pos = out->n;

		field_put_le(out, 0, COUNT_BYTES);
		count = fields_encode(l, (const char *) list->v + i * l->size, out, no_fds, &none);
		set_le(out, pos, count, COUNT_BYTES);
	}
	set_le(out, begin - 4, out->n - begin, 4);
}

/* One field, unless it says nothing; whether it was written. */
static bool encode_field(const void *base, const struct field *f, size_t tag, struct buf *out,
			 int *ret_fds, size_t *ret_fds_n)
{
	const void *p = at_const(base, f);
	const char *z;
	struct str s;

	switch (f->kind) {
	case FIELD_U64:
		if (!*(const uint64_t *) p)
			return false;
		put_field(out, tag, 8);
		field_put_le(out, *(const uint64_t *) p, 8);
		return true;
	case FIELD_BOOL:
		if (!*(const bool *) p)
			return false;
		put_field(out, tag, 1);
		field_put_le(out, 1, 1);
		return true;
	case FIELD_STRING:
		z = *(const char *const *) p;
		if (!z || !*z)
			return false;
		put_field(out, tag, strlen(z) + 1);
		buf_add(out, z, strlen(z) + 1);
		return true;
	case FIELD_DATA:
		s = *(const struct str *) p;
		if (!s.n)
			return false;
		put_field(out, tag, s.n);
		buf_addstr(out, s);
		return true;
	case FIELD_STRINGS:
		if (!((const struct field_strings *) p)->n)
			return false;
		put_strings(out, tag, p);
		return true;
	case FIELD_LIST:
		if (!((const struct field_list *) p)->n)
			return false;
		put_list(out, tag, f->list, p);
		return true;
	case FIELD_FD:
		if (*(const int *) p < 0)
			return false;
		assert(*ret_fds_n < FIELD_FDS_MAX);
		put_field(out, tag, 1);
		field_put_le(out, *ret_fds_n, 1);
		ret_fds[(*ret_fds_n)++] = *(const int *) p;
		return true;
	}
	return false;
}

size_t fields_encode(const struct field_layout *l, const void *p, struct buf *out,
		     int ret_fds[static FIELD_FDS_MAX], size_t *ret_fds_n)
{
	size_t written = 0;

	for (size_t i = 0; i < l->n; i++)
		if (encode_field(p, &l->v[i], i + 1, out, ret_fds, ret_fds_n))
			written++;
	return written;
}

/* ---- from bytes -------------------------------------------------------------------------- */

struct decoding {
	struct arena *a;
	int *fds;
	size_t fds_n;
	unsigned depth;
};

static int decode_some(struct decoding *d, const struct field_layout *l, size_t count,
		       struct str *bytes, void *base);

static int decode_strings(struct arena *a, struct str s, struct field_strings *ret)
{
	size_t n = 0;
	const char **v;

	if (!s.n || s.p[s.n - 1])
		return -EBADMSG;
	for (size_t i = 0; i < s.n; i++)
		n += !s.p[i];
	if (n > STRINGS_MAX)
		return -EBADMSG;
	v = arena_array(a, n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i] = s.p;
		s.p += strlen(s.p) + 1;
	}
	*ret = (struct field_strings){ v, n };
	return 0;
}

static int decode_list(struct decoding *d, const struct field_layout *l, struct str s,
		       struct field_list *ret)
{
	int r = d->depth < LIST_DEPTH ? 0 : -EBADMSG;

	d->depth++;
	*ret = (struct field_list){};
	while (r == 0 && s.n) {
		size_t count;
		void *member;

		if (s.n < COUNT_BYTES || ret->n == LIST_MAX)
			return -EBADMSG;
		count = field_get_le(s.p, COUNT_BYTES);
		s.p += COUNT_BYTES;
		s.n -= COUNT_BYTES;
		member = arena_push(d->a, &ret->v, &ret->n, l->size);
		if (!member)
			return -ENOMEM;
		fields_init(l, member);
		r = decode_some(d, l, count, &s, member);
	}
	d->depth--;
	return r;
}

static int decode_field(struct decoding *d, const struct field *f, struct str s, void *base)
{
	void *p = at(base, f);
	uint64_t v;

	switch (f->kind) {
	case FIELD_U64:
		if (s.n != 8)
			return -EBADMSG;
		v = field_get_le(s.p, 8);
		if (f->max && v > f->max)
			return -EBADMSG;
		*(uint64_t *) p = v;
		return 0;
	case FIELD_BOOL:
		if (s.n != 1 || s.p[0] != 1)
			return -EBADMSG;
		*(bool *) p = true;
		return 0;
	case FIELD_STRING:
		if (!s.n || memchr(s.p, 0, s.n) != s.p + s.n - 1)
			return -EBADMSG;
		*(const char **) p = s.p;
		return 0;
	case FIELD_DATA:
		*(struct str *) p = s;
		return 0;
	case FIELD_STRINGS:
		return decode_strings(d->a, s, p);
	case FIELD_LIST:
		return decode_list(d, f->list, s, p);
	case FIELD_FD:
		if (s.n != 1 || (unsigned char) s.p[0] >= d->fds_n)
			return -EBADMSG;
		v = (unsigned char) s.p[0];
		if (d->fds[v] < 0)
			return -EBADMSG;
		*(int *) p = take_fd(&d->fds[v]);
		return 0;
	}
	return -EBADMSG;
}

/* So many fields off the front of *bytes. */
static int decode_some(struct decoding *d, const struct field_layout *l, size_t count,
		       struct str *bytes, void *base)
{
	size_t last = 0;

	for (size_t i = 0; i < count; i++) {
		size_t tag, len;
		int r;

		if (bytes->n < FIELD_BYTES)
			return -EBADMSG;
		tag = field_get_le(bytes->p, 2);
		len = field_get_le(bytes->p + 2, 4);
		bytes->p += FIELD_BYTES;
		bytes->n -= FIELD_BYTES;
		if (tag <= last || tag > l->n || len > bytes->n)
			return -EBADMSG;
		r = decode_field(d, &l->v[tag - 1], (struct str){ bytes->p, len }, base);
		if (r < 0)
			return r;
		last = tag;
		bytes->p += len;
		bytes->n -= len;
	}
	return 0;
}

int fields_decode(const struct field_layout *l, struct arena *a, struct str bytes, size_t count,
		  int *fds, size_t fds_n, void *ret_p)
{
	struct decoding d = { a, fds, fds_n, 0 };
	int r = decode_some(&d, l, count, &bytes, ret_p);

	return r < 0 ? r : bytes.n ? -EBADMSG : 0;
}

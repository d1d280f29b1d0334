/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/dbus.h"

#include <errno.h>

#define DEPTH_MAX   32
#define FIELDS_MAX  (64u << 10) /* bytes of header fields: what a peer can need is far less */
#define WELCOME_MAX 512		/* bytes of the server's first words */

enum field {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR,
	FIELD_REPLY_SERIAL,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE,
	FIELD_UNIX_FDS,
};

static uint32_t load_u32(const char *p, bool big)
{
	const unsigned char *u = (const unsigned char *) p;

	return big ? (uint32_t) u[0] << 24 | (uint32_t) u[1] << 16 | (uint32_t) u[2] << 8 | u[3]
		   : (uint32_t) u[3] << 24 | (uint32_t) u[2] << 16 | (uint32_t) u[1] << 8 | u[0];
}

/* ---- reading --------------------------------------------------------------------------- */

static int skip_to(struct dbus_reader *r, size_t alignment)
{
	while (r->at % alignment != 0) {
		if (r->at >= r->data.n || r->data.p[r->at] != 0)
			return -EBADMSG; /* padding is zero */
		r->at++;
	}
	return 0;
}

static int read_u8(struct dbus_reader *r, uint8_t *ret_v)
{
	if (r->at >= r->data.n)
		return -EBADMSG;
	*ret_v = (uint8_t) r->data.p[r->at++];
	return 0;
}

int dbus_read_u32(struct dbus_reader *r, uint32_t *ret_v)
{
	int res = skip_to(r, 4);

	if (res < 0)
		return res;
	if (r->data.n - r->at < 4)
		return -EBADMSG;
	*ret_v = load_u32(r->data.p + r->at, r->big);
	r->at += 4;
	return 0;
}

/* n bytes, none of them NUL, and a NUL. */
static int read_text(struct dbus_reader *r, size_t n, struct str *ret_s)
{
	if (n >= r->data.n - r->at || r->data.p[r->at + n] != 0 || memchr(r->data.p + r->at, 0, n))
		return -EBADMSG;
	*ret_s = (struct str){ r->data.p + r->at, n };
	r->at += n + 1;
	return 0;
}

int dbus_read_string(struct dbus_reader *r, struct str *ret_s)
{
	uint32_t n;
	int res = dbus_read_u32(r, &n);

	return res < 0 ? res : read_text(r, n, ret_s);
}

static int read_signature(struct dbus_reader *r, struct str *ret_s)
{
	uint8_t n;
	int res = read_u8(r, &n);

	return res < 0 ? res : read_text(r, n, ret_s);
}

/* The value of a header field that nobody knows: of a basic type, or we do not understand it. */
static int skip_basic(struct dbus_reader *r, char type)
{
	struct str text;
	size_t size = dbus_alignment(type);

	switch (type) {
	case 's':
	case 'o':
		return dbus_read_string(r, &text);
	case 'g':
		return read_signature(r, &text);
	case 'y':
	case 'b':
	case 'n':
	case 'q':
	case 'i':
	case 'u':
	case 'h':
	case 'x':
	case 't':
	case 'd':
		break;
	default:
		return -EBADMSG;
	}
	int res = skip_to(r, size);

	if (res < 0)
		return res;
	if (r->data.n - r->at < size)
		return -EBADMSG;
	r->at += size;
	return 0;
}

static int read_field(struct dbus_reader *r, struct dbus_message *m)
{
	static const char types[] = "\0osssussgu";
	struct str sig, *to = NULL;
	uint8_t code;
	int res = read_u8(r, &code);

	if (res == 0)
		res = read_signature(r, &sig);
	if (res < 0)
		return res;
	if (sig.n != 1 || code == 0 || (code <= FIELD_UNIX_FDS && sig.p[0] != types[code]))
		return -EBADMSG;
	switch (code) {
	case FIELD_PATH:
		to = &m->path;
		break;
	case FIELD_INTERFACE:
		to = &m->interface;
		break;
	case FIELD_MEMBER:
		to = &m->member;
		break;
	case FIELD_ERROR:
		to = &m->error;
		break;
	case FIELD_SENDER:
		to = &m->sender;
		break;
	case FIELD_REPLY_SERIAL:
		return dbus_read_u32(r, &m->reply_serial);
	case FIELD_SIGNATURE:
		return read_signature(r, &m->signature);
	default:
		return skip_basic(r, sig.p[0]);
	}
	return dbus_read_string(r, to);
}

int dbus_size(struct str head, size_t *ret_n)
{
	if (head.n < DBUS_HEAD_SIZE || (head.p[0] != 'l' && head.p[0] != 'B') || head.p[3] != 1)
		return -EBADMSG;
	bool big = head.p[0] == 'B';
	uint32_t body = load_u32(head.p + 4, big), fields = load_u32(head.p + 12, big);

	if (body > DBUS_MESSAGE_MAX || fields > FIELDS_MAX)
		return -EMSGSIZE;
	size_t n = ((DBUS_HEAD_SIZE + (size_t) fields + 7) & ~(size_t) 7) + body;

	if (n > DBUS_MESSAGE_MAX)
		return -EMSGSIZE;
	*ret_n = n;
	return 0;
}

static bool complete(const struct dbus_message *m)
{
	switch (m->kind) {
	case DBUS_CALL:
		return m->path.n && m->member.n;
	case DBUS_RETURN:
		return m->reply_serial != 0;
	case DBUS_ERROR:
		return m->reply_serial != 0 && m->error.n;
	case DBUS_SIGNAL:
		return m->path.n && m->interface.n && m->member.n;
	}
	return false;
}

int dbus_parse(struct str bytes, struct dbus_message *ret_m)
{
	struct dbus_message m = { 0 };
	size_t size;
	int r = dbus_size(bytes, &size);

	if (r < 0)
		return r;
	if (bytes.n != size || bytes.p[1] < DBUS_CALL || bytes.p[1] > DBUS_SIGNAL)
		return -EBADMSG;
	m.kind = (enum dbus_kind) bytes.p[1];
	m.big = bytes.p[0] == 'B';
	m.serial = load_u32(bytes.p + 8, m.big);
	size_t end = DBUS_HEAD_SIZE + load_u32(bytes.p + 12, m.big);
	/* Counted from the message's start, as alignment is. */
	struct dbus_reader in = { .data = { bytes.p, end }, .at = DBUS_HEAD_SIZE, .big = m.big };

	if (m.serial == 0 || end > size)
		return -EBADMSG;
	while (in.at < end) {
		r = skip_to(&in, 8);
		if (r == 0)
			r = read_field(&in, &m);
		if (r < 0)
			return r;
	}
	in.data.n = size;
	r = skip_to(&in, 8);
	if (r < 0)
		return r;
	m.body = (struct str){ bytes.p + in.at, size - in.at };
	if (!complete(&m) || (m.body.n > 0 && m.signature.n == 0))
		return -EBADMSG;
	*ret_m = m;
	return 0;
}

/* ---- writing --------------------------------------------------------------------------- */

void dbus_align(struct buf *b, size_t to)
{
	while (b->n % to != 0 && buf_ok(b))
		buf_addc(b, 0);
}

void dbus_u8(struct buf *b, uint8_t v)
{
	buf_addc(b, (char) v);
}

void dbus_u16(struct buf *b, uint16_t v)
{
	dbus_align(b, 2);
	dbus_u8(b, (uint8_t) (v & 0xff));
	dbus_u8(b, (uint8_t) (v >> 8));
}

void dbus_u32(struct buf *b, uint32_t v)
{
	dbus_align(b, 4);
	dbus_u16(b, (uint16_t) (v & 0xffff));
	dbus_u16(b, (uint16_t) (v >> 16));
}

void dbus_u64(struct buf *b, uint64_t v)
{
	dbus_align(b, 8);
	dbus_u32(b, (uint32_t) (v & UINT32_MAX));
	dbus_u32(b, (uint32_t) (v >> 32));
}

void dbus_bool(struct buf *b, bool v)
{
	dbus_u32(b, v);
}

void dbus_string(struct buf *b, struct str v)
{
	if (v.n > DBUS_MESSAGE_MAX)
		b->failed = true;
	dbus_u32(b, (uint32_t) v.n);
	buf_addstr(b, v);
	buf_addc(b, 0);
}

void dbus_signature(struct buf *b, struct str v)
{
	if (v.n > DBUS_NAME_MAX)
		b->failed = true;
	dbus_u8(b, (uint8_t) v.n);
	buf_addstr(b, v);
	buf_addc(b, 0);
}

struct dbus_array dbus_array(struct buf *b, size_t element_alignment)
{
	struct dbus_array a;

	dbus_align(b, 4);
	a.length_at = b->n;
	dbus_u32(b, 0);
	dbus_align(b, element_alignment); /* not part of its length */
	a.start = b->n;
	return a;
}

void dbus_array_end(struct buf *b, struct dbus_array a)
{
	if (!buf_ok(b))
		return;
	size_t n = b->n - a.start;

	for (size_t i = 0; i < 4; i++)
		b->p[a.length_at + i] = (char) (n >> (8 * i) & 0xff);
}

static void put_field(struct buf *b, enum field code, char type, const char *text)
{
	if (!text || !text[0])
		return;
	dbus_align(b, 8);
	dbus_u8(b, (uint8_t) code);
	dbus_signature(b, (struct str){ &type, 1 });
	if (type == 'g')
		dbus_signature(b, str_of(text));
	else
		dbus_string(b, str_of(text));
}

void dbus_write_call(struct buf *b, const struct dbus_call *c)
{
	if (c->body.n > DBUS_MESSAGE_MAX)
		b->failed = true;
	dbus_u8(b, 'l');
	dbus_u8(b, DBUS_CALL);
	dbus_u8(b, 0); /* flags */
	dbus_u8(b, 1); /* version */
	dbus_u32(b, (uint32_t) c->body.n);
	dbus_u32(b, c->serial);
	struct dbus_array fields = dbus_array(b, 8);

	put_field(b, FIELD_PATH, 'o', c->path);
	put_field(b, FIELD_DESTINATION, 's', c->destination);
	put_field(b, FIELD_INTERFACE, 's', c->interface);
	put_field(b, FIELD_MEMBER, 's', c->member);
	put_field(b, FIELD_SIGNATURE, 'g', c->signature);
	dbus_array_end(b, fields);
	dbus_align(b, 8);
	buf_addstr(b, c->body);
}

/* ---- types and names ------------------------------------------------------------------- */

size_t dbus_alignment(char type)
{
	switch (type) {
	case 'n':
	case 'q':
		return 2;
	case 'b':
	case 'i':
	case 'u':
	case 'h':
	case 's':
	case 'o':
	case 'a':
		return 4;
	case 'x':
	case 't':
	case 'd':
	case '(':
	case '{':
		return 8;
	default: /* y g v */
		return 1;
	}
}

/* The length of the first complete type, 0: there is none. */
static size_t type_length(struct str s, unsigned arrays, unsigned structs)
{
	size_t at = 1;

	if (s.n == 0 || arrays > DEPTH_MAX || structs > DEPTH_MAX)
		return 0;
	if (memchr("ybnqiuxtdsogvh", s.p[0], 14))
		return 1;
	if (s.p[0] == 'a') {
		size_t n = s.n > 1 && s.p[1] == '{' ? 0
						    : type_length((struct str){ s.p + 1, s.n - 1 },
								  arrays + 1, structs);

		if (s.n > 1 && s.p[1] == '{') { /* of entries: a basic type, then any */
			if (s.n < 4 || !memchr("ybnqiuxtdsogh", s.p[2], 13))
				return 0;
			n = type_length((struct str){ s.p + 3, s.n - 3 }, arrays + 1, structs + 1);
			if (n == 0 || 3 + n >= s.n || s.p[3 + n] != '}')
				return 0;
			return 3 + n + 1;
		}
		return n ? 1 + n : 0;
	}
	if (s.p[0] != '(')
		return 0;
	while (at < s.n && s.p[at] != ')') {
		size_t n = type_length((struct str){ s.p + at, s.n - at }, arrays, structs + 1);

		if (n == 0)
			return 0;
		at += n;
	}
	return at < s.n && at > 1 ? at + 1 : 0; /* D-Bus has no empty structs */
}

bool dbus_type_valid(struct str signature)
{
	return signature.n > 0 && signature.n <= DBUS_NAME_MAX &&
	       type_length(signature, 0, 0) == signature.n;
}

static bool word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool dbus_object_path_valid(struct str path)
{
	if (path.n == 0 || path.p[0] != '/')
		return false;
	for (size_t i = 1; i < path.n; i++) {
		if (path.p[i] == '/' ? path.p[i - 1] == '/' : !word(path.p[i]) && path.p[i] != '_')
			return false;
	}
	return path.n == 1 || path.p[path.n - 1] != '/';
}

void dbus_path_escape(struct buf *b, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (word(name.p[i]) && !(i == 0 && name.p[i] >= '0' && name.p[i] <= '9'))
			buf_addc(b, name.p[i]);
		else
			buf_addf(b, "_%02x", (unsigned) (unsigned char) name.p[i]);
	}
}

/* ---- addresses and the first words ----------------------------------------------------- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* A value of an address: %XX stands for a byte. */
static int unescape(struct str v, struct dbus_address *a)
{
	a->n = 0;
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];

		if (c == '%') {
			int high = i + 2 < v.n ? hex_digit(v.p[i + 1]) : -1;
			int low = i + 2 < v.n ? hex_digit(v.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = (char) (high << 4 | low);
			i += 2;
		}
		if (c == 0)
			return -EINVAL;
		if (a->n + 1 >= sizeof(a->path))
			return -ENAMETOOLONG;
		a->path[a->n++] = c;
	}
	a->path[a->n] = 0;
	return a->n ? 0 : -EINVAL;
}

int dbus_address_parse(struct str list, struct dbus_address *ret_a)
{
	for (struct str rest = list; rest.p && rest.n > 0;) {
		struct str one = str_cut(rest, ';', &rest), keys;
		struct str transport = str_cut(one, ':', &keys);
		struct dbus_address a = { 0 };

		if (one.n == 0)
			continue;
		if (!keys.p)
			return -EINVAL;
		if (!str_is(transport, "unix"))
			continue; /* one that is not on this machine */
		while (keys.p && a.n == 0) {
			struct str value, key = str_cut(str_cut(keys, ',', &keys), '=', &value);

			if (!value.p)
				return -EINVAL;
			a.abstract = str_is(key, "abstract");
			if (a.abstract || str_is(key, "path")) {
				int r = unescape(value, &a);

				if (r < 0)
					return r;
			}
		}
		if (a.n > 0) {
			*ret_a = a;
			return 0;
		}
	}
	return -ENOENT;
}

int dbus_welcome(struct str bytes)
{
	bool asked = false; /* it asks for who we are, which we have told already */
	struct str rest = bytes;

	while (rest.n >= 2) {
		const char *end = memmem(rest.p, rest.n, "\r\n", 2);

		if (!end)
			break;
		struct str line = { rest.p, (size_t) (end - rest.p) };

		rest = (struct str){ end + 2, rest.n - line.n - 2 };
		if (str_is(line, "OK") || str_starts(line, "OK "))
			return (int) (bytes.n - rest.n);
		if (str_is(line, "REJECTED") || str_starts(line, "REJECTED "))
			return -EACCES;
		if (asked || !(str_is(line, "DATA") || str_starts(line, "DATA ")))
			return -EBADMSG;
		asked = true;
	}
	return bytes.n > WELCOME_MAX ? -EBADMSG : 0;
}

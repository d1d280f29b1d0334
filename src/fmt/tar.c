/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fmt/tar_pax.h"

/* Offsets of the fields of a header block: POSIX.1-2017, pax, "ustar Interchange Format". */
enum {
	H_NAME = 0,
	H_MODE = 100,
	H_UID = 108,
	H_GID = 116,
	H_SIZE = 124,
	H_MTIME = 136,
	H_SUM = 148,
	H_TYPE = 156,
	H_LINK = 157,
	H_MAGIC = 257,
	H_MAJOR = 329,
	H_MINOR = 337,
	H_PREFIX = 345,
	H_GNU_SPARSE = 386, /* 4 x {offset 12, bytes 12}, then "more" 1, real size 12 */
	H_GNU_MORE = 482,
	H_GNU_REAL = 483,
};

void tar_init(struct tar *t)
{
	*t = (struct tar){
		.meta = BUF_INIT(TAR_META_MAX),
		.name = BUF_INIT(TAR_NAME_MAX),
		.link = BUF_INIT(TAR_NAME_MAX),
		.arena = ARENA_INIT(2 * TAR_META_MAX),
	};
}

void tar_fini(struct tar *t)
{
	buf_fini(&t->meta);
	buf_fini(&t->name);
	buf_fini(&t->link);
	arena_fini(&t->arena);
	free(t->segments);
	t->segments = NULL;
}

int tar_bad(const struct tar *t, struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, EBADMSG, "damaged tar archive: entry %llu: %s",
		       (unsigned long long) t->entries + 1, why);
}

int tar_no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left for a tar entry's metadata");
}

/* Forget what extended headers said; called when an entry is complete. */
static void reset_entry(struct tar *t)
{
	buf_clear(&t->meta);
	buf_clear(&t->name);
	buf_clear(&t->link);
	if (t->arena.used) {
		arena_fini(&t->arena);
		t->arena = ARENA_INIT(2 * TAR_META_MAX);
	}
	t->has_name = t->has_link = t->has_size = t->has_uid = t->has_gid = t->has_mtime = false;
	t->sparse = t->sparse_map = t->has_real_size = false;
	t->xattrs_n = 0;
	t->segments_n = t->segment = 0;
	t->segment_done = 0;
	t->map_value = t->map_count = t->map_index = 0;
	t->map_digits = false;
}

static struct str field(const unsigned char *h, size_t off, size_t max)
{
	const char *p = (const char *) h + off;

	return (struct str){ p, strnlen(p, max) };
}

/* Octal text, or GNU's base-256 with the high bit set. False when it is neither or too large. */
static bool number(const unsigned char *h, size_t off, size_t n, uint64_t *ret_v)
{
	const unsigned char *p = h + off;
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		if (p[0] != 0x80)
			return false; /* negative, or more than 64 bits */
		for (i = 1; i < n; i++) {
			if (v >> 56)
				return false;
			v = v << 8 | p[i];
		}
		*ret_v = v;
		return true;
	}
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
		if (v >> 61)
			return false;
		v = v << 3 | (uint64_t) (p[i] - '0');
	}
	if (i < n && p[i] != ' ' && p[i] != '\0')
		return false;
	*ret_v = v;
	return true;
}

/* Times may be negative in base-256; everything absurd becomes 0, it is only a time. */
static int64_t number_time(const unsigned char *h)
{
	const unsigned char *p = h + H_MTIME;
	uint64_t v = 0;

	if (p[0] == 0xff) {
		v = UINT64_MAX;
		for (size_t i = 1; i < 12; i++)
			v = v << 8 | p[i];
		return (int64_t) v;
	}
	return number(h, H_MTIME, 12, &v) && v <= INT64_MAX ? (int64_t) v : 0;
}

static bool checksum_ok(const unsigned char *h)
{
	uint64_t want, sum = 0;
	int64_t sum_signed = 0;

	if (!number(h, H_SUM, 8, &want))
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		unsigned char c = i >= H_SUM && i < H_SUM + 8 ? ' ' : h[i];

		sum += c;
		sum_signed += (signed char) c; /* what some old writers summed */
	}
	return want == sum || (int64_t) want == sum_signed;
}

static bool is_zero(const unsigned char *h)
{
	return h[0] == 0 && memcmp(h, h + 1, TAR_BLOCK - 1) == 0;
}

int tar_segment_add(struct tar *t, uint64_t off, uint64_t len, struct err *e)
{
	if (t->segments_n >= TAR_SEGMENTS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "tar entry %llu: a sparse file of more than %u pieces",
			       (unsigned long long) t->entries + 1, TAR_SEGMENTS_MAX);
	if (t->segments_n == t->segments_cap) {
		size_t cap = t->segments_cap ? 2 * t->segments_cap : 16;
		struct tar_segment *s = reallocarray(t->segments, cap, sizeof(*s));

		if (!s)
			return tar_no_memory(e);
		t->segments = s;
		t->segments_cap = cap;
	}
	t->segments[t->segments_n++] = (struct tar_segment){ off, len };
	return 0;
}

/* `count` map entries of GNU's old format: an empty one ends it. */
static int old_segments(struct tar *t, const unsigned char *p, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++, p += 24) {
		uint64_t off, len;
		int r;

		if (p[0] == 0)
			return 0;
		if (!number(p, 0, 12, &off) || !number(p, 12, 12, &len))
			return tar_bad(t, e, "a bad number in the map of a sparse file");
		r = tar_segment_add(t, off, len, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The map must be in order, within the file, and name just the bytes that are stored. */
static int check_segments(struct tar *t, struct err *e)
{
	uint64_t at = 0, sum = 0;

	for (size_t i = 0; i < t->segments_n; i++) {
		const struct tar_segment *s = &t->segments[i];

		if (s->off < at || !range_in(s->off, s->len, t->real_size))
			return tar_bad(t, e, "the map of a sparse file is out of order or bounds");
		at = s->off + s->len;
		sum += s->len; /* within real_size, as the pieces do not overlap */
	}
	return sum == t->left ? 0 : tar_bad(t, e, "the map of a sparse file does not fit its data");
}

static bool type_of(char flag, struct str name, enum tar_type *ret)
{
	switch (flag) {
	case '\0':
	case '0':
	case '7':
		/* Before POSIX a directory was a file whose name ends in a slash. */
		*ret = name.n && name.p[name.n - 1] == '/' ? TAR_DIR : TAR_FILE;
		return true;
	case 'S':
		*ret = TAR_FILE;
		return true;
	case '1':
		*ret = TAR_HARDLINK;
		return true;
	case '2':
		*ret = TAR_SYMLINK;
		return true;
	case '3':
		*ret = TAR_CHAR;
		return true;
	case '4':
		*ret = TAR_BLOCKDEV;
		return true;
	case '5':
		*ret = TAR_DIR;
		return true;
	case '6':
		*ret = TAR_FIFO;
		return true;
	}
	return false;
}

/* Names come from extended headers where those said them, else from the block. */
static int entry_names(struct tar *t, const unsigned char *h, struct err *e)
{
	if (!t->has_name) {
		struct str prefix = field(h, H_PREFIX, 155);

		if (memcmp(h + H_MAGIC, "ustar\0", 6) == 0 && prefix.n) {
			buf_addstr(&t->name, prefix);
			buf_addc(&t->name, '/');
		}
		buf_addstr(&t->name, field(h, H_NAME, 100));
	}
	if (!t->has_link)
		buf_addstr(&t->link, field(h, H_LINK, 100));
	if (!buf_ok(&t->name) || !buf_ok(&t->link))
		return tar_no_memory(e);
	if (t->name.n == 0)
		return tar_bad(t, e, "an empty name");
	t->entry.name = (struct str){ buf_z(&t->name), t->name.n };
	t->entry.link = (struct str){ buf_z(&t->link), t->link.n };
	return 0;
}

static int entry_numbers(struct tar *t, const unsigned char *h, struct err *e)
{
	struct tar_entry *n = &t->entry;
	uint64_t mode, uid, gid, major = 0, minor = 0;

	if (!number(h, H_MODE, 8, &mode) || !number(h, H_UID, 8, &uid) ||
	    !number(h, H_GID, 8, &gid))
		return tar_bad(t, e, "a bad number in the header");
	if (t->has_uid)
		uid = t->uid;
	if (t->has_gid)
		gid = t->gid;
	/* UINT32_MAX is "no id" to the kernel. */
	if (uid >= UINT32_MAX || gid >= UINT32_MAX)
		return tar_bad(t, e, "an owner beyond 32 bits");
	if ((n->type == TAR_CHAR || n->type == TAR_BLOCKDEV) &&
	    (!number(h, H_MAJOR, 8, &major) || !number(h, H_MINOR, 8, &minor) || major > 4095 ||
	     minor > 1048575))
		return tar_bad(t, e, "a bad device number");
	n->mode = (uint32_t) (mode & 07777);
	n->uid = (uint32_t) uid;
	n->gid = (uint32_t) gid;
	n->major = (uint32_t) major;
	n->minor = (uint32_t) minor;
	n->mtime = t->has_mtime ? t->mtime : number_time(h);
	n->mtime_ns = t->has_mtime ? t->mtime_ns : 0;
	n->xattrs = t->xattrs;
	n->xattrs_n = t->xattrs_n;
	return 0;
}

/* What follows the header of a real entry. size: as the header says. */
static int entry_data(struct tar *t, const unsigned char *h, uint64_t size, struct err *e)
{
	if (t->entry.type != TAR_FILE) {
		/* Links, devices, directories: whatever size says, there is no data (as Go reads).
		 */
		size = 0;
		t->sparse = t->sparse_map = false;
	}
	t->left = t->stored = size;
	t->pad = (size_t) ((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
	t->state = TAR_S_START;
	if (h[H_TYPE] == 'S') {
		int r;

		if (!number(h, H_GNU_REAL, 12, &t->real_size))
			return tar_bad(t, e, "a bad size of a sparse file");
		r = old_segments(t, h + H_GNU_SPARSE, 4, e);
		if (r < 0)
			return r;
		t->sparse = t->has_real_size = true;
		if (h[H_GNU_MORE])
			t->state = TAR_S_SPARSE_OLD;
	} else if (t->sparse_map) {
		t->state = TAR_S_SPARSE_MAP;
	}
	if (t->sparse && !t->has_real_size)
		return tar_bad(t, e, "a sparse file without its size");
	t->entry.size = t->sparse ? t->real_size : size;
	return t->entry.size <= INT64_MAX ? 0 : tar_bad(t, e, "a size beyond 63 bits");
}

static int on_header(struct tar *t, const unsigned char *h, struct tar_event *ev, struct err *e)
{
	uint64_t size;
	int r;

	if (is_zero(h)) {
		if (t->zero_seen) {
			t->state = TAR_S_EOF;
			ev->kind = TAR_EOF;
		}
		t->zero_seen = true;
		return 0;
	}
	t->zero_seen = false;
	if (!checksum_ok(h))
		return tar_bad(t, e,
			       "the header's checksum is wrong: no tar archive, or a lying size");
	if (!number(h, H_SIZE, 12, &size) || size > INT64_MAX)
		return tar_bad(t, e, "a bad size");
	switch (h[H_TYPE]) {
	case 'x':
	case 'g':
	case 'L':
	case 'K':
		if (size > TAR_META_MAX)
			return err_set(
				e, ERR_EXHAUSTED, E2BIG,
				"tar entry %llu: an extended header of %llu bytes, %u is the "
				"most",
				(unsigned long long) t->entries + 1, (unsigned long long) size,
				TAR_META_MAX);
		t->meta_type = (char) h[H_TYPE];
		buf_clear(&t->meta);
		t->left = size;
		t->pad = (size_t) ((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
		t->state = TAR_S_META;
		return 0;
	}
	if (t->has_size)
		size = t->size;
	r = entry_names(t, h, e);
	if (r < 0)
		return r;
	if (!type_of((char) h[H_TYPE], t->entry.name, &t->entry.type))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "tar entry %llu is of kind 0x%02x, which is no kind of file",
			       (unsigned long long) t->entries + 1, h[H_TYPE]);
	if (t->entry.type != TAR_HARDLINK && t->entry.type != TAR_SYMLINK)
		t->entry.link = (struct str){ "", 0 };
	else if (t->entry.link.n == 0)
		return tar_bad(t, e, "a link to nothing");
	r = entry_numbers(t, h, e);
	return r < 0 ? r : entry_data(t, h, size, e);
}

static int on_meta(struct tar *t, struct err *e)
{
	struct buf *to = t->meta_type == 'L' ? &t->name : &t->link;
	size_t n;

	switch (t->meta_type) {
	case 'x':
		return tar_pax(t, buf_str(&t->meta), e);
	case 'g':
		return 0; /* defaults for all entries: nobody puts names or sizes there */
	}
	n = t->meta.n ? strnlen(t->meta.p, t->meta.n) : 0;
	if (n == 0 || n > TAR_NAME_MAX)
		return tar_bad(t, e, "a name that is empty or longer than 4095 bytes");
	buf_clear(to);
	buf_add(to, t->meta.p, n);
	if (!buf_ok(to))
		return tar_no_memory(e);
	if (t->meta_type == 'L')
		t->has_name = true;
	else
		t->has_link = true;
	return 0;
}

/* A whole block: from the input where it is there at once, else gathered. NULL: more is needed. */
static const unsigned char *take_block(struct tar *t, struct str *in)
{
	size_t n;

	if (t->block_n == 0 && in->n >= TAR_BLOCK) {
		const unsigned char *p = (const unsigned char *) in->p;

		*in = (struct str){ in->p + TAR_BLOCK, in->n - TAR_BLOCK };
		t->in_off += TAR_BLOCK;
		return p;
	}
	n = TAR_BLOCK - t->block_n < in->n ? TAR_BLOCK - t->block_n : in->n;
	if (n)
		memcpy(t->block + t->block_n, in->p, n);
	t->block_n += n;
	t->in_off += n;
	*in = (struct str){ in->p + n, in->n - n };
	if (t->block_n < TAR_BLOCK)
		return NULL;
	t->block_n = 0;
	return t->block;
}

/* Up to max bytes of the input. */
static struct str take(struct tar *t, struct str *in, uint64_t max)
{
	struct str got = { in->p, in->n < max ? in->n : (size_t) max };

	*in = (struct str){ in->p + got.n, in->n - got.n };
	t->in_off += got.n;
	return got;
}

static int step_meta(struct tar *t, struct str *in, struct err *e)
{
	struct str got = take(t, in, t->left);

	buf_addstr(&t->meta, got);
	if (!buf_ok(&t->meta))
		return tar_no_memory(e);
	t->left -= got.n;
	if (t->left)
		return 0;
	t->entry_ended = false;
	t->state = TAR_S_PAD;
	return on_meta(t, e);
}

/* pax 1.0: the count, then offset and length of each piece, one decimal number per line. */
static int step_map(struct tar *t, struct str *in, struct err *e)
{
	while (in->n) {
		struct str got;
		char c;
		int r = 0;

		if (t->left == 0)
			return tar_bad(t, e, "the map of a sparse file is cut short");
		got = take(t, in, 1);
		c = *got.p;
		t->left--;
		if (c >= '0' && c <= '9') {
			if (t->map_value > (UINT64_MAX - 9) / 10)
				return tar_bad(t, e, "a bad number in the map of a sparse file");
			t->map_value = t->map_value * 10 + (uint64_t) (c - '0');
			t->map_digits = true;
			continue;
		}
		if (c != '\n' || !t->map_digits)
			return tar_bad(t, e, "a bad character in the map of a sparse file");
		if (t->map_index == 0)
			t->map_count = t->map_value;
		else if (t->map_index % 2)
			r = tar_segment_add(t, t->map_value, 0, e);
		else
			t->segments[t->segments_n - 1].len = t->map_value;
		if (r < 0)
			return r;
		if (t->map_count > TAR_SEGMENTS_MAX)
			return tar_bad(t, e, "a sparse file of too many pieces");
		t->map_value = 0;
		t->map_digits = false;
		if (t->map_index++ == 2 * t->map_count) {
			/* The map is padded to whole blocks within the stored data. */
			t->map_count = (t->stored - t->left) % TAR_BLOCK;
			t->map_count = t->map_count ? TAR_BLOCK - t->map_count : 0;
			if (t->map_count > t->left)
				return tar_bad(t, e, "the map of a sparse file is cut short");
			t->left -= t->map_count;
			t->sparse_map = false; /* read; map_count holds the padding to skip */
			return 0;
		}
	}
	return 0;
}

static int step_data(struct tar *t, struct str *in, struct tar_event *ev, struct err *e)
{
	uint64_t max = t->left;

	if (t->sparse) {
		while (t->segment < t->segments_n &&
		       t->segment_done == t->segments[t->segment].len) {
			t->segment++;
			t->segment_done = 0;
		}
		if (t->segment == t->segments_n)
			return tar_bad(t, e, "a sparse file with more data than its map");
		max = t->segments[t->segment].len - t->segment_done;
		ev->off = t->segments[t->segment].off + t->segment_done;
	} else {
		ev->off = t->stored - t->left;
	}
	ev->data = take(t, in, max < t->left ? max : t->left);
	ev->kind = TAR_DATA;
	t->left -= ev->data.n;
	t->segment_done += ev->data.n;
	return 0;
}

/* One move of the machine; ev->kind stays TAR_MORE where nothing is to be told yet. */
static int move(struct tar *t, struct str *in, struct tar_event *ev, struct err *e)
{
	const unsigned char *h;
	struct str got;
	int r = 0;

	switch (t->state) {
	case TAR_S_HEADER:
		h = take_block(t, in);
		return h ? on_header(t, h, ev, e) : 0;
	case TAR_S_META:
		return step_meta(t, in, e);
	case TAR_S_SPARSE_OLD:
		h = take_block(t, in);
		if (!h)
			return 0;
		r = old_segments(t, h, 21, e);
		if (r == 0 && !h[504])
			t->state = TAR_S_START;
		return r;
	case TAR_S_SPARSE_MAP:
		if (t->sparse_map)
			return step_map(t, in, e);
		got = take(t, in, t->map_count);
		t->map_count -= got.n;
		if (t->map_count == 0)
			t->state = TAR_S_START;
		return 0;
	case TAR_S_START:
		if (t->sparse)
			r = check_segments(t, e);
		if (r < 0)
			return r;
		t->state = TAR_S_DATA;
		ev->kind = TAR_ENTRY;
		ev->entry = &t->entry;
		return 0;
	case TAR_S_DATA:
		if (t->left)
			return step_data(t, in, ev, e);
		t->state = TAR_S_PAD;
		t->entry_ended = true;
		return 0;
	case TAR_S_PAD:
		t->pad -= take(t, in, t->pad).n;
		if (t->pad)
			return 0;
		t->state = TAR_S_HEADER;
		if (!t->entry_ended)
			return 0;
		t->entry_ended = false;
		t->entries++;
		ev->kind = TAR_ENTRY_END;
		t->stale = true; /* the caller still looks at the entry */
		return 0;
	case TAR_S_EOF:
		(void) take(t, in, in->n); /* padding to the record size; hashed by the caller */
		return 0;
	}
	return 0;
}

int tar_step(struct tar *t, struct str *in, struct tar_event *ret_event, struct err *e)
{
	*ret_event = (struct tar_event){ .kind = TAR_MORE };
	if (t->stale) {
		t->stale = false;
		reset_entry(t);
	}
	/* START, an empty DATA and an empty PAD need no input to move on. */
	while (ret_event->kind == TAR_MORE &&
	       (in->n || t->state == TAR_S_START || (t->state == TAR_S_DATA && !t->left) ||
		(t->state == TAR_S_META && !t->left) || (t->state == TAR_S_PAD && !t->pad) ||
		(t->state == TAR_S_SPARSE_MAP && !t->sparse_map && !t->map_count))) {
		int r = move(t, in, ret_event, e);

		if (r < 0)
			return r;
	}
	return 0;
}

int tar_finish(struct tar *t, struct err *e)
{
	if (t->state == TAR_S_EOF)
		return 0;
	if (t->state == TAR_S_PAD && t->entry_ended)
		return tar_bad(t, e, "the archive is cut short in the padding of its last file");
	if (t->state != TAR_S_HEADER || t->block_n || t->has_name || t->xattrs_n)
		return tar_bad(t, e, "the archive is cut short");
	if (t->entries == 0 && !t->zero_seen)
		return err_set(e, ERR_INVALID, EBADMSG, "the tar archive is empty");
	return 0; /* no end mark, but whole: GNU tar and Go take these too */
}

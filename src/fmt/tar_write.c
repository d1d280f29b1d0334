/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/tar_write.h"

#include <stdio.h>
#include <string.h>

static const char zeros[2 * TAR_BLOCK];

size_t tar_padding(uint64_t size)
{
	return (size_t) ((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

void tar_write_end(struct buf *out)
{
	buf_add(out, zeros, 2 * TAR_BLOCK);
}

static char type_flag(enum tar_type t)
{
	static const char flags[] = {
		[TAR_FILE] = '0',     [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
		[TAR_BLOCKDEV] = '4', [TAR_DIR] = '5',	    [TAR_FIFO] = '6',
	};

	return flags[t];
}

/* width - 1 octal digits and a NUL; what does not fit is 0 and stands in the pax header. */
static void octal(char *to, size_t width, uint64_t v)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%0*llo", (int) width - 1, (unsigned long long) v);
	if (strlen(text) < width)
		memcpy(to, text, width - 1);
	else
		memset(to, '0', width - 1);
}

static bool octal_fits(uint64_t v, unsigned digits)
{
	return v >> (3 * digits) == 0;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts its own digits too. */
static void pax_record(struct buf *to, const char *key, struct str value)
{
	size_t body = 1 + strlen(key) + 1 + value.n + 1, n = body + 1, digits;

	do {
		digits = n;
		n = body + (size_t) snprintf(NULL, 0, "%zu", digits);
	} while (n != digits);
	buf_addf(to, "%zu %s=", n, key);
	buf_addstr(to, value);
	buf_addc(to, '\n');
}

static void pax_number(struct buf *to, const char *key, int64_t v)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%lld", (long long) v);
	pax_record(to, key, str_of(text));
}

static void block(struct buf *out, const struct tar_entry *n, struct str name, char flag,
		  uint64_t size)
{
	char h[TAR_BLOCK] = {};
	unsigned sum = 0;

	memcpy(h, name.p, name.n < 100 ? name.n : 100);
	octal(h + 100, 8, n->mode);
	octal(h + 108, 8, n->uid);
	octal(h + 116, 8, n->gid);
	octal(h + 124, 12, size);
	octal(h + 136, 12, n->mtime < 0 ? 0 : (uint64_t) n->mtime);
	memset(h + 148, ' ', 8);
	h[156] = flag;
	memcpy(h + 157, n->link.p ? n->link.p : "", n->link.n < 100 ? n->link.n : 100);
	memcpy(h + 257, "ustar\00000", 8);
	octal(h + 329, 8, n->major);
	octal(h + 337, 8, n->minor);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char) h[i];
	(void) snprintf(h + 148, 8, "%06o", sum); /* the eighth byte stays the blank */
	buf_add(out, h, sizeof(h));
}

/* size: of what is stored. sparse: it is GNU.sparse's map and segments. */
static void headers(struct buf *out, const struct tar_entry *n, uint64_t size, bool sparse)
{
	auto_buf struct buf pax = BUF_INIT(TAR_META_MAX);

	if (sparse) {
		pax_record(&pax, "GNU.sparse.major", STR("1"));
		pax_record(&pax, "GNU.sparse.minor", STR("0"));
		pax_record(&pax, "GNU.sparse.name", n->name);
		pax_number(&pax, "GNU.sparse.realsize", (int64_t) n->size);
	}
	if (n->name.n > 100)
		pax_record(&pax, "path", n->name);
	if (n->link.n > 100)
		pax_record(&pax, "linkpath", n->link);
	if (!octal_fits(size, 11))
		pax_number(&pax, "size", (int64_t) size);
	if (!octal_fits(n->uid, 7))
		pax_number(&pax, "uid", n->uid);
	if (!octal_fits(n->gid, 7))
		pax_number(&pax, "gid", n->gid);
	if (n->mtime < 0 || !octal_fits((uint64_t) n->mtime, 11))
		pax_number(&pax, "mtime", n->mtime);
	for (size_t i = 0; i < n->xattrs_n; i++) {
		char key[300];

		(void) snprintf(key, sizeof(key), "SCHILY.xattr.%s", n->xattrs[i].name);
		pax_record(&pax, key, n->xattrs[i].value);
	}
	if (!buf_ok(&pax)) {
		out->failed = true;
		return;
	}
	if (pax.n) {
		/* Its own name is never unpacked; a fixed one keeps the bytes reproducible. */
		const struct tar_entry x = { .mode = 0644, .mtime = 0 };

		block(out, &x, STR("././@PaxHeader"), 'x', pax.n);
		buf_addstr(out, buf_str(&pax));
		buf_add(out, zeros, tar_padding(pax.n));
	}
	block(out, n, n->name, type_flag(n->type), size);
}

void tar_write_header(struct buf *out, const struct tar_entry *n)
{
	headers(out, n, n->size, false);
}

void tar_write_sparse(struct buf *out, const struct tar_entry *n, const struct tar_segment *s,
		      size_t segments_n)
{
	auto_buf struct buf map = BUF_INIT(64 * (TAR_SEGMENTS_MAX + 1) + TAR_BLOCK);
	uint64_t stored = 0, end = segments_n ? s[segments_n - 1].off + s[segments_n - 1].len : 0;
	bool hole = end < n->size; /* others want to be told where the file ends */

	buf_addf(&map, "%zu\n", segments_n + hole);
	for (size_t i = 0; i < segments_n; i++) {
		buf_addf(&map, "%llu\n%llu\n", (unsigned long long) s[i].off,
			 (unsigned long long) s[i].len);
		stored += s[i].len;
	}
	if (hole)
		buf_addf(&map, "%llu\n0\n", (unsigned long long) n->size);
	buf_add(&map, zeros, tar_padding(map.n));
	if (!buf_ok(&map)) {
		out->failed = true;
		return;
	}
	headers(out, n, map.n + stored, true);
	buf_addstr(out, buf_str(&map));
}

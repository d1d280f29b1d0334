/* SPDX-License-Identifier: Apache-2.0 */
#include "image/advise.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "fmt/advisory_feed.h"
#include "fmt/shown.h"
#include "fmt/tar.h"
#include "fmt/zip.h"
#include "image/source.h"

#define INPUT_MAX  ((size_t) 1 << 30) /* of one file, inflated; and of the data base */
#define MEMBER_MAX ((size_t) 64 << 20)
#define CHUNK	   (256u << 10)
#define DEPTH_MAX  16

struct advise {
	struct advisory_feed feed;
	struct buf lines;
	uint64_t bad; /* with what cannot stand in a line */
};

static int keep(void *user, const struct advisory *a)
{
	struct advise *d = user;

	if (advisory_write(&d->lines, a) < 0)
		d->bad++; /* a name that no package list could have */
	return buf_ok(&d->lines) ? 0 : buf_error(&d->lines);
}

static int too_large(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, EFBIG, "a feed of advisories is larger than %zu MiB",
		       INPUT_MAX >> 20);
}

/* flag: ISAL_DEFLATE or ISAL_ZLIB. */
static int inflate_all(struct str in, uint32_t flag, struct buf *out, struct err *e)
{
	auto_free struct inflate_state *z = malloc(sizeof(*z));
	uint32_t before;
	int r;

	if (!z || in.n > UINT32_MAX)
		return too_large(e);
	isal_inflate_init(z);
	z->crc_flag = flag;
	z->next_in = (unsigned char *) (uintptr_t) in.p; /* read only */
	z->avail_in = (uint32_t) in.n;
	do {
		char *room = buf_room(out, CHUNK);

		if (!room)
			return too_large(e);
		z->next_out = (unsigned char *) room;
		z->avail_out = CHUNK;
		before = z->avail_in;
		r = isal_inflate(z);
		if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT && r != ISAL_OUT_OVERFLOW)
			return err_set(e, ERR_INVALID, EBADMSG, "its packed data is damaged");
		buf_grew(out, CHUNK - z->avail_out);
		if (z->block_state != ISAL_BLOCK_FINISH && z->avail_out == CHUNK &&
		    z->avail_in == before)
			return err_set(e, ERR_INVALID, EBADMSG, "its packed data is cut short");
	} while (z->block_state != ISAL_BLOCK_FINISH);
	return 0;
}

static int member(struct advise *d, struct str name, struct str text, struct err *e)
{
	int r = advisory_feed_read(&d->feed, text, e);

	return r < 0 ? err_ctx(e, "%s", shown_of(name).z) : 0;
}

static uint32_t checksum(struct str s)
{
	return s.n ? crc32_gzip_refl(0, (const unsigned char *) s.p, s.n) : 0;
}

static int read_zip(struct advise *d, struct str text, struct err *e)
{
	auto_buf struct buf out = BUF_INIT(MEMBER_MAX);
	struct zip_member m;
	struct zip z;
	int more = zip_open(&z, text), r = 0;

	while (more >= 0 && r == 0 && (more = zip_next(&z, &m)) > 0) {
		struct str data = m.data;

		if (!str_ends(m.name, ".json"))
			continue;
		buf_clear(&out);
		if (m.method == ZIP_DEFLATED) {
			r = inflate_all(m.data, ISAL_DEFLATE, &out, e);
			data = buf_str(&out);
		}
		if (r == 0 && (data.n != m.size || checksum(data) != m.crc))
			r = err_set(e, ERR_INVALID, EBADMSG, "its checksum is wrong");
		r = r < 0 ? err_ctx(e, "%s", shown_of(m.name).z) : member(d, m.name, data, e);
	}
	return r < 0 || more >= 0
		       ? r
		       : err_set(e, ERR_INVALID, -more, "the zip archive is %s",
				 more == -EOPNOTSUPP ? "packed in a way that is not known"
						     : "damaged");
}

static int read_tar(struct advise *d, struct str text, struct err *e)
{
	auto_buf struct buf data = BUF_INIT(MEMBER_MAX);
	const struct tar_entry *entry = NULL;
	auto_tar struct tar t;
	struct tar_event ev;
	bool wanted = false;
	int r;

	tar_init(&t);
	do {
		r = tar_step(&t, &text, &ev, e);
		if (r < 0)
			return r;
		switch (ev.kind) {
		case TAR_ENTRY:
			entry = ev.entry;
			wanted = entry->type == TAR_FILE && str_ends(entry->name, ".json");
			buf_clear(&data);
			break;
		case TAR_DATA:
			if (wanted)
				buf_addstr(&data, ev.data);
			break;
		case TAR_ENTRY_END:
			if (wanted && !buf_ok(&data))
				return too_large(e);
			if (wanted)
				r = member(d, entry->name, buf_str(&data), e);
			break;
		case TAR_MORE:
		case TAR_EOF:
			break;
		}
	} while (r == 0 && ev.kind != TAR_MORE);
	return r < 0 ? r : tar_finish(&t, e);
}

/* RFC 1950, 2.2: deflate, and a multiple of 31. */
static bool is_zlib(struct str s)
{
	unsigned char a = s.n > 1 ? (unsigned char) s.p[0] : 0,
		      b = s.n > 1 ? (unsigned char) s.p[1] : 0;

	return (a & 15) == 8 && a >> 4 <= 7 && (a * 256u + b) % 31 == 0;
}

static int read_text(struct advise *d, struct str text, struct err *e)
{
	auto_buf struct buf out = BUF_INIT(INPUT_MAX);
	int r;

	if (str_starts(text, "PK\3\4") || str_starts(text, "PK\5\6"))
		return read_zip(d, text, e);
	if (text.n > 512 && memcmp(text.p + 257, "ustar", 5) == 0)
		return read_tar(d, text, e);
	if (!is_zlib(text))
		return advisory_feed_read(&d->feed, text, e);
	r = inflate_all(text, ISAL_ZLIB, &out, e);
	return r < 0 ? r : advisory_feed_read(&d->feed, buf_str(&out), e);
}

static int read_fd(struct advise *d, int fd, struct err *e)
{
	const struct unpack_request q = { .in_fd = fd, .copy_fd = FD_NONE, .bytes_max = INPUT_MAX };
	auto_buf struct buf text = BUF_INIT(INPUT_MAX);
	struct source s;
	struct str data;
	int r = source_init(&s, &q, e);

	do {
		r = r < 0 ? r : source_next(&s, &data, e);
		if (r == 0)
			buf_addstr(&text, data);
	} while (r == 0 && data.n && buf_ok(&text));
	source_fini(&s);
	if (r == 0 && !buf_ok(&text))
		r = too_large(e);
	return r < 0 ? r : read_text(d, buf_str(&text), e);
}

static bool is_feed_name(struct str name)
{
	return str_ends(name, ".json") || str_ends(name, ".zip") || str_ends(name, ".tar") ||
	       str_ends(name, ".gz") || str_ends(name, ".tgz") || str_ends(name, ".zst");
}

static int read_dir(struct advise *d, int dir_fd, unsigned depth, struct err *e)
{
	auto_dir DIR *dir = dir_open(dir_fd, ".");
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_sys(e, errno, "read a directory of feeds");
	while (r == 0 && (entry = dir_next(dir))) {
		auto_fd int fd = openat(dir_fd, entry->d_name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0)
			continue; /* a link, or gone */
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			r = read_dir(d, fd, depth + 1, e);
		else if (S_ISREG(st.st_mode) && is_feed_name(str_of(entry->d_name)))
			r = read_fd(d, fd, e);
		if (r < 0)
			return err_ctx(e, "%s", shown_of(str_of(entry->d_name)).z);
	}
	return r;
}

/* ---- sorted ---- */

static int by_bytes(const void *va, const void *vb)
{
	const struct str *a = va, *b = vb;
	int r = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

	return r ? r : (a->n > b->n) - (a->n < b->n);
}

static int write_sorted(struct advise *d, int out_fd, uint64_t *ret_n, struct err *e)
{
	auto_buf struct buf out = BUF_INIT(2 * INPUT_MAX);
	struct str rest = buf_str(&d->lines);
	auto_free struct str *lines = NULL;
	size_t n = 0, kept = 0;
	int r;

	for (size_t i = 0; i < rest.n; i++)
		n += rest.p[i] == '\n';
	lines = calloc(n + 1, sizeof(*lines));
	if (!lines)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	for (size_t i = 0; i < n; i++)
		lines[i] = str_cut(rest, '\n', &rest);
	qsort(lines, n, sizeof(*lines), by_bytes);
	buf_adds(&out, ADVISORY_HEAD);
	for (size_t i = 0; i < n; i++) {
		if (i && str_eq(lines[i], lines[i - 1]))
			continue;
		buf_addstr(&out, lines[i]);
		buf_addc(&out, '\n');
		kept++;
	}
	if (!buf_ok(&out))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	r = fd_write_all(out_fd, out.p, out.n);
	if (r < 0)
		return err_sys(e, -r, "write the data base");
	*ret_n = kept;
	return 0;
}

int advise_run(const struct advise_request *q, uint64_t *ret_n, struct err *e)
{
	struct advise d = { .feed = { .release = q->release, .told = keep, .user = &d },
			    .lines = BUF_INIT(INPUT_MAX) };
	int r = q->dir_fd >= 0 ? read_dir(&d, q->dir_fd, 0, e) : read_fd(&d, q->in_fd, e);

	if (r == 0)
		r = write_sorted(&d, q->out_fd, ret_n, e);
	if (r == 0 && *ret_n == 0 && d.feed.foreign + d.bad)
		r = err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"none of its %llu advisories is about packages that a scan finds: those "
			"of Debian, Ubuntu, Alpine, PyPI and npm",
			(unsigned long long) (d.feed.foreign + d.bad));
	buf_fini(&d.lines);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/expand.h"

#include <archive.h>
#include <errno.h>

#include "base/auto.h"
#include "fmt/bzimage.h"

#define STEP ((size_t) 4 << 20)

static inline void archive_freep(struct archive **a)
{
	if (*a)
		(void) archive_read_free(*a);
}

static int support(struct archive *a, enum bzimage_format format)
{
	switch (format) {
	case BZIMAGE_GZIP:
		return archive_read_support_filter_gzip(a);
	case BZIMAGE_XZ:
		return archive_read_support_filter_xz(a);
	case BZIMAGE_ZSTD:
		return archive_read_support_filter_zstd(a);
	case BZIMAGE_LZ4:
		return archive_read_support_filter_lz4(a);
	case BZIMAGE_LZMA:
		return archive_read_support_filter_lzma(a);
	case BZIMAGE_BZIP2:
		return archive_read_support_filter_bzip2(a);
	case BZIMAGE_LZO:     /* libarchive runs a program for it */
	case BZIMAGE_UNKNOWN: /* a later format of Linux */
	case BZIMAGE_ELF:
		break;
	}
	return ARCHIVE_FATAL;
}

int expand(struct str packed, struct buf *ret, struct err *e)
{
	enum bzimage_format format = bzimage_format_of(packed.p, packed.n);
	__attribute__((cleanup(archive_freep))) struct archive *a = archive_read_new();
	struct archive_entry *entry;

	if (!a)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	/* A warning would mean an external program, which is never wanted. */
	if (support(a, format) != ARCHIVE_OK)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "compressed in a way (%s) that "
			       "cannot be read here",
			       bzimage_format_name(format));
	if (archive_read_support_format_raw(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, packed.p, packed.n) != ARCHIVE_OK ||
	    archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return err_set(e, ERR_INVALID, EILSEQ, "damaged: %s", archive_error_string(a));
	for (;;) {
		char *room = buf_room(ret, STEP);

		if (!room)
			return err_set(e, ERR_EXHAUSTED, ENOMEM,
				       "no memory for it, or larger than %zu MiB", ret->max >> 20);
		la_ssize_t n = archive_read_data(a, room, STEP);
		if (n < 0)
			return err_set(e, ERR_INVALID, EILSEQ, "damaged: %s",
				       archive_error_string(a));
		if (n == 0)
			return 0;
		buf_grew(ret, (size_t) n);
	}
}

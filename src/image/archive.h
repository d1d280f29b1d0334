/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive of images as a set of named parts: a docker archive or an OCI layout, as a tar in a
 * file or a stream, or as a directory. Its bytes are read by the confined worker but for the JSON
 * documents, which are bounded and go to strict parsers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "image/content.h"
#include "image/worker.h"

struct archive {
	struct arena arena;
	int fd;	    /* owned: a plain tar in a regular file, or FD_NONE */
	int dir_fd; /* owned: the directory, or FD_NONE */
	struct archive_member *members;
	size_t members_n;
};

/* Where a part's bytes are. */
struct archive_part {
	int fd; /* borrowed from the archive, or owned_fd */
	int owned_fd;
	uint64_t off, size;
};
void archive_part_fini(struct archive_part *p);

/*
 * path: a file or directory; NULL: read the borrowed fd. A stream or a packed archive is first
 * unpacked into a file of tmp.
 */
[[nodiscard]] int archive_open(struct archive *ar, struct content *c, const char *path, int fd,
			       struct err *e);
void archive_close(struct archive *ar);
#define auto_archive __attribute__((cleanup(archive_close)))

bool archive_has(struct archive *ar, const char *name);
/* Fails: NOT_FOUND the archive has no such part; INVALID it is no plain file. */
[[nodiscard]] int archive_part(struct archive *ar, const char *name, struct archive_part *ret_part,
			       struct err *e);
/* The whole of a small part, up to the buffer's maximum. */
[[nodiscard]] int archive_read(struct archive *ar, const char *name, struct buf *ret_text,
			       struct err *e);

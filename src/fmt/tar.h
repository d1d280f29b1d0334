/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading tar archives as a stream: bytes are pushed in, events come out. ustar, pax, GNU long
 * names, GNU and pax sparse files, base-256 numbers, SCHILY and LIBARCHIVE extended attributes. No
 * system call, no path policy (image/unpack), every length checked; each entry's metadata is
 *bounded.
 *
 *	tar_init(&t);
 *	while (there is input)
 *		do tar_step(&t, &in, &ev, e) ... while (ev.kind != TAR_MORE)
 *	tar_finish(&t, e)
 *
 *	HEADER --block--> ENTRY --data--> DATA* --> ENTRY_END --> HEADER ... --two zero blocks-->
 *EOF
 *	  +--x,g,L,K--> META --> HEADER
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define TAR_BLOCK	 512
#define TAR_NAME_MAX	 4095	    /* bytes of a path or link target */
#define TAR_META_MAX	 (1u << 20) /* bytes of one pax header or GNU long name */
#define TAR_XATTRS_MAX	 128	    /* of one entry */
#define TAR_SEGMENTS_MAX (1u << 16) /* of one sparse file */

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCKDEV, TAR_DIR, TAR_FIFO };

struct tar_xattr {
	const char *name;
	struct str value;
};

struct tar_entry {
	struct str name; /* as written, not empty, NUL-terminated, without NUL inside */
	struct str link; /* of hard and symbolic links; else empty */
	enum tar_type type;
	uint32_t mode; /* 07777 */
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime;
	uint32_t mtime_ns;
	uint64_t size; /* of the file when unpacked; 0 but for TAR_FILE */
	struct tar_xattr *xattrs;
	size_t xattrs_n;
};

enum tar_event_kind {
	TAR_MORE,      /* all input taken: push more, or tar_finish */
	TAR_ENTRY,     /* entry is set, and stays as it is up to its TAR_ENTRY_END */
	TAR_DATA,      /* data at offset off of the file; points into the input */
	TAR_ENTRY_END, /* the entry is complete */
	TAR_EOF,       /* end mark seen: the rest of the input is swallowed */
};

struct tar_event {
	enum tar_event_kind kind;
	const struct tar_entry *entry;
	struct str data;
	uint64_t off;
};

struct tar_segment {
	uint64_t off, len;
};

struct tar {
	enum tar_state {
		TAR_S_HEADER,
		TAR_S_META,
		TAR_S_SPARSE_OLD, /* extension blocks of GNU's old format */
		TAR_S_SPARSE_MAP, /* pax 1.0: decimal lines before the data */
		TAR_S_START,
		TAR_S_DATA,
		TAR_S_PAD,
		TAR_S_EOF,
	} state;
	unsigned char block[TAR_BLOCK]; /* a header that came in pieces */
	size_t block_n;
	bool zero_seen; /* one zero block: another is the end */
	bool entry_ended, stale;
	char meta_type;
	struct buf meta;
	uint64_t left; /* stored bytes still to come in META, DATA; padding in PAD */
	size_t pad;
	uint64_t entries; /* so far, for messages */
	uint64_t in_off;  /* bytes taken in all: the offset of data in the archive */

	/* Gathered from the extended headers before an entry. */
	struct arena arena;
	struct buf name, link;
	bool has_name, has_link, has_size, has_uid, has_gid, has_mtime;
	uint64_t size;
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	size_t xattrs_n;
	bool sparse, sparse_map; /* GNU.sparse.*: any version; 1.0 */
	bool has_real_size;
	uint64_t real_size;
	uint64_t stored;	      /* bytes of data in the archive */
	struct tar_segment *segments; /* owned */
	size_t segments_n, segments_cap;
	size_t segment; /* being read */
	uint64_t segment_done;
	uint64_t map_value; /* of the number being read in SPARSE_MAP */
	uint64_t map_count, map_index;
	bool map_digits;

	struct tar_entry entry;
};

void tar_init(struct tar *t);
void tar_fini(struct tar *t);
#define auto_tar __attribute__((cleanup(tar_fini)))

/*
 * Take from the front of *in and say what came. Fails: INVALID damaged or lying; EXHAUSTED past a
 * limit; UNSUPPORTED a kind of entry nobody writes. Not usable after a failure.
 */
[[nodiscard]] int tar_step(struct tar *t, struct str *in, struct tar_event *ret_event,
			   struct err *e);
/* After the last input: INVALID when it ended inside an entry or held no entry at all. */
[[nodiscard]] int tar_finish(struct tar *t, struct err *e);

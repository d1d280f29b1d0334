/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a program of ours and atoll-image, over a seqpacket socket that is the
 * worker's descriptor 3; and between the confined half of atoll-image and its privileged half.
 * Fixed-size structs between processes of one build; every side checks size, magic and each value.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/tar.h"
#include "image/worker.h"

#define WIRE_MAGIC    0x41494d38u
#define WIRE_SOCKET   3
#define WIRE_FDS_MAX  32 /* lower directories in one message */
#define WIRE_TEXT_MAX 256

enum wire_verb {
	WIRE_UNPACK,
	WIRE_EXPAND,
	WIRE_INDEX,
	WIRE_PACK,
	WIRE_SQUEEZE,
	WIRE_ADVISE,
	WIRE_SCAN,
	WIRE_VERIFY
};

/* Comes with the descriptors in, dir, out, those that are there, in this order. */
struct wire_request {
	uint32_t magic;
	enum wire_verb verb;
	bool has_in, has_dir, has_out;
	bool in_range, plain_tree, no_owner, overlay_upper, sparse;
	uint32_t lower_n; /* (of WIRE_SCAN: data bases; of WIRE_VERIFY: keys) come after it, in
			     messages of one byte and WIRE_FDS_MAX descriptors */
	uint64_t in_off, in_size, bytes_max, entries_max;
	int64_t mtime_max;
	char prefix[WIRE_TEXT_MAX], only[WIRE_TEXT_MAX];
};

/* The last message of the worker. */
struct wire_result {
	uint32_t magic;
	struct err err; /* kind ERR_NONE: it worked */
	struct unpack_result result;
};

/* Before the result, from WIRE_INDEX: then name_n and link_n bytes. */
struct wire_member {
	uint32_t magic;
	uint32_t name_n, link_n;
	bool dir;
	uint64_t off, size;
};
#define WIRE_MEMBER_MAX (sizeof(struct wire_member) + 2 * TAR_NAME_MAX)

/*
 * What the confined half cannot do itself, because the kernel asks for privilege outside of its
 * user namespace. Comes with one directory descriptor; the answer is an int32_t, >= 0 or -errno.
 */
struct wire_help {
	uint32_t magic;
	enum wire_help_verb {
		WIRE_HELP_OPAQUE_SET, /* trusted.overlay.opaque=y on the directory */
		WIRE_HELP_OPAQUE_GET, /* 1 when it has it */
		WIRE_HELP_NODE,	      /* mknod(name) in the directory */
	} verb;
	uint32_t mode; /* S_IFCHR or S_IFBLK and permissions */
	uint32_t major, minor;
	char name[WIRE_TEXT_MAX]; /* one component */
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine was made of: a note beside its state while it runs, and in each of its snapshots
 * ("guest.json"), where it says what a restored one must be made of again. Pure. A snapshot may
 * come from anywhere: it is compared with what the workload's own spec says, and believed no
 * further.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define MACHINE_RECORD_TEXT_MAX (256u << 10) /* bytes */
#define MACHINE_RECORD_ID	33	     /* 32 hex digits, NUL */

struct machine_record_share {
	const char *name;
	const char *destination; /* in the container; "" of the root */
	bool read_only;
	uint64_t device, inode; /* of the host's directory or file */
};
struct machine_record_card {
	const char *mac;
	uint32_t mtu;
};

struct machine_record {
	uint32_t version;      /* 1 */
	const char *build;     /* the Atoll that made it: its agent runs in there */
	const char *kernel;    /* of the guest, for people */
	const char *container; /* its id within the machine */
	const char *id;	       /* of the last snapshot, or the one it came from; NULL: none */
	const char *base;      /* of the snapshot that this one is on top of; NULL: it is whole */
	uint32_t cpus;
	uint64_t memory; /* bytes */
	bool terminal;	 /* of its first process */
	bool root_disk;	 /* the image's files are a disk */
	bool own_disk;	 /* it has a disk of its own to write to */
	struct machine_record_share *shares;
	size_t shares_n;
	struct machine_record_card *cards;
	size_t cards_n;
};

void machine_record_encode(const struct machine_record *m, struct buf *out);
/* INVALID: not what machine_record_encode writes. Lists and strings live in the arena. */
[[nodiscard]] int machine_record_decode(struct arena *a, struct str text,
					struct machine_record *ret_m, struct err *e);
/*
 * Whether a machine made as `now` says can go on from a snapshot of one made as `was` says. INVALID
 * names the first difference.
 */
[[nodiscard]] int machine_record_fits(const struct machine_record *was,
				      const struct machine_record *now, struct err *e);

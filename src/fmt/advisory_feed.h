/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds of advisories, in the forms in which they are published:
 *
 *	Debian's security tracker	/tracker/data/json, of all releases
 *	debsecan			/tracker/debsecan/release/1/RELEASE, inflated
 *	OSV				one JSON object (https://ossf.github.io/osv-schema/), or an
 *					array of them
 *
 * What a feed says of an ecosystem that no package list of ours is of is counted, and left out.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "fmt/advisory.h"

struct advisory_feed {
	const char *release; /* code name that a debsecan feed is of, NULL: not told */
	/* Gets what was found, in no order. 0 to go on; -errno ends the reading. */
	int (*told)(void *user, const struct advisory *a);
	void *user;
	uint64_t foreign; /* advisories left out: gives */
};

/* INVALID: none of these, or damaged. What told gives. */
[[nodiscard]] int advisory_feed_read(struct advisory_feed *f, struct str text, struct err *e);

/* ---- for the files of advisory_feed*.c ---- */
[[nodiscard]] int advisory_feed_osv(struct advisory_feed *f, struct str text, struct err *e);
/*
 * The members of a large object, or the items of a large array, one after the other: only their
 * extents; each is parsed by itself. 1: one more; 0: no more; -EINVAL.
 */
struct json_pieces {
	struct str rest;
	char kind; /* '{' or '[' */
	bool begun;
};
[[nodiscard]] int json_pieces_next(struct json_pieces *p, struct str *ret_key,
				   struct str *ret_value);
bool json_pieces_open(struct json_pieces *p, struct str text);
[[nodiscard]] int advisory_feed_tell(struct advisory_feed *f, const struct advisory *a,
				     struct err *e);

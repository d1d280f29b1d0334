/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands beside CRIU's images in a checkpoint, for whoever restores it: the descriptors the
 * workload got from outside, and which of its mounts came from outside. Pure. A checkpoint may
 * come from anywhere: nothing here is believed further than the container's own spec allows.
 *
 *	descriptors.json  runc's and crun's: ["pipe:[17]", "/dev/null", ...], what 0, 1, 2 were
 *	atoll.json	  ours; images of other runtimes have none
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SNAPSHOT_DESCRIPTORS "descriptors.json"
#define SNAPSHOT_FILE	     "atoll.json"
#define SNAPSHOT_TEXT_MAX    (1u << 20) /* bytes of either */
#define SNAPSHOT_STREAMS     3

struct snapshot_mount {
	const char *at;	    /* where it was, as the container sees it: CRIU's key */
	const char *source; /* the destination in config.json of the mount that brings it; "cgroup",
			     * "device": one of those */
	const char *below;  /* what of that: "" for itself, else a path below it or its name */
};

struct snapshot_group { /* one of the container's cgroups, by the hierarchy's name ("" is v2) */
	const char *name, *path;
};

struct snapshot {
	uint32_t version;     /* 1 */
	const char **streams; /* 3: CRIU's key of each that came from outside, else "" */
	size_t streams_n;
	struct snapshot_mount *mounts;
	size_t mounts_n;
	struct snapshot_group *groups;
	size_t groups_n;
};

void snapshot_encode(const struct snapshot *s, struct buf *out);
/* INVALID: not what snapshot_encode writes: paths with "..", unknown keys, too many. */
[[nodiscard]] int snapshot_decode(struct arena *a, struct str text, const struct snapshot **ret_s,
				  struct err *e);

/* runc's list. Links that are no pipes are kept as they are. */
void snapshot_descriptors_encode(const char *const *links, size_t n, struct buf *out);
[[nodiscard]] int snapshot_descriptors_decode(struct arena *a, struct str text,
					      const char ***ret_links, size_t *ret_n,
					      struct err *e);
/* Whether it is "pipe:[N]" or "file[HEX:HEX]": what a descriptor may be inherited for. */
bool snapshot_is_stream(const char *key);

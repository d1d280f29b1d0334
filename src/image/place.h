/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding one's way in the tree that is being unpacked and in the layers beneath it, as one merged
 * tree whose root nothing leaves. Every step opens one component without following links; links
 * are read and followed here, inside the root. What is missing above is looked up beneath: a parent
 * there lends its mode and owner, a link there is followed, just as in the merged mount.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define PLACE_PATH_MAX 8191 /* bytes of a path with all links followed */

struct place {
	int root;	  /* borrowed: the tree being written */
	const int *lower; /* borrowed: layers beneath, topmost first */
	size_t lower_n;
	int help_sock;	   /* borrowed: image/help.h */
	struct buf cached; /* the path as written whose directory is open in cached_fd */
	struct buf cached_real;
	int cached_fd; /* owned */
};

void place_init(struct place *p, int root, const int *lower, size_t lower_n, int help_sock);
void place_fini(struct place *p);
/* To be called whenever something was removed or became a link. */
void place_forget(struct place *p);

/*
 * The directory at `path` (clean: no "..", no leading slash; "" is the root), made with its parents
 * where missing. Gives a borrowed O_PATH descriptor, valid until the next call, and, unless NULL,
 * its path without links (valid as long).
 */
[[nodiscard]] int place_dir(struct place *p, struct str path, int *ret_fd, const char **ret_real,
			    struct err *e);

/*
 * What stands at `path`, its last component not followed: the path with the links of its parents
 * followed in *ret_real (a buf of the caller), in the tree (*ret_lower -1) or in a layer beneath.
 * false in *ret_found when nothing does.
 */
[[nodiscard]] int place_find(struct place *p, struct str path, struct buf *ret_real, int *ret_lower,
			     struct stat *ret_st, bool *ret_found, struct err *e);

/* The parent of a link-free path below `root`, O_PATH; *ret_name points into `real`. -errno. */
[[nodiscard]] int place_parent(int root, const char *real, const char **ret_name);

static inline bool place_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

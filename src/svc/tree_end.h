/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a copy: a place in a tree, found once and then known by descriptor. For the files of
 * this room that move archives in and out of workloads.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/inside.h"
#include "svc/svc.h"

struct tree_root {
	int fd;		      /* owned: O_PATH */
	int mnt_fd;	      /* owned: the mount namespace fd is of; FD_NONE: a detached mount */
	struct inside inside; /* where the files are a machine's */
};
#define TREE_ROOT_INIT                                                                             \
	((struct tree_root){ .fd = FD_NONE, .mnt_fd = FD_NONE, .inside = INSIDE_INIT })

/*
 * The workload's root: what its processes see while it runs, else its layers. Gives. What was
 * opened in there is to be closed before it.
 */
[[nodiscard]] int tree_root(struct svc *s, const struct workload_record *w, bool read_only,
			    struct tree_root *ret, struct err *e);
/* Its layers alone, without what is mounted on them; what they differ in from the image. */
[[nodiscard]] int tree_layers(struct svc *s, const struct workload_record *w, struct tree_root *ret,
			      struct err *e);
[[nodiscard]] int tree_upper(struct svc *s, const struct workload_record *w, bool hold,
			     struct tree_root *ret, struct err *e);
/* The root itself, for reading: as tree_end_open_dir(). */
[[nodiscard]] int tree_root_dir(const struct tree_root *t, int *ret_fd, struct err *e);
void tree_root_fini(struct tree_root *t);
#define auto_tree_root __attribute__((cleanup(tree_root_fini)))

struct tree_end {
	int parent_fd;	  /* owned: O_PATH; the directory the last component is in */
	const char *name; /* last component; "" for the root itself and for "DIR/." */
	bool found;
	struct stat st;	  /* when found */
	bool content;	  /* the path ended in "/." : what is in it, not itself */
	bool want_dir;	  /* the path ended in "/" */
	const char *last; /* what it is called, also for content; "/" for the root */
};
#define TREE_END_INIT ((struct tree_end){ .parent_fd = FD_NONE })

/*
 * Look `path` up below root_fd (the host's own: a descriptor of "/"), following links on the way
 * and, with follow, at its end. A missing last component is no error: found says so.
 * NOT_FOUND: a directory on the way is missing. what names the path in messages.
 */
[[nodiscard]] int tree_end_find(int root_fd, const char *path, bool follow, struct arena *a,
				struct tree_end *ret, struct err *e);
void tree_end_fini(struct tree_end *t);
#define auto_tree_end __attribute__((cleanup(tree_end_fini)))

/*
 * The directory it is, or (parent) is in, for reading. With root, which the place was found in,
 * as a mount of its own, which atoll-image can be confined to. Gives.
 */
[[nodiscard]] int tree_end_open_dir(const struct tree_end *t, bool parent,
				    const struct tree_root *root, int *ret_fd, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* One restore under way, shared by restore.c and restore_mounts.c. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "engine/container/container.h"
#include "engine/container/criu.h"
#include "engine/container/criu_child.h"
#include "engine/container/plan.h"
#include "engine/container/snapshot.h"
#include "fmt/snapshot.h"

struct restore {
	struct criu_session session; /* first */
	struct container *c;
	const struct bundle *b;
	const struct snapshot_options *o;
	int dirfd;
	struct plan plan;
	struct arena arena;
	const struct snapshot *snap; /* NULL: the images are another runtime's */
	const char **links;	     /* then its list of descriptors */
	size_t links_n;
	char *yard;
	struct criu_tree *trees;
	size_t trees_n;
	struct criu_pair *keys;
	size_t keys_n;
	struct criu_fd *inherit;
	size_t inherit_n;
	struct criu_pair *joined;
	size_t joined_n;
	struct criu_pair *groups_roots;
	size_t groups_roots_n;
	int fds[CRIU_FDS_MAX]; /* borrowed: for criu, from CRIU_SOCKET_FD on */
	size_t fds_n;
};

/*
 * Every mount that CRIU is to find outside: those of the checkpoint that the spec has as well, each
 * with a place in the yard. Makes the mount points that the root file system lacks.
 */
[[nodiscard]] int restore_mounts(struct restore *x, struct err *e);

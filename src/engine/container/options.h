/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of one mount of a spec: words of mount(8) and of the specification into attribute
 * changes, propagation and the file system's own data. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "sys/mount.h"

/* glibc 2.36 lacks it; Linux 5.14. */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

struct spec_mount;

struct mount_words {
	uint64_t set, clear;	     /* MOUNT_ATTR_* of the mount itself */
	uint64_t rec_set, rec_clear; /* of it and all below */
	bool touched; /* a word about the mount itself was given: of a bind the rest is cleared */
	uint64_t propagation; /* MS_*, 0: none given */
	bool propagation_rec;
	bool bind, rec_bind;
	bool copy_up;	       /* tmpcopyup */
	bool idmap, idmap_rec; /* map to the container's user namespace or the mount's own maps */
	bool src_nofollow, dest_nofollow;
	bool remount;
	struct mount_option *data; /* with room for three more */
	size_t data_n;
};

/* INVALID: an option the specification reserves, used wrongly. */
[[nodiscard]] int mount_words_parse(struct arena *a, const struct spec_mount *m,
				    struct mount_words *ret_w, struct err *e);
/* All words known here, for the `features` verb; NULL-terminated. */
extern const char *const mount_words_known[];

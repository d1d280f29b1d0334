/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From texts to paths: path_resolution(7) and openat2(2)'s resolve flags. Symbolic links are
 * followed 40 deep at most. May park in a file system's lookup.
 */
#pragma once

#include "kernel/vfs/dentry.h"

#define PATH_ROOM  4096 /* PATH_MAX, with the end */
#define LINKS_MOST 40

struct told;

struct walk {
	const struct path *root, *start; /* borrowed: "/" and where a relative text begins */
	const struct cred *who;
	uint64_t resolve;  /* RESOLVE_* of linux/openat2.h */
	struct told *told; /* borrowed: by which names it leads; or NULL */
};

enum walk_flags {
	WALK_FOLLOW = 1,    /* also the last component, if it is a symbolic link */
	WALK_DIRECTORY = 2, /* what is found must be one */
	WALK_EMPTY = 4,	    /* "" is the start itself */
};

/* Owned by the caller in *ret. -ENOENT -ENOTDIR -EACCES -ELOOP -ENAMETOOLONG -EXDEV -EAGAIN ... */
[[nodiscard]] int walk(const struct walk *w, const char *text, unsigned int flags,
		       struct path *ret);

enum last_kind { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

/* All but the last component: its directory in *ret_dir, itself in name (with an end). */
struct walk_last {
	enum last_kind kind;
	char name[NAME_LONGEST + 1];
	size_t len;
	bool slash; /* "/" behind it: it must be a directory */
};
[[nodiscard]] int walk_parent(const struct walk *w, const char *text, struct path *ret_dir,
			      struct walk_last *ret_last);
/* The last component of a directory, without mkdir's or open's own rules; a link is followed if
 * told so. */
[[nodiscard]] int walk_last(const struct walk *w, const struct path *dir,
			    const struct walk_last *last, unsigned int flags, struct path *ret);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups of a workload: names are looked up in the files of its own root, which somebody
 * hostile may have written; they are opened inside the root and read up to a bound.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct account {
	uint32_t uid, gid;
	const char *name, *home; /* home "/" when unknown; in the arena */
	uint32_t *groups;	 /* supplementary, with group_add */
	size_t groups_n;
};

/*
 * "user[:group]" by the files below root_fd, never leaving it; NULL is root. Numbers need no file.
 * root_fd FD_NONE: there are none. Fails: NOT_FOUND no such name; INVALID.
 */
[[nodiscard]] int accounts_find(int root_fd, const char *user, const char *const *group_add,
				size_t group_add_n, struct arena *a, struct account *ret,
				struct err *e);
/* The same of the two files' texts, for who reads them in another way: up to ACCOUNTS_MAX bytes. */
#define ACCOUNTS_MAX (4u << 20)
[[nodiscard]] int accounts_find_in(struct str passwd, struct str group, const char *user,
				   const char *const *group_add, size_t group_add_n,
				   struct arena *a, struct account *ret, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advisory locks: ranges of a file by fcntl(2), whole files by flock(2). An owner is a pointer that
 * is compared alone: the table of descriptors (POSIX locks, which go with any close of the file),
 * the open file (open file description locks and flock's).
 */
#pragma once

#include "kernel/core/types.h"

struct inode;
struct text;

#define LOCK_END ((uint64_t) INT64_MAX) /* the last byte of one without an end */

enum lock_kind { LOCK_RANGE, LOCK_WHOLE }; /* fcntl's and flock's: they do not know each other */

struct lock_request {
	enum lock_kind kind;
	const void *owner;
	int type;	      /* F_RDLCK, F_WRLCK, F_UNLCK */
	uint64_t first, last; /* bytes, both in it */
	int32_t pid;	      /* as F_GETLK and /proc/locks tell it; -1: an open file's range */
};

/*
 * In the place of what the owner had in the range. wait: until nobody is in the way. -EAGAIN,
 * -EDEADLK (each of several owners would wait for the next), -ENOLCK: no memory, -ERESTARTSYS. May
 * park.
 */
[[nodiscard]] int lock_set(struct inode *i, const struct lock_request *q, bool wait);
/* Who is first in the way of q, as its owner asked for it; false: nobody. */
bool lock_in_the_way(const struct inode *i, const struct lock_request *q, struct lock_request *ret);
/* Those that are held, in the order of their making; false: there is none of that number. */
bool lock_at(uint64_t nr, struct inode **ret_inode, struct lock_request *ret);
/* All of an owner's. */
void lock_drop(struct inode *i, const void *owner);
/* /proc/locks: all that are held, in the order of their making, each with who waits for it. */
void lock_table(struct text *to);
/* The lines of /proc/PID/fdinfo: what two owners, the open file and its table, have of a file. */
void lock_lines(const struct inode *i, const void *owner, const void *other, struct text *to);

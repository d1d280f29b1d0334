/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound ownership: `auto_fd int fd = FD_NONE;` closes on every way out of the block.
 * Give ownership away with TAKE(p) and take_fd(&fd). Clean-up keeps errno and accepts the unset
 * value. Not for objects with their own type: those use AUTO_DEFINE beside their free function.
 *
 * Words used in all headers: a function *borrows* an argument (the caller keeps it), *takes* it
 * (the callee owns it from the call on, also on failure) or *gives* one (the caller releases it).
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The unset descriptor; -1 would read as -EPERM where results are negative errnos. */
#define FD_NONE (-EBADF)

static inline void close_fdp(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		(void) close(*fd);
		errno = saved;
	}
}

static inline void freep(void *p)
{
	free(*(void **) p);
}

static inline void fclosep(FILE **f)
{
	if (*f) {
		int saved = errno;

		(void) fclose(*f);
		errno = saved;
	}
}

static inline void closedirp(DIR **d)
{
	if (*d) {
		int saved = errno;

		(void) closedir(*d);
		errno = saved;
	}
}

#define auto_free __attribute__((cleanup(freep)))
#define auto_fd	  __attribute__((cleanup(close_fdp)))
#define auto_file __attribute__((cleanup(fclosep)))
#define auto_dir  __attribute__((cleanup(closedirp)))

#define AUTO_DEFINE(type, fn)                                                                      \
	static inline void fn##p(type *p)                                                          \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}
#define TAKE(p)                                                                                    \
	({                                                                                         \
		typeof(p) taken_ = (p);                                                            \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int got = *fd;

	*fd = FD_NONE;
	return got;
}

/* Close now and mark as unset. */
static inline void close_fd(int *fd)
{
	close_fdp(fd);
	*fd = FD_NONE;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

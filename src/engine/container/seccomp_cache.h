/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled filters, kept by the content of their profile in a directory of the caller's state:
 * CACHE/@seccomp/HEX, HEX a digest of the profile. A digest only names the file: the whole profile
 * stands in it and is compared, so no two can be confused. What is read is believed only when the
 * directory and the file are the caller's own and nobody else can write them, and when it is a
 * program that the kernel's rules allow. All is best effort: a cache that cannot be read or written
 * costs time and nothing else. It is never waited for: a file comes and goes by one rename.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"

struct spec_seccomp;

#define SECCOMP_CACHE_DIR   "@seccomp" /* no id of a container can be that */
#define SECCOMP_CACHE_FILES 64	       /* kept at most; the oldest goes first */

/*
 * All that decides about the program: the profile without its flags and listener, the machine and
 * the compiler. false: no memory.
 */
bool seccomp_cache_key(const struct spec_seccomp *s, struct buf *ret_key);
/* The program of a key, in the arena. dir_fd: CACHE, or FD_NONE. */
bool seccomp_cache_find(struct arena *a, int dir_fd, struct str key, struct sock_fprog *ret_prog);
void seccomp_cache_keep(int dir_fd, struct str key, const struct sock_fprog *prog);

/* The program in a file's bytes, copied to the arena; false when they are not of this key. Pure. */
bool seccomp_cache_parse(struct arena *a, struct str bytes, struct str key,
			 struct sock_fprog *ret_prog);

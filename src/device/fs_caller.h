/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On whose behalf the server makes a file. The guest's kernel has checked permissions already, so
 * the server keeps its own capabilities over files; what is made belongs to the guest's process
 * from its first moment. Identities are the thread's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fs_caller {
	bool fixed; /* may not change ids: what is made is the server's own user's */
	bool can_fsetid;
	uint64_t caps; /* the permitted ones */
	mode_t umask;
};

/* Capabilities survive a change of ids from now on, where the caller may ask for it. */
[[nodiscard]] int fs_caller_init(struct fs_caller *c);
/* Capabilities may have become fewer. */
[[nodiscard]] int fs_caller_renew(struct fs_caller *c);
/* For another thread, whose umask is 0. */
void fs_caller_copy(struct fs_caller *c, const struct fs_caller *from);
/* Files made until fs_caller_end() are of these ids, with this umask. 0 or -errno. */
[[nodiscard]] int fs_caller_begin(struct fs_caller *c, uid_t uid, gid_t gid, mode_t umask);
void fs_caller_end(struct fs_caller *c, uid_t uid, gid_t gid);
/*
 * Writing, truncating and changing an ACL take set-user-id and set-group-id away, as they do for
 * those without CAP_FSETID, until the next call with false.
 */
void fs_caller_plain(struct fs_caller *c, bool plain);

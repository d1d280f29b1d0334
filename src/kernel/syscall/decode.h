/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the decoders share: one function for each system call that list/calls.inc says is served,
 * and how their commonest arguments are read: descriptors, paths, times. Of syscall/ alone.
 */
#pragma once

#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/walk.h"

#define FULL(n, call)	       sysret_t sys_##call(struct task *t, const uint64_t *a);
#define PART(n, call, missing) FULL(n, call)
#define DENY(n, call, err, why)
#define NONE(n, call)
#include "kernel/syscall/list/calls.inc"
#undef FULL
#undef PART
#undef DENY
#undef NONE

/* ---- descriptors ---- */

/* The file behind a descriptor, the caller's; -EBADF. One that is O_PATH counts as open only for
 * fd_any(). */
[[nodiscard]] int fd_file(struct task *t, uint64_t fd, struct file **ret);
[[nodiscard]] int fd_any(struct task *t, uint64_t fd, struct file **ret);
/* The lowest free descriptor: takes the file. */
[[nodiscard]] sysret_t fd_new(struct task *t, struct file *f, bool cloexec);

static inline void file_cleanup(struct file **f)
{
	file_unref(*f);
}
#define auto_file __attribute__((cleanup(file_cleanup)))

/* ---- paths ---- */

/* A walk on its way for one text of the guest's: text, root and start are its own. */
struct at {
	struct walk walk;
	struct path root, start;
	char text[PATH_ROOM];
};

/* dirfd: AT_FDCWD or a directory's descriptor; ignored when the text begins with '/'. empty: "" is
 * no error. -EFAULT, -ENAMETOOLONG, -ENOENT, -EBADF, -ENOTDIR. at_fini() also after an error. */
[[nodiscard]] int at_init(struct at *at, struct task *t, uint64_t dirfd, uva_t text, bool empty);
void at_fini(struct at *at);
#define auto_at __attribute__((cleanup(at_fini)))

/* What a path and AT_* flags lead to. An anonymous file (a pipe) stands in no mount. */
struct target {
	struct path path; /* owned; without a mount: the dentry alone is */
	struct inode *inode;
};

/* flags: AT_SYMLINK_NOFOLLOW (what follows else), AT_SYMLINK_FOLLOW (what does not), AT_EMPTY_PATH.
 * follow: where neither is set. */
[[nodiscard]] int target_find(struct target *g, struct task *t, uint64_t dirfd, uva_t text,
			      unsigned int flags, bool follow);
/* As somebody else than t: access(2). told: of the walk, or NULL. */
[[nodiscard]] int target_find_as(struct target *g, struct task *t, const struct cred *who,
				 uint64_t dirfd, uva_t text, unsigned int flags, bool follow,
				 struct told *told);
/* That of a descriptor, O_PATH ones too where `any`. */
[[nodiscard]] int target_fd(struct target *g, struct task *t, uint64_t fd, bool any);
void target_fini(struct target *g);
#define auto_target __attribute__((cleanup(target_fini)))
/* -EROFS where nothing may be changed. */
[[nodiscard]] int target_writable(const struct target *g);

/* ---- times ---- */

/* struct timespec; -EFAULT, -EINVAL. What is past the end of nsec_t is its last. */
[[nodiscard]] int time_in(struct task *t, uva_t from, nsec_t *ret);
[[nodiscard]] int time_out(struct task *t, uva_t to, nsec_t n);
/* Seconds and parts of one, checked: parts below `unit` in a second. */
[[nodiscard]] int time_of(int64_t sec, int64_t part, int64_t unit, nsec_t *ret);
/* A moment of PLAT_MONOTONIC so far from now; NSEC_NEVER stays. */
nsec_t time_from_now(nsec_t n);

/* ---- structures ---- */

/* One whose size the guest gives (openat2, clone3, sched_setattr): at most `room` bytes of it are
 * known, the rest must be zero. -E2BIG, -EINVAL (below `least`), -EFAULT. */
[[nodiscard]] int struct_in(struct task *t, void *to, size_t room, uva_t from, uint64_t size,
			    size_t least);
/* A call's result, when what it tells beside it has reached the guest; else -EFAULT. */
[[nodiscard]] sysret_t struct_out(struct task *t, uva_t to, const void *from, size_t n,
				  sysret_t result);

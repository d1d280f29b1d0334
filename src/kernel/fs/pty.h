/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudoterminals: pty(7), pts(4), and devpts, of which there is one: a second mount shows the
 * same. The slave is a terminal (fs/tty.h); the master's close hangs it up.
 */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct file;
struct inode;
struct path;
struct super;
struct tty;

#define PTS_MAJOR 136
#define PTS_MOST  4096 /* kernel.pty.max */

/* For fs/devices.h's table: flags with O_NOCTTY. */
[[nodiscard]] int ptmx_open(struct inode *i, struct file *f, unsigned int flags); /* -ENOSPC */
/* -EIO: no such terminal, or it is locked. -EBUSY: TIOCEXCL. */
[[nodiscard]] int pts_open(struct inode *i, struct file *f, unsigned int flags);
/* /dev/tty. -ENXIO: nothing controls the caller. */
[[nodiscard]] int tty_open(struct inode *i, struct file *f, unsigned int flags);

/* A master's other end, by the mount that the master was opened through. -EINVAL: that is none. */
[[nodiscard]] int pty_open_slave(const struct file *master, unsigned int flags,
				 const struct cred *who, struct file **ret);
/* The file of a terminal's end, or NULL. */
struct tty *file_tty(const struct file *f);

/* ---- for checkpoints ---- */

bool file_is_pty_master(const struct file *f);
/* A terminal that nobody has opened, of this number; owned. -EBADMSG: there is one; -ENOMEM. */
[[nodiscard]] int pty_load(uint64_t index, const struct cred *who, struct tty **ret);
/* An end of it by the path that it was opened by. -EBADMSG: that leads elsewhere; -ENOMEM. */
[[nodiscard]] int pty_open_again(struct tty *t, bool master, const struct path *p,
				 unsigned int flags, const struct cred *who, struct file **ret);
/* It is no more the caller's; without a master it goes. */
void pty_loaded(struct tty *t);

/* ---- devpts.c ---- */

struct devpts_options {
	uint32_t mode, gid, ptmx_mode; /* of terminals; of ptmx */
};

/* The file system, with one user more: the caller. The first one's options count. NULL: no memory.
 */
[[nodiscard]] struct super *devpts_new(const struct devpts_options *o);
/* A terminal's node comes, named by its number; owned by the caller. */
[[nodiscard]] int devpts_add(struct tty *t, const struct cred *who, struct inode **ret);
/* It goes; the inode stays while it is used. */
void devpts_remove(struct tty *t);
struct tty *devpts_find(uint64_t index);
/* The first as of *index, which becomes its number; NULL: there are no more. */
struct tty *devpts_next(uint64_t *index);
/* The lowest number that is free; false: none. */
bool devpts_free(uint64_t *ret_index);

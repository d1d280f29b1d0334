/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices: an inode's number finds its driver in one table here, whichever file system
 * the node is of. null, zero, full, random, urandom (null(4), full(4), random(4)) are here; tty,
 * ptmx and the terminals are fs/pty.h's.
 */
#pragma once

#include "kernel/core/types.h"

struct file;
struct inode;
struct path;
struct cred;

/* As st_rdev has it. */
static inline uint64_t device_number(uint32_t major, uint32_t minor)
{
	return (uint64_t) (minor & 0xff) | (uint64_t) (major & 0xfff) << 8 |
	       (uint64_t) (minor & ~(uint32_t) 0xff) << 12;
}

static inline uint32_t device_major(uint64_t number)
{
	return (uint32_t) (number >> 8) & 0xfff;
}

static inline uint32_t device_minor(uint64_t number)
{
	return ((uint32_t) number & 0xff) | ((uint32_t) (number >> 12) & ~(uint32_t) 0xff);
}

/* What open(2) of a node of S_IFCHR does: f->ops is set. flags: with O_NOCTTY. -ENXIO: no such
 * device. */
[[nodiscard]] int device_open(struct inode *i, struct file *f, unsigned int flags);
/* Whether open(2) of one would find it. */
bool device_served(uint64_t number);
/* What a container has in /dev, made in an empty directory: the devices, the directories pts and
 * shm, and the links fd, stdin, stdout, stderr, ptmx. */
[[nodiscard]] int devices_fill(const struct path *dir, const struct cred *who);

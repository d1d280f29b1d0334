/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7): level and edge triggered, EPOLLONESHOT, EPOLLEXCLUSIVE, instances within instances
 * (five deep, no circles).
 */
#pragma once

#include "kernel/core/sched.h"

struct cred;
struct descriptors;
struct file;

/* As the guest sees it: packed on x86-64. */
struct epoll_ready {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));

[[nodiscard]] int epoll_make(const struct cred *who, struct file **ret);
/* op: EPOLL_CTL_*; `fd` is the number by which target is known. -EEXIST -ENOENT -EPERM -ELOOP
 * -EINVAL -ENOMEM */
[[nodiscard]] int epoll_control(struct file *epoll, int op, uint64_t fd, struct file *target,
				uint32_t events, uint64_t data);
/* Up to `room` that are ready: how many; 0 at the deadline. -ERESTARTSYS becomes -EINTR by the
 * caller. */
[[nodiscard]] int64_t epoll_collect(struct file *epoll, struct epoll_ready *to, size_t room,
				    nsec_t deadline);
/* How many may be ready: at least as many as the next epoll_collect() finds without waiting. 0: it
 * is no epoll. */
size_t epoll_listed(const struct file *epoll);
bool file_is_epoll(const struct file *f);
/* The last reference to a file is going: nobody watches it any more. */
void epoll_forget(struct file *f);

/* ---- checkpoints ---- */

struct epoll_watch {
	uint64_t fd;
	struct file *file; /* borrowed */
	uint32_t events;
	uint64_t data;
};

/* The one of this number in a row; false: there are no more. */
bool epoll_watch_at(const struct file *epoll, uint64_t nr, struct epoll_watch *ret);
/* One that was told so. What is ready is told, whether it was before or not. As epoll_control(). */
[[nodiscard]] int epoll_watch_load(struct file *epoll, const struct epoll_watch *from);

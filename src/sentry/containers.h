/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further containers of a sandbox that is a pod's: each with a tree of files of its own, which a
 * gofer of its own serves, and with its own numbers of processes, unless it sees another's. The
 * network, ipc, host name and /dev/shm are the sandbox's; so is the memory they may use.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "kernel/core/list.h"
#include "kernel/vfs/dentry.h"

struct fuse_conn;
struct gofer;
struct job;
struct pid_space;
struct sandbox;
struct seccomp_filter;
struct sentry_reply;
struct sentry_request;
struct spec;
struct task;

struct container {
	struct list link;
	uint64_t nr; /* of the control messages */
	struct arena arena;
	const struct spec *spec; /* in the arena */
	struct gofer *gofer;
	struct fuse_conn *conn;
	struct mount_space *space;
	struct path root;
	struct seccomp_filter *filter; /* owned; NULL: none */
	struct pid_space *numbers;     /* owned; NULL: the sandbox's own */
	struct job *first;	       /* stays until the container is removed */
	struct task *task;	       /* before its start */
	unsigned int users;	       /* requests that are served */
	bool removing;
};

/* Of the control socket (proto/sentry.h), in fibers. ADD takes the request's descriptors. */
[[nodiscard]] int container_add(struct sandbox *s, struct sentry_request *q, struct container **ret,
				struct err *e);
struct container *container_find(struct sandbox *s, uint64_t nr);
[[nodiscard]] int container_start(struct sandbox *s, struct container *c, struct err *e);
/* One that was never started ends as one that was killed. */
void container_give_up(struct sandbox *s, struct container *c);
/* All of it ends, and it is gone, with the caller as its one user. CONFLICT: it is being removed.
 */
[[nodiscard]] int container_remove(struct sandbox *s, struct container *c, struct err *e);

/* The sandbox has ended, and with it each of them, those that were never started, too. */
void containers_end(struct sandbox *s);

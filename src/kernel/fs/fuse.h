/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of FUSE (linux/fuse.h, 7.38): what a server outside shares, as file systems of this
 * kernel. One connection serves many shares, each a super of its own; messages go over a transport
 * that its platform brings. A fiber that asks parks until the answer comes.
 *
 * The server is another program of the host: what it says is believed as far as the host is, but
 * every length and every number of an answer is checked. When it is lost every call gives EIO, and
 * nothing else ends.
 *
 * What is written by write(2) is at the server when the call returns, so that the host's errors
 * (ENOSPC, EDQUOT, EIO) are the caller's. What is written through a shared mapping is brought there
 * by msync, fsync, munmap, close, and some time later by itself. Who changes files on the host is
 * seen here when what is known of them is no longer valid: names and attributes are valid for
 * fuse_share.valid, names that were not there for FUSE_ABSENT at most. Pages of a file are good for
 * as long as its size and time of modification are those they were read with; `own`, of a share
 * that has one user: as long as nobody but this client has written since then, too.
 */
#pragma once

#include "kernel/core/types.h"

struct fuse_conn;
struct super;

#define FUSE_ABSENT NSEC_PER_SEC

/* ---- transports ---- */

struct fuse_part {
	const void *at;
	size_t n;
};

struct fuse_look {
	uint32_t mode, links;
	uint64_t size;
	nsec_t access, modify, change; /* PLAT_REALTIME */
};

struct fuse_transport {
	/* One message to the server, all of it. -EAGAIN: later, fuse_sendable() will tell; others:
	 * the connection is lost. Does not park. */
	int (*send)(struct fuse_transport *t, const struct fuse_part *parts, size_t n);
	size_t most; /* bytes of a file in one message, whole pages; there is room for more */
	/*
	 * Optional, all or none: an answer to who opens a file may come with the file itself
	 * (`data`, not negative), whose bytes are moved without the server. As pread(2) and
	 * pwrite(2); -EAGAIN: not without waiting, so the server is asked. look: what fstat(2) says
	 * of it, but owners, numbers and devices, which the server may tell otherwise.
	 */
	int64_t (*read)(struct fuse_transport *t, int data, void *to, size_t n, uint64_t at);
	int64_t (*write)(struct fuse_transport *t, int data, const void *from, size_t n,
			 uint64_t at);
	int (*look)(struct fuse_transport *t, int data, struct fuse_look *ret);
	void (*close)(struct fuse_transport *t, int data);
	/* The connection has gone after fuse_disconnect(). NULL: nobody wants to know. */
	void (*gone)(struct fuse_transport *t);
};

#define FUSE_NO_DATA (-1)

#define FUSE_HEADS ((size_t) 8192) /* of a message beside the bytes of a file */

/* Agrees on the protocol; borrows t, for good. In a fiber. -EPROTO, -EIO, -ENOMEM. */
[[nodiscard]] int fuse_connect(struct fuse_transport *t, struct fuse_conn **ret);
/* As fuse_lost(); it goes when nobody uses a file system of it any more. */
void fuse_disconnect(struct fuse_conn *c);
/* For the transport, on a carrier's own stack: a message has come, with a file or FUSE_NO_DATA,
 * which is taken; -EPROTO: it is none. */
[[nodiscard]] int fuse_received(struct fuse_conn *c, const void *message, size_t n, int data);
void fuse_sendable(struct fuse_conn *c);
/* Whether an answer is due. */
bool fuse_waits(const struct fuse_conn *c);
void fuse_lost(struct fuse_conn *c);

/* ---- file systems ---- */

struct fuse_share {
	const char *name;
	nsec_t valid;
	bool own;
};

/* Its root is what is shared: a directory, or a file. The caller is its user (super_leave). May
 * park. -ENOENT: no such share. */
[[nodiscard]] int fuse_new(struct fuse_conn *c, const struct fuse_share *share, struct super **ret);
/* All that was written is at the servers. May park; the first error. */
[[nodiscard]] int fuse_sync(void);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server (linux/fuse.h, 7.27 and later) behind virtio-fs: one request in, its answer out,
 * no transport. Its root is a virtual read-only directory with one entry per share. What the guest
 * sends is hostile: it is copied once, then checked, then used.
 *
 * The process's working directory is /proc/self/fd while requests are served, so that a
 * descriptor's number is a path: fs_session_enter() makes it so.
 */
#pragma once

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "device/fs_caller.h"
#include "device/fs_crew.h"
#include "device/fs_handle.h"
#include "device/fs_ids.h"
#include "device/fs_inode.h"
#include "virtio/queue.h"

#define FS_SHARES_MAX  1024
#define FS_DEVICES_MAX 4096
#define FS_WRITE_MAX   (1u << 20)
/* What is copied of a request, and a reply made here, at most: a value of an attribute (64 KiB),
 * its name, and the headers. */
#define FS_BUFFER_MAX ((64u << 10) + 4096)

struct fs_share {
	const char *name; /* one component; borrowed until fs_session_new() returns */
	int fd;		  /* a directory, or a file */
	bool read_only;
	/* A saved state was of another directory, of which this is a copy: its files are known by
	 * their places alone. */
	bool copied;
};

/* What one thread needs to serve requests: one at a time. */
struct fs_work {
	struct fs_caller caller;
	struct fs_inode *kept[16]; /* by this request */
	size_t kept_n;
	struct fs_handle *handles[4]; /* pinned by it */
	size_t handles_n;
	int closing[8]; /* owned: closed at its end */
	size_t closing_n;
	struct iovec parts[CHAIN_PARTS_MAX];
	/* Entries of a directory read ahead, for the handle that read last. */
	uint64_t dir_fh, dir_next; /* 0: nobody's; the offset they begin at */
	size_t dir_at, dir_n;
	uint8_t dir[32u << 10] __attribute__((aligned(8)));
	uint8_t body[FS_BUFFER_MAX] __attribute__((aligned(8)));
	uint8_t reply[FS_BUFFER_MAX] __attribute__((aligned(8)));
};

struct fs_session {
	struct fs_inodes inodes;
	struct fs_ids handles;
	int proc_fd; /* owned */
	size_t shares_n;
	struct fs_top {
		bool read_only, copied;
		struct fs_inode *inode; /* pinned; NULL: a free place */
	} * shares;
	bool started;	/* INIT came */
	uint32_t minor; /* the guest's */
	bool setxattr_ext;
	bool overlay_marks; /* the owner's choice: trusted.overlay.opaque is served as well */
	/* The host's devices in the order they came in: they tell equal inode numbers apart. */
	struct fs_device {
		uint64_t dev;
		bool known;
		bool remote; /* close() may find what write() did not */
		bool stamps; /* whoever writes to a file changes its times */
	} devices[FS_DEVICES_MAX];
	size_t devices_n;
	unsigned serving;    /* requests, some of them away at the host's file systems */
	struct fs_work work; /* of who serves alone, and of the crew's first */
};

/* /proc/self/fd, as a mount of its own, whose ".." leads nowhere, if one can be had. >= 0 or
 * negative. */
[[nodiscard]] int fs_session_proc(struct err *e);
/*
 * Takes proc_fd (fs_session_proc()) and the shares' descriptors, on failure too. fds_max: how many
 * descriptors it may hold. To be called with all privileges, which may be given up afterwards.
 */
struct fs_session *fs_session_new(int proc_fd, const struct fs_share *shares, size_t n,
				  size_t fds_max, struct err *e);
void fs_session_free(struct fs_session *s);
/* A share more, and one less with all that the guest has of it. add takes fd. -EEXIST, -ENOENT, ...
 */
[[nodiscard]] int fs_session_add(struct fs_session *s, const char *name, int fd, bool read_only);
[[nodiscard]] int fs_session_remove(struct fs_session *s, const char *name);
/* As before INIT: what the guest had open or known is gone. */
void fs_session_reset(struct fs_session *s);
/* Serve one request: how many bytes of c->in were written. */
uint32_t fs_session_serve(struct fs_session *s, const struct chain *c);
/* The same, with the work of this thread: others may serve other requests meanwhile. */
uint32_t fs_session_serve_as(struct fs_session *s, struct fs_work *w, const struct chain *c);
/* Before the first request, with the privileges that it will have. */
[[nodiscard]] int fs_session_enter(struct fs_session *s, struct err *e);

/* --- between the handlers (fs_ops_*.c) --- */

struct fs_request {
	struct fs_session *s;
	struct fs_work *w;
	const struct chain *chain;
	struct fuse_in_header h;
	struct fs_inode *inode; /* of h.nodeid */
	const uint8_t *body;	/* after the header, aligned; body[body_n] is 0 */
	size_t body_n;
};

/* Each gives the bytes of the reply's body, which it has written at w->reply or, FS_WRITTEN, into
 * the chain; or -errno; or FS_SILENT: no reply. */
typedef int fs_handler(struct fs_request *r);
#define FS_WRITTEN (1 << 24)
#define FS_SILENT  (1 << 25)

/* ops_node: names and attributes. */
fs_handler fs_do_lookup, fs_do_forget, fs_do_batch_forget, fs_do_getattr, fs_do_setattr,
	fs_do_readlink, fs_do_statfs, fs_do_access, fs_do_syncfs;
/* ops_name: what changes directories. */
fs_handler fs_do_symlink, fs_do_mknod, fs_do_mkdir, fs_do_unlink, fs_do_rmdir, fs_do_rename,
	fs_do_rename2, fs_do_link, fs_do_create, fs_do_tmpfile;
/* ops_file */
fs_handler fs_do_open, fs_do_read, fs_do_write, fs_do_release, fs_do_flush, fs_do_fsync,
	fs_do_fallocate, fs_do_lseek, fs_do_copy;
/* ops_dir */
fs_handler fs_do_opendir, fs_do_readdir, fs_do_readdirplus, fs_do_releasedir, fs_do_fsyncdir;
/* ops_xattr */
fs_handler fs_do_setxattr, fs_do_getxattr, fs_do_listxattr, fs_do_removexattr;

/* The body's fixed part, zero where the request is shorter (its minimum is checked before). */
#define FS_BODY(r, type)                                                                           \
	({                                                                                         \
		type in_ = {};                                                                     \
		memcpy(&in_, (r)->body, (r)->body_n < sizeof(in_) ? (r)->body_n : sizeof(in_));    \
		in_;                                                                               \
	})
#define FS_REPLY(r, out)                                                                           \
	({                                                                                         \
		memcpy((r)->w->reply, &(out), sizeof(out));                                        \
		(int) sizeof(out);                                                                 \
	})

/* The text at body[at], which ends in the body; *ret_end is past its NUL. NULL: no text there. */
const char *fs_text(const struct fs_request *r, size_t at, size_t *ret_end);
/* The same for one component of a path: not empty, "." or "..", no '/', at most NAME_MAX. */
const char *fs_name(const struct fs_request *r, size_t at, size_t *ret_end);
/* A descriptor's path: see above. */
#define FS_PATH_MAX 16
const char *fs_path(char path[static FS_PATH_MAX], int fd);

void fs_attr(struct fs_session *s, const struct statx *st, struct fuse_attr *ret_attr);
/* An inode's entry; the guest is given it, and counts it. */
void fs_entry(struct fs_session *s, struct fs_inode *i, const struct statx *st,
	      struct fuse_entry_out *ret_entry);
int fs_reply_entry(struct fs_request *r, struct fs_inode *i, const struct statx *st);
/* What the host's number of an inode becomes; root: of the root of all. */
uint64_t fs_ino(struct fs_session *s, uint64_t dev, uint64_t ino);
struct fs_device *fs_device(struct fs_session *s, uint64_t dev);
void fs_root_stat(struct fs_session *s, struct statx *ret_stat);
bool fs_read_only(const struct fs_session *s, const struct fs_inode *i);
/* Descriptor, or -errno; out of descriptors: once more with some less. flags: of the guest's. */
int fs_open_inode(struct fs_session *s, struct fs_inode *i, int flags);
/* The guest's flags of open() that mean something here, or -EINVAL. */
int fs_open_flags(uint32_t flags);
/* Whether the guest's pages of it are still good (fresh: it has none), and whether it need not say
 * when it closes. */
void fs_open_hints(struct fs_session *s, struct fs_inode *i, int fd, bool fresh,
		   struct fuse_open_out *ret_out);
/* fs_handle_get(), for the rest of the request. */
struct fs_handle *fs_handle_of(struct fs_request *r, uint64_t fh, const struct fs_inode *inode,
			       bool directory);
/* Another handle in an answer to OPEN or CREATE. Takes fd. */
int fs_handle_reply(struct fs_request *r, struct fs_inode *i, int fd, bool directory,
		    struct fuse_open_out *ret_out);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the FUSE client share: its connection, supers, inodes and names that it knows.
 */
#pragma once

#include <linux/fuse.h>

#include "kernel/core/radix.h"
#include "kernel/core/tree.h"
#include "kernel/fs/fuse.h"
#include "kernel/vfs/inode.h"

struct file;
struct file_ops;
struct uio;

#define FUSE_FORGETS_MOST 64u

struct fuse_conn {
	struct fuse_transport *transport;
	bool lost;
	struct tree calls; /* that wait, by their number */
	uint64_t last;	   /* number given */
	uint64_t epoch;	   /* of attributes: on with each change that this client makes */
	struct waitq room; /* to send */
	struct list farewells;
	struct fuse_forget_one forgets[FUSE_FORGETS_MOST]; /* to be said together */
	uint32_t forgets_n;
	struct tree nodes;  /* by the server's number */
	struct tree names;  /* by a hash of directory and name */
	struct list recent; /* the same, used last at the end */
	size_t names_n;
	struct list reading; /* handles that nobody needs, used last at the end */
	size_t reading_n;
	struct list cached; /* nodes that have pages, filled last at the end */
	uint64_t pages;	    /* of them all */
	struct list dirty;  /* nodes that have something to be written */
	bool ends;	    /* with the writer, when nobody uses it */
	unsigned int users; /* file systems of it, and who goes through all connections */
	bool hurry;	    /* now, not some time later */
	struct waitq work;  /* for who writes it */
	struct sleeplock writing;
	struct list all; /* connections */
	char *bytes;	 /* of one write on its way, transport->most of them */
	bool bytes_used;
};

/* By one of its users. */
void fuse_conn_left(struct fuse_conn *c);

struct fuse_super {
	struct super super;
	struct fuse_conn *conn;
	nsec_t valid;
	bool own;
	char name[NAME_LONGEST + 1];
};

struct fuse_handle {
	bool open;
	uint64_t fh;
	int data;	    /* of the transport; FUSE_NO_DATA */
	unsigned int users; /* calls that name it */
};

struct fuse_node {
	struct inode inode;
	struct tree_node by_id; /* in the connection's */
	uint64_t lookups;	/* that the server counts */
	nsec_t until;		/* attributes are valid: PLAT_MONOTONIC */
	bool changed;		/* but this client has changed something since then */
	uint64_t epoch;		/* of its last change: what a call begun before tells is old */
	uint64_t version;	/* of contents: on with each change that this client made */
	bool wrote;		/* by this client, since attributes came */
	bool looked_in;		/* a directory: names were looked up since it was listed */
	struct fuse_handle read, write;
	struct list reading;  /* in the connection's, with `read` alone */
	struct list cached;   /* in the connection's */
	unsigned int filling; /* pages on their way */
	struct radix dirty;   /* indexes of pages */
	uint64_t dirty_n;
	struct list to_write; /* in the connection's `dirty`, which owns the inode then */
	struct sleeplock writing_back;
	int failed;	/* an error of what was written later, for the next who syncs */
	uint64_t ahead; /* where the next page of a sequence would be */
	unsigned int window;
};

static inline struct fuse_node *fuse_of(struct inode *i)
{
	return container_of(i, struct fuse_node, inode);
}

static inline struct fuse_super *fuse_super_of(const struct inode *i)
{
	return container_of(i->super, struct fuse_super, super);
}

static inline struct fuse_conn *fuse_conn_of(const struct inode *i)
{
	return fuse_super_of(i)->conn;
}

/* Of the transport; FUSE_NO_DATA. */
static inline int fuse_data(const struct fuse_node *n)
{
	return n->write.open && n->write.data >= 0 ? n->write.data
	       : n->read.open			   ? n->read.data
						   : FUSE_NO_DATA;
}

static inline uint64_t fuse_id(struct inode *i)
{
	return fuse_of(i)->by_id.key;
}

/* Whether a server's text has such a byte. */
static inline bool fuse_has(const char *text, size_t n, char byte)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == byte)
			return true;
	}
	return false;
}

/* ---- fuse_conn.c: calls ---- */

#define FUSE_CALL_PARTS 3

struct fuse_call {
	uint32_t op;
	uint64_t node;
	uint32_t uid, gid;
	struct fuse_part in[FUSE_CALL_PARTS];
	void *out;
	size_t least, room; /* what the answer may have */
	size_t got;
	int data; /* what came with the answer to OPEN, CREATE or TMPFILE: the caller's */
	/* Its own: */
	struct tree_node by_number;
	struct fiber *fiber;
	bool answered;
	int result;
};

/* 0, or -errno of the server or of what has become of it. Parks. */
[[nodiscard]] int fuse_call(struct fuse_conn *c, struct fuse_call *q);
/* What came with an answer goes. */
void fuse_data_close(struct fuse_conn *c, int data);
/* RELEASE or RELEASEDIR of a handle: nobody waits for it. Does not park. */
void fuse_farewell(struct fuse_conn *c, uint32_t op, uint64_t node, uint64_t handle);
/* A node that is counted so often is not known any more. It is said at once (`now`), or with
 * others some time later. Does not park. */
void fuse_forget(struct fuse_conn *c, uint64_t node, uint64_t lookups, bool now);
/* What is to be forgotten is said. */
void fuse_forget_all(struct fuse_conn *c);

/* ---- fuse.c: nodes ---- */

/* The server's entry, which counts: owned by the caller in *ret. */
[[nodiscard]] int fuse_entered(struct fuse_super *s, const struct fuse_entry_out *e, uint64_t epoch,
			       struct inode **ret);
/* An answer about it, to a call that was begun in that epoch. -EIO: nonsense. */
[[nodiscard]] int fuse_attributes(struct inode *i, const struct fuse_attr *a, uint64_t epoch);
/* What this client has done to a file is told by what is open of it; -EAGAIN: it has to be asked
 * for. */
int fuse_look(struct fuse_node *n);
/* They have changed by what was done, and are asked for when they are needed next. */
void fuse_stale(struct inode *i);
int fuse_refresh(struct inode *i);
/* The same where only what others have changed matters. */
int fuse_expired(struct inode *i);
int fuse_change(struct inode *i, const struct vfs_change *c);

/* ---- fuse_names.c ---- */

int fuse_lookup(struct inode *dir, const char *name, size_t len, struct inode **ret);
int fuse_create(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		const char *target, const struct cred *who, struct inode **ret);
int fuse_link(struct inode *dir, const char *name, size_t len, struct inode *target);
int fuse_nameless(struct inode *dir, uint32_t mode, const struct cred *who, struct inode **ret);
int fuse_unlink(struct inode *dir, const char *name, size_t len, struct inode *target);
int fuse_rename(struct inode *from, const char *old, size_t old_len, struct inode *what,
		struct inode *to, const char *name, size_t len, struct inode *over,
		unsigned int flags);
int64_t fuse_readlink(struct inode *i, char *to, size_t room);
bool fuse_valid(struct dentry *d);
/* What is known of a name: i NULL: that it is not there. */
void fuse_name_known(struct inode *dir, const char *name, size_t len, struct inode *i,
		     nsec_t until);
/* The same of one that is there, as of now. */
void fuse_name_seen(struct inode *dir, const char *name, size_t len, struct inode *i);
/* Names of a super, or (s NULL) the oldest until there are at most `most`. */
void fuse_names_drop(struct fuse_conn *c, const struct super *s, size_t most);

/* ---- fuse_file.c ---- */

extern const struct pager_ops fuse_pager_ops;
int fuse_open(struct inode *i, struct file *f);
/* The handle of a file that a call has made. Takes it, and what came with it. */
void fuse_opened(struct fuse_node *n, const struct fuse_open_out *o, int data);
/* One to read by, or to write by, as well, for a call: fuse_handle_done() once it has its answer.
 */
[[nodiscard]] int fuse_handle(struct fuse_node *n, bool write, struct fuse_handle **ret);
void fuse_handle_done(struct fuse_node *n, struct fuse_handle *h);
/* A call about a file by a handle of it, which stands at *fh of the request, once all that was
 * written through mappings is at the server. */
[[nodiscard]] int fuse_call_file(struct fuse_node *n, bool write, struct fuse_call *q,
				 uint64_t *fh);
/* The handle to write by goes, where nobody needs it any more. */
void fuse_writers_gone(struct fuse_node *n);
/* Some file's pages go, which are neither changed nor mapped, nor on their way: whether there was
 * one.
 */
bool fuse_evict(struct fuse_conn *c);
/* The same as fuse_call(), of what opens something: when the server has no descriptors left,
 * handles that only stay are given up, and it is asked once more. */
[[nodiscard]] int fuse_call_open(struct fuse_conn *c, struct fuse_call *q);
/* Handles are given up. */
void fuse_close(struct fuse_node *n);

/* ---- fuse_write.c ---- */

int64_t fuse_write(struct file *f, struct uio *from, uint64_t *pos);
int fuse_sync_file(struct file *f, bool data_only);
int fuse_allocate(struct file *f, int mode, uint64_t at, uint64_t len);
int fuse_touch(struct pager *p, uint64_t index);
int fuse_sync_pager(struct pager *p);
/* Pages that were written through mappings go to the server. */
[[nodiscard]] int fuse_write_back(struct fuse_node *n);
/* Those in what was dropped are not to be written any more. */
void fuse_clean(struct fuse_node *n, uint64_t first, uint64_t last);
/* The fiber that writes back; it frees the connection. */
void fuse_writer(void *conn);
void fuse_conn_free(struct fuse_conn *c);
/* It does so now. */
void fuse_write_soon(struct fuse_node *n);
[[nodiscard]] int fuse_write_all(struct fuse_conn *c);

/* ---- fuse_dir.c, fuse_xattr.c ---- */

extern const struct file_ops fuse_dir_ops;
int64_t fuse_xattr_get(struct inode *i, const char *name, void *to, size_t room);
int fuse_xattr_set(struct inode *i, const char *name, const void *value, size_t n, int flags);
int64_t fuse_xattr_list(struct inode *i, char *to, size_t room);

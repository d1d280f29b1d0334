/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that the guest knows by number, and where they are on the host.
 *
 * Each is known by what identifies it (device, inode, mount, birth time) and normally held by an
 * O_PATH descriptor. Descriptors are finite and a guest remembers as many files as its memory
 * takes: past a maximum the one unused for longest is closed, if the file can be seen under the
 * name it was last found by, and opened by that name again when it is needed; another file that
 * has taken the name meanwhile is -ESTALE, which makes a guest look the path up anew. What an open
 * handle leads to needs no other descriptor. Nothing here follows a link or leaves a share: one
 * component at a time, beneath a descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "device/fs_ids.h"

#define FS_ROOT_SHARE UINT32_MAX /* of the root, which is in none */
#define FS_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

struct fs_handle; /* device/fs_handle.h */
struct fs_crew;	  /* device/fs_crew.h */
struct fs_work;	  /* device/fs_session.h */

struct fs_identity {
	uint64_t dev, ino, mnt;
	int64_t born; /* ns; 0: the file system does not tell */
	uint32_t share;
};

struct fs_inode {
	struct fs_identity is;
	uint64_t nodeid;
	uint64_t lookups; /* what FORGET takes back */
	mode_t type;	  /* S_IFMT of it, which never changes */
	int fd;		  /* owned, O_PATH; FD_NONE: by a handle, or by its place */
	bool pinned;	  /* root of a share, or the root of all: never goes */
	bool lost;	  /* of a saved state, and not there any more: -ESTALE, whatever is asked */
	uint64_t used_in; /* the request that used it last */
	unsigned pins;	  /* requests that use it: it stays, and so does its descriptor */
	/* Its place: where it was last seen. NULL: unlinked, or replaced. */
	struct fs_inode *parent;
	char *name;
	size_t children; /* those whose parent it is: it stays for them */
	struct fs_handle *handles;
	/* What the guest's cached pages were read from; 0: nothing is known. */
	int64_t cached_mtime, cached_ctime;
	uint64_t cached_size;
	struct fs_inode *same_identity, *same_place; /* next in the bucket */
	struct fs_inode *newer, *older;		     /* by use, of those with fd */
};

struct fs_lru {
	struct fs_inode *newest, *oldest;
	size_t n;
};

struct fs_inodes {
	struct fs_ids ids;
	struct fs_inode **by_identity, **by_place;
	size_t buckets_n; /* of each; a power of two */
	struct fs_lru files, directories;
	size_t fds_max, fds_others; /* of all: those of handles too */
	uint64_t request;	    /* counts: what this one uses keeps its descriptor */
	uint64_t seed;
	struct fs_inode *root;
	struct fs_crew *crew; /* borrowed; NULL: requests are served one at a time */
	struct fs_work *now;  /* of the request that is being served, NULL: none */
};

/* fds_max: descriptors held at most, those of handles included. 0 or -errno. */
[[nodiscard]] int fs_inodes_init(struct fs_inodes *t, size_t fds_max);
void fs_inodes_fini(struct fs_inodes *t);

/* A share's top, below the root: stays for good. Takes fd. */
[[nodiscard]] int fs_inodes_share(struct fs_inodes *t, uint32_t share, const char *name, int fd,
				  struct fs_inode **ret_inode);
/* Whether a request that is away uses something of it. */
bool fs_inodes_share_used(const struct fs_inodes *t, uint32_t share);
/* That top and all below it are gone; no handle of theirs is left. */
void fs_inodes_unshare(struct fs_inodes *t, uint32_t share);
/* Forget all that is not pinned, as at the beginning; no handle is left. */
void fs_inodes_clear(struct fs_inodes *t);

struct fs_inode *fs_inode_get(const struct fs_inodes *t, uint64_t nodeid); /* NULL: none */
struct fs_inode *fs_inode_named(const struct fs_inodes *t, const struct fs_inode *dir,
				const char *name); /* known by that name; NULL: none */
/*
 * The file `name` in a directory of a share: the known inode or a new one, its place is there now.
 * lazy: no descriptor yet. The caller counts `lookups`, or calls fs_inode_settle().
 */
[[nodiscard]] int fs_inode_lookup(struct fs_inodes *t, struct fs_inode *dir, const char *name,
				  bool lazy, struct fs_inode **ret_inode, struct statx *ret_stat);
/* The same for a file that has just been made and is open as fd (borrowed). name: NULL: none. */
[[nodiscard]] int fs_inode_of_fd(struct fs_inodes *t, struct fs_inode *dir, const char *name,
				 int fd, struct fs_inode **ret_inode, struct statx *ret_stat);
/*
 * A request that calls the host's file system lets others be served meanwhile (FS_AWAY): what it
 * uses afterwards it has to keep before. It is let go at the request's end, or earlier. false: it
 * keeps too much already.
 */
[[nodiscard]] bool fs_inode_keep(struct fs_inodes *t, struct fs_inode *inode);
void fs_inode_let_go(struct fs_inodes *t, struct fs_inode *inode);
/* A descriptor of it, which is kept; maybe not O_PATH. Or -errno. */
[[nodiscard]] int fs_inode_fd(struct fs_inodes *t, struct fs_inode *inode);

/* Before a name is taken away or replaced: what the guest knows by it stays reachable. */
void fs_inode_hold_named(struct fs_inodes *t, struct fs_inode *dir, const char *name);
/* The name is gone. */
void fs_inode_unnamed(struct fs_inodes *t, struct fs_inode *dir, const char *name);
/* It was renamed; exchange: the two were. */
void fs_inode_moved(struct fs_inodes *t, struct fs_inode *from, const char *name,
		    struct fs_inode *to, const char *new_name, bool exchange);

void fs_inode_forget(struct fs_inodes *t, struct fs_inode *inode, uint64_t lookups);
/* Close it at the end of the request: the host may take its time. Takes fd. */
void fs_inodes_close(struct fs_inodes *t, int fd);
/* Free it when nothing needs it. */
void fs_inode_settle(struct fs_inodes *t, struct fs_inode *inode);
/* A handle will have one more descriptor, and an inode had to give its own up where there are too
 * many. false: none can. */
[[nodiscard]] bool fs_inodes_handle_opens(struct fs_inodes *t);
void fs_inodes_handle_closed(struct fs_inodes *t);
/* The next request. */
void fs_inodes_tick(struct fs_inodes *t);
/* Close some descriptors that can be had again, after EMFILE: whether there were any. */
bool fs_inodes_spare(struct fs_inodes *t);
/*
 * Of a saved state (device/fs_state.h): the inode by its number, nowhere yet and unknown on the
 * host; it has to be found, or it is lost. fs_ids_mend() has to follow the last one. 0 or -errno.
 */
[[nodiscard]] int fs_inode_put(struct fs_inodes *t, uint64_t nodeid, uint32_t share, mode_t type,
			       uint64_t lookups, struct fs_inode **ret_inode);
/* Its place. -EINVAL: it has one, the place is taken, or is in no directory of its share. */
[[nodiscard]] int fs_inode_put_at(struct fs_inodes *t, struct fs_inode *inode, struct fs_inode *dir,
				  const char *name);
/* What is there now, which has to be of its type: 0, or -ESTALE, -errno. */
[[nodiscard]] int fs_inode_see(struct fs_inodes *t, struct fs_inode *inode,
			       struct fs_identity *ret_is);
/* It is what was seen. */
void fs_inode_found(struct fs_inodes *t, struct fs_inode *inode, const struct fs_identity *is);
/* It is nowhere; directories above it that nothing else needs are freed. */
void fs_inode_lost(struct fs_inodes *t, struct fs_inode *inode);
/* It has no descriptor, and this one leads to it: takes fd. */
void fs_inode_adopt(struct fs_inodes *t, struct fs_inode *inode, int fd);

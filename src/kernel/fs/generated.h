/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems whose files are generated: proc, sysfs. Each is a tree of tables of entries; what is
 * in a directory is in its table, or found by its functions (processes, descriptors). A file's text
 * is made when it is read from its start, and served from there.
 */
#pragma once

#include "kernel/fs/text.h"
#include "kernel/vfs/file.h"

struct pid;
struct generated_node;
struct generated_sink;

struct generated_entry {
	const char *name;
	uint32_t mode; /* with the type */
	/* Files. The text, in to; -errno. NULL: not to be read. */
	int (*show)(const struct generated_node *n, struct text *to);
	/* What was written, with an end behind it. NULL: not to be written. */
	int (*store)(const struct generated_node *n, const char *bytes, size_t len);
	/* Or as other files. */
	int (*open)(const struct generated_node *n, struct file *f);
	/* Links. */
	int (*link)(const struct generated_node *n, struct text *to);
	int (*follow)(const struct generated_node *n, const struct cred *who, struct path *ret);
	/* Directories: a table, and functions for the rest; what they find is owned by the caller
	 * (its pid). */
	const struct generated_entry *children;
	size_t count;
	int (*find)(const struct generated_node *dir, const char *name, size_t len,
		    struct generated_node *ret);
	/* Entries whose positions are at least `at` and those after GENERATED_FIRST. */
	void (*list)(const struct generated_node *dir, uint64_t at, struct generated_sink *to);
};

/* What an inode stands for. */
struct generated_node {
	const struct generated_entry *entry;
	struct pid *pid; /* owned; NULL: nobody's */
	uint64_t number; /* of a descriptor, a processor */
};

/* Where `list` puts what it finds. next: the position after it. False: no more. */
bool generated_tell(struct generated_sink *to, const char *name, size_t len, uint32_t mode,
		    uint64_t next);
bool generated_tell_number(struct generated_sink *to, uint64_t number, uint32_t mode,
			   uint64_t next);
/* Positions of what `list` tells begin here. */
#define GENERATED_FIRST 4096

/* One such file system: a user, the caller, and all that is found is looked up again each time
 * where it is a process' own. top: its root's entry. NULL: no memory. */
[[nodiscard]] struct super *generated_new(const struct super_ops *ops,
					  const struct generated_entry *top);
void generated_shutdown(struct super *s);
void generated_release(struct super *s);
/* What an inode of such a file system stands for; NULL: it is of another one. */
const struct generated_node *generated_node_of(const struct inode *i);
/* The number that a name is; false: it is none. */
bool generated_number(const char *name, size_t len, uint64_t *ret);

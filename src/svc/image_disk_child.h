/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All borrowed from the parent. */
struct image_disk_child {
	const char *program;
	char *const *argv; /* names the mount point, and /proc/self/fd/3 for the disk */
	char *const *env;
	int tree_fd;	   /* detached mount of the files */
	const char *place; /* the directory where it is seen at, by this process alone */
	int disk_fd, null_fd, log_fd;
};

/* In a child with mount, network and IPC namespaces of its own: runs mkfs.erofs. */
[[gnu::noreturn]] void image_disk_child(const struct image_disk_child *c);

#define IMAGE_DISK_CHILD_FAILED                                                                    \
	125 /* its exit status: never came to the program; errno in the log */

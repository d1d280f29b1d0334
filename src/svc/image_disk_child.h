/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/clock.h"
#include "base/err.h"

/* All borrowed from the parent. */
struct image_disk_child {
	const char *program;
	const char *name;  /* of the program, for messages */
	char *const *argv; /* names the mount point, and /proc/self/fd/3 for the disk */
	char *const *env;
	int tree_fd;	   /* detached mount of the files; FD_NONE: there are none */
	const char *place; /* the directory where it is seen at, by this process alone */
	int disk_fd, null_fd, log_fd;
};

/* In a child with mount, network and IPC namespaces of its own: runs a maker of disks. */
[[gnu::noreturn]] void image_disk_child(const struct image_disk_child *c);

#define IMAGE_DISK_CHILD_FAILED                                                                    \
	125 /* its exit status: never came to the program; errno in the log */

#define IMAGE_DISK_NAME "/proc/self/fd/3"

/* Start it, and wait for its end: it went well. log_fd has what it said. */
[[nodiscard]] int image_disk_run(const struct image_disk_child *c, nsec_t deadline, struct err *e);

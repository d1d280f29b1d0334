/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels for the guests of machines: which there are on this host, which one a machine gets, and
 * its files, made ready by atoll-kernel where they are not yet. A distribution's kernels are found
 * as its packages leave them: /boot/vmlinuz-VERSION or /lib/modules/VERSION/vmlinuz, with their
 * modules in /lib/modules/VERSION. Booting them is the engines'.
 *
 * The directory of kernels (ROOT/kernels) has the prepared ones (fmt/prepared.h) and the user's
 * choice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/bzimage.h"
#include "fmt/digest.h"
#include "fmt/prepared.h"

struct kernel {
	char version[KERNEL_VERSION_MAX]; /* "": an uncompressed one does not say it at a glance */
	char path[PREPARED_PATH_MAX];
	char modules[PREPARED_PATH_MAX]; /* the directory that has one of each version in it */
};

struct kernels {
	struct kernel *v; /* the one that is taken by default first */
	size_t n;
};

/*
 * The directory of kernels, made if need be. dir NULL: "kernels" of the default root (ATOLL_ROOT).
 * Gives.
 */
[[nodiscard]] int kernels_open(const char *dir, int *ret_fd, struct err *e);

/* Those of the host that have modules. Into the arena. */
[[nodiscard]] int kernel_list(struct arena *a, struct kernels *ret, struct err *e);

/*
 * The kernel for a machine. want: a version or an absolute path; NULL or "": what ATOLL_KERNEL
 * says, else the user's choice, else the newest whose version has "cloud" in it (made for machines
 * such as ours), else the newest. kernels_fd may be FD_NONE: no choice. NOT_FOUND says which there
 * are.
 */
[[nodiscard]] int kernel_pick(int kernels_fd, const char *want, struct kernel *ret, struct err *e);

/* For reading: its descriptor. DENIED says how a user gets to it. */
[[nodiscard]] int kernel_open(const char *path, struct err *e);

/* The user's choice: a version or a path; "" when there is none. */
void kernel_choice(int kernels_fd, char ret_want[static PREPARED_PATH_MAX]);
/* want NULL: the default again. */
[[nodiscard]] int kernel_choose(int kernels_fd, const char *want, struct err *e);

struct kernel_files {
	int vmlinux_fd, initramfs_fd; /* owned, for reading */
	struct prepared record;
	char hex[DIGEST_HEX_MAX]; /* the directory's name */
};
void kernel_files_fini(struct kernel_files *f);
#define KERNEL_FILES_INIT ((struct kernel_files){ .vmlinux_fd = FD_NONE, .initramfs_fd = FD_NONE })

/* A look alone, that of a file's metadata: whether it is prepared, and if so its files. */
bool kernel_prepared(int kernels_fd, const struct kernel *k, struct kernel_files *ret);
/*
 * The same, prepared if need be: that takes a part of a second, and waits for others who do so.
 * What atoll-kernel says is the error; TIMEOUT: the deadline passed.
 */
[[nodiscard]] int kernel_prepare(int kernels_fd, const struct kernel *k, nsec_t deadline,
				 struct kernel_files *ret, struct err *e);

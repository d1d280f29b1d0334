/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel is prepared from, read whole: files named on the command line, by path or "fd:N".
 */
#pragma once

#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "fmt/digest.h"

struct input {
	struct buf text;
	struct stat stat;
	struct digest digest;
};
#define INPUT_INIT ((struct input){})
void input_fini(struct input *i);
#define auto_input __attribute__((cleanup(input_fini)))

/* A descriptor for "fd:N" (a duplicate) or a path, relative to dirfd. Gives. */
[[nodiscard]] int input_open(int dirfd, const char *name, int flags, int *ret_fd, struct err *e);

/*
 * Read a regular file of at most max bytes, with its sha256. what: "kernel", for messages.
 * NOT_FOUND, DENIED, INVALID: empty, a directory.
 */
[[nodiscard]] int input_read(int dirfd, const char *name, const char *what, size_t max,
			     struct input *ret, struct err *e);

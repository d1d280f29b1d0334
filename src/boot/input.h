/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel is prepared from: files named on the command line, by path or "fd:N", opened before
 * the walls stand and read whole behind them.
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

/* A descriptor for "fd:N" (a duplicate) or a path. Gives. */
[[nodiscard]] int input_open(const char *name, int flags, int *ret_fd, struct err *e);

/*
 * Read a regular file of at most max bytes, with its sha256. name and what ("kernel") are for
 * messages. INVALID: empty, a directory.
 */
[[nodiscard]] int input_read(int fd, const char *name, const char *what, size_t max,
			     struct input *ret, struct err *e);

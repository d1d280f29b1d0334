/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the command line, opened. */
#pragma once

#include "base/err.h"
#include "vmm/options.h"

/*
 * Gives a descriptor: of the path, opened with `flags` (O_CLOEXEC is added, what is made is 0600),
 * or the inherited one itself. option: what the user wrote it for.
 */
[[nodiscard]] int open_file(const struct file_option *f, int flags, const char *option,
			    struct err *e);
/* The same of a socket's path: connected to it, or listening at it. */
[[nodiscard]] int open_connected(const struct file_option *f, const char *option, struct err *e);
[[nodiscard]] int open_listening(const struct file_option *f, const char *option, struct err *e);

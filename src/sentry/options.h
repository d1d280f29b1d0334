/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-sentry's command line: the files that make a sandbox. A FILE is a path or "fd:N", a
 * descriptor that was inherited; nothing is opened here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct file_option {
	const char *path; /* NULL: not given, or a descriptor */
	int fd;		  /* borrowed; FD_NONE: a path */
};

#define BINDS_MOST 512

struct bind_option {
	uint32_t mount; /* its number in config.json */
	const char *share;
};

struct options {
	struct file_option root, config, seccomp, log, restore;
	const char *root_share; /* instead of root, or NULL */
	int gofer;		/* borrowed; FD_NONE: none */
	struct bind_option binds[BINDS_MOST];
	size_t binds_n;
	int control;			       /* borrowed; FD_NONE: none */
	int broker, netstack, creator, report; /* the same */
	bool set_ids, own_ids;
	uint32_t uid, gid;
	bool network_stays;
	bool no_gates;
	bool help, version;
};

/* Of the words after the program's name; borrows them. INVALID names the option. */
[[nodiscard]] int options_parse(int argc, char *const *argv, struct options *ret_o, struct err *e);
/* Opens it with flags, or gives the inherited one, close-on-exec from now on. */
[[nodiscard]] int file_option_open(const struct file_option *f, int flags, const char *option,
				   struct err *e);
static inline bool file_option_given(const struct file_option *f)
{
	return f->path || f->fd >= 0;
}
/* The help text: a line per option. */
extern const char options_help[];

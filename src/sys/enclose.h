/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process of ours that reads hostile bytes gives up in the same way: the host's files
 * by name, its network, capabilities, and descriptors that are not its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The caller goes on in new namespaces of mounts, network, IPC and host name; an ordinary user gets
 * them within a user namespace of his own, which knows him alone. It has one thread.
 */
[[nodiscard]] int enclose_namespaces(struct err *e);
/* The same, but in the network namespace it is in. */
[[nodiscard]] int enclose_but_network(struct err *e);

/*
 * An empty read-only directory becomes root and working directory: absolute names lead nowhere,
 * and there is no way up. In a mount namespace of the caller's own, while it has CAP_SYS_ADMIN.
 */
[[nodiscard]] int enclose_root(struct err *e);

/* A file of that directory, in a directory of its own or in none: "etc/hosts". */
struct enclose_file {
	const char *path; /* relative, of one or two components */
	const char *text; /* borrowed, as the path */
	size_t n;
};
/* The same, with copies of these files in it, which nobody can write to. */
[[nodiscard]] int enclose_root_with(const struct enclose_file *files, size_t n, struct err *e);

/* No capability but those of the set (bits by number), in any of its sets, and no way to more. */
[[nodiscard]] int enclose_caps(uint64_t keep, struct err *e);

/* Close all descriptors from `from` on but these; keep may hold FD_NONE, in any order. */
void enclose_fds(unsigned from, const int *keep, size_t keep_n);

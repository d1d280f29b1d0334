/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between clone3 and exec of CRIU for a restore: a mount namespace of its own, in which the root
 * and the sources of binds stand where CRIU can name them, and the container's cgroups, which the
 * restored processes inherit. What was mounted goes with the last process in there, whatever
 * becomes of us. System calls only; a failure is one struct err on report_fd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct groups;

#define CRIU_YARD_ROOT "root" /* below the yard */
/* The place of tree i below the yard. */
#define CRIU_YARD_TREE "m%zu"

struct criu_tree {
	int fd; /* a detached mount */
	bool is_dir;
};

struct criu_child {
	const char *path; /* of the program */
	const char *yard; /* an existing directory, absolute: covered by a tmpfs in there */
	const struct groups *groups; /* entered; NULL: none */
	int gate_fd; /* a byte comes when the parent has placed us in them; FD_NONE: no need */
	bool new_cgroup_ns; /* with these for its root */
	bool own_group;	    /* of processes: no ^C of the caller's terminal */
	int root_fd;	    /* a detached mount */
	const struct criu_tree *trees;
	size_t trees_n;
	int stdio[3];
	const int *fds; /* become 3, 4, ... */
	size_t fds_n;
	int report_fd; /* closed by exec */
};

#define CRIU_FDS_MAX 16

[[gnu::noreturn]] void criu_child(const struct criu_child *x);

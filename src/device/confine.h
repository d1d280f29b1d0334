/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that serves a guest keeps of the host: the descriptors it was given and the
 * calls its kind makes. Namespaces of its own (mounts, network, IPC, names), an empty root, the
 * capabilities of its kind or none, no new privileges, no core, and a filter of system calls that
 * ends the process at any other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sys/seccomp.h"

struct confine {
	const int *keep; /* descriptors; all others are closed */
	size_t keep_n;
	uint64_t capabilities;
	const struct seccomp_rule *calls; /* besides those of every kind */
	size_t calls_n;
	bool threads;	/* it makes more of them later */
	unsigned ioctl; /* the one request that is allowed, 0: none */
};

/* For good. */
[[nodiscard]] int confine_enter(const struct confine *c, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and files of the host that a sandbox sees: the sources of its binds and, where it is
 * no image, its root. A gofer serves them (gofer.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/pod.h"

struct bundle;
struct spec_mount;

#define SHARES_MAX  200 /* what a gofer takes */
#define SHARES_ROOT "root"

struct share {
	const char *name; /* in the arena */
	uint32_t mount;	  /* its number among the spec's; of the root none */
	bool read_only;	  /* enforced by the gofer, whatever the sandbox does */
	int fd;		  /* owned: a clone of the mount, or O_PATH where that is not allowed */
};

struct shares {
	struct share *v; /* in the arena */
	size_t n;
	bool root; /* the first is the root */
};

/* root: the root is one, too. Also after a failure shares_close(). */
[[nodiscard]] int shares_open(struct shares *s, struct arena *a, const struct bundle *b,
			      enum pod_role pod, bool root, struct err *e);
void shares_close(struct shares *s);

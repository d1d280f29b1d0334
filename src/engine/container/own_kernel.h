/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workload on a kernel of its own cannot have of its host's, whichever engine gives it that:
 * refused before anything is done. What else one of them cannot do is in its check.c.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct spec;
struct spec_mount;

struct own_kernel {
	const char *who; /* "a microvm" */
	bool in_pod;	 /* others are on the same kernel */
	bool has_fuse;	 /* the kernel has /dev/fuse of its own */
};

bool own_kernel_is_bind(const struct spec_mount *m);
/* Its own namespaces, but that of the network, which the engine knows what to do with. */
[[nodiscard]] int own_kernel_check_namespaces(const struct own_kernel *k, const struct spec *s,
					      struct err *e);
/* The same, its mounts, devices, filter and, in a pod, limits. UNSUPPORTED, INVALID. */
[[nodiscard]] int own_kernel_check(const struct own_kernel *k, const struct spec *s, struct err *e);

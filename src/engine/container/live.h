/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that come and go while a container runs: sources are opened and cloned outside, a child
 * joins the container's namespaces and attaches them there, as its init once did (rootfs_child.c).
 * Not remembered: a container that is started anew does not have them.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"
#include "fmt/spec.h"

/*
 * In order; what was done before a failure stays. `s`: the container's own spec. Relative sources
 * start at the current directory. UNSUPPORTED: a mount that only a new container can have.
 */
[[nodiscard]] int live_mounts_add(struct instance *in, const struct spec *s,
				  const struct spec_mount *v, size_t n, struct err *e);
/* Detach what is mounted at the destinations, in reverse order. NOT_FOUND: no mount is there. */
[[nodiscard]] int live_mounts_remove(struct instance *in, const struct spec *s,
				     const struct spec_mount *v, size_t n, struct err *e);

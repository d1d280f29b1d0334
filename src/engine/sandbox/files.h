/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running sandbox sees of the host, put together once more for who copies files in and out
 * of it: clones of the mounts that its gofer holds, at their places. A tmpfs is its own kernel's
 * and not among them.
 */
#pragma once

#include "engine/engine.h"

struct sandbox;
struct shares;

/* Into the state directory: which process has what. */
[[nodiscard]] int files_save(const struct sandbox *s, const struct shares *shares, pid_t gofer,
			     struct err *e);
/* engine_ops.files. UNSUPPORTED: before Linux 6.15, or its root is an image. */
[[nodiscard]] int sandbox_files(struct instance *in, bool hold, nsec_t deadline,
				struct engine_files *ret, struct err *e);

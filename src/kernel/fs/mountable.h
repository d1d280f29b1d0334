/* SPDX-License-Identifier: Apache-2.0 */
/* The types of file systems that a workload may mount itself, by their names: mount(2). */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct super;

/* One with these options, for `who`: a user, the caller. -ENODEV: no such type. -EINVAL: options it
 * does not know. -ENOMEM. */
[[nodiscard]] int mountable_new(const char *type, const char *options, const struct cred *who,
				struct super **ret);

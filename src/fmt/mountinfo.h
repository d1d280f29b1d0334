/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/mountinfo (proc_pid_mountinfo(5)): the mounts of one namespace. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define MOUNTINFO_MAX                                                                              \
	(16u << 20) /* bytes of text: some 100,000 mounts, the kernel's default limit */

struct mountinfo {
	uint64_t id, parent;
	const char *root; /* of the mount within its file system */
	const char *at;	  /* as the process sees it; both without escapes */
	const char *fstype;
};

/* In the order of the text, in the arena. -EBADMSG for what is no such text, -ENOMEM. */
[[nodiscard]] int mountinfo_parse(struct arena *a, struct str text, const struct mountinfo **ret_v,
				  size_t *ret_n);
/* The one with this id, or NULL. */
const struct mountinfo *mountinfo_find(const struct mountinfo *v, size_t n, uint64_t id);

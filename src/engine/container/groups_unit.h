/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd is told of a container's scope: its name and slice from linux.cgroupsPath, and its
 * properties: those that say what it is, those of annotations, its devices, and its limits as the
 * kernel has them. No talking to systemd: groups_systemd.c.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/container/groups.h"

#define UNIT_NAME_SIZE 256 /* systemd's limit, with the NUL */

struct unit_names {
	char unit[UNIT_NAME_SIZE];  /* "libpod-ID.scope" */
	char slice[UNIT_NAME_SIZE]; /* "machine.slice" */
	char sub[CGROUP_PATH_MAX];  /* the container's own cgroup below the scope's: "a/b", or "" */
};

/*
 * "slice:prefix:name" is PREFIX-NAME.scope in the slice, where empty parts have defaults:
 * system.slice (a user's manager: user.slice). A word is WORD.scope, nothing is atoll-ID.scope,
 * both in the default slice. INVALID: anything else.
 */
[[nodiscard]] int unit_names_of(const struct groups_options *o, bool user, struct unit_names *ret_n,
				struct err *e);

/* Append elements of an array of (sv), for systemd_start. Failures of the buffer are its own. */
void unit_put_start(struct buf *b, const struct groups_options *o, const struct unit_names *n,
		    bool v1);
void unit_put_process(struct buf *b, pid_t pid); /* its first */
/* Annotations "org.systemd.property.NAME". INVALID names the annotation. */
[[nodiscard]] int unit_put_annotations(struct buf *b, const struct groups_options *o,
				       struct err *e);
/* The devices that systemd's own rules must let through, for them not to hide ours. */
[[nodiscard]] int unit_put_devices(struct buf *b, const struct spec_resources *r, bool fresh,
				   struct err *e);
/* The limits that `r` may have changed, read back from the container's cgroups. */
void unit_put_limits(struct buf *b, const struct groups *g, const struct spec_resources *r);

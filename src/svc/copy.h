/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker cp between a workload and this machine's files: both ends opened by descriptor, a tar
 * between them, packed and unpacked by atoll-image. A running workload is seen through its own
 * mounts (volumes, tmpfs), a stopped one through its layers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "svc/svc.h"

struct copy_options {
	bool follow;	 /* a link as the source's last component: what it points to */
	bool keep_owner; /* -a: users and groups as they are; else root's */
};

/*
 * As cp -r: into `to` when it is a directory, over it when both are files, as it when it is
 * missing; a source ending in "/." gives a directory's content. *ret_bytes of the tar.
 * Fails: NOT_FOUND; INVALID a directory onto a file.
 */
[[nodiscard]] int workload_copy_out(struct svc *s, const char *ref, const char *path,
				    const char *to, const struct copy_options *o,
				    uint64_t *ret_bytes, struct err *e);
[[nodiscard]] int workload_copy_in(struct svc *s, const char *from, const char *ref,
				   const char *path, const struct copy_options *o,
				   uint64_t *ret_bytes, struct err *e);

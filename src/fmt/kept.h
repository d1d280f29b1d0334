/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands beside the files of a kept snapshot ("snapshot.json"): what it is of, and the
 * configuration that its new workloads begin with. Pure.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define KEPT_TEXT_MAX (4u << 20) /* bytes */

struct json;

struct kept {
	uint32_t version; /* 1 */
	uint64_t created; /* ns since 1970 */
	const char *workload_id, *workload;
	const char *image; /* as the workload's user named it */
	const char *image_id;
	const char *isolation;
	const char *base; /* name of the snapshot that its memory is on top of; NULL: it is whole */
	const struct json *config;
};

void kept_encode(const struct kept *k, struct buf *out);
/* INVALID: not what kept_encode writes. It lives in the arena. */
[[nodiscard]] int kept_decode(struct arena *a, struct str text, struct kept *ret_k, struct err *e);

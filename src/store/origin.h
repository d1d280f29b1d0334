/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which repositories of registries are known to have a layer's blob, as it came from there or was
 * sent there: another one of the same registry gets it without its bytes. Only a hint.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/digest.h"

struct store;

/* repository: "host/name" */
[[nodiscard]] int store_origin_add(struct store *s, const struct digest *blobs, size_t n,
				   const char *repository, struct err *e);
/* Whether some registry has it: these very bytes. */
[[nodiscard]] int store_origin_known(struct store *s, const struct digest *blob, bool *ret_known,
				     struct err *e);
/* The latest of the same host that is another one, without the host; NULL: none. */
[[nodiscard]] int store_origin_find(struct store *s, struct arena *a, const struct digest *blob,
				    const char *repository, const char **ret_name, struct err *e);

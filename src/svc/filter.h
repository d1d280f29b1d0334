/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "--filter key=value": all keys must accept, any value of a key suffices. The pieces that
 * workloads, volumes and events share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"

/* Each is key=value with a known key (NULL-terminated list), or INVALID naming those there are. */
[[nodiscard]] int filters_check(const char *const *filters, size_t n, const char *const *known,
				struct err *e);
/* Whether no filter before the i-th has its key. */
bool filter_is_first(const char *const *filters, size_t i);
/* "key" or "key=value" against an object of strings; NULL has no labels. */
bool filter_label(const struct json *labels, struct str want);
/* "until": a time, or how long ago. */
[[nodiscard]] int filter_until(struct str value, nsec_t *ret_wall, struct err *e);

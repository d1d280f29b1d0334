/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML 1.0 into the tree of fmt/json.h, so that field tables decode it: tables are objects, in the
 * order of the document. What JSON has not, dates, times, inf and nan, are strings as written. Our
 * own, as no C library of Debian 12 reads it. No writer.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"

#define TOML_TEXT_MAX ((size_t) 1 << 20)

/*
 * One whole document; everything lives in the arena, nothing refers to `text` afterwards. Refused
 * (INVALID, naming the line): bad syntax or UTF-8, NUL, keys and tables defined twice, integers
 * beyond 64 bits, more than JSON_DEPTH_MAX levels. EXHAUSTED: more than the arena's maximum.
 */
[[nodiscard]] int toml_parse(struct arena *a, struct str text, const struct json **ret_root,
			     struct err *e);

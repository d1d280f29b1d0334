/* SPDX-License-Identifier: Apache-2.0 */
/* Extended headers of fmt/tar: its second half, used by tar.c alone. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct tar;

/* Take the records of one 'x' header into what the next entry will get. */
[[nodiscard]] int tar_pax(struct tar *t, struct str text, struct err *e);

/* Of tar.c. */
[[nodiscard]] int tar_segment_add(struct tar *t, uint64_t off, uint64_t len, struct err *e);
int tar_bad(const struct tar *t, struct err *e, const char *why);
int tar_no_memory(struct err *e);

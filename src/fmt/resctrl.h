/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of the kernel's resctrl file system (cache and memory bandwidth allocation). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * What is written to a `schemata` file: the lines of l3 but those about memory bandwidth ("MB:"),
 * then mb, then each of lines. NULL or "" where there is none. Nothing at all: an empty text.
 */
void resctrl_schemata(const char *l3, const char *mb, const char *const *lines, size_t lines_n,
		      struct buf *ret_text);

/*
 * Whether all that `wanted` says is so in `have`, the content of a `schemata` file: which lists
 * every domain of every resource, padded, in the kernel's order.
 */
bool resctrl_same(struct str wanted, struct str have);

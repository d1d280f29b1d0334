/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in GVariant's text format ("true", "uint64 5", "@as []", "[('char-pts', 'rw')]") to D-Bus
 * values: how annotations name properties of a systemd unit. Strict: what D-Bus has no type for
 * (maybe, empty tuples), numbers out of their type's range and unknown escapes are refused. Pure.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#define GVARIANT_TEXT_MAX 4096u /* bytes */

struct gvariant;

/*
 * One value and nothing after it, in the arena. -EINVAL: *ret_why says what is wrong; -ENOMEM.
 * A number without a type is an int32, or a double, or what the rest of its array is.
 */
[[nodiscard]] int gvariant_parse(struct arena *a, struct str text, const struct gvariant **ret_v,
				 const char **ret_why);

const char *gvariant_type(const struct gvariant *v); /* its D-Bus signature: "as" */

/* A number of seconds as an unsigned 64-bit number of microseconds. -EINVAL: no number; -ERANGE. */
[[nodiscard]] int gvariant_seconds(const struct gvariant *v, uint64_t *ret_usec);

/* As a D-Bus variant: the signature and the value, aligned as counted from the buffer's start. */
void gvariant_write(struct buf *b, const struct gvariant *v);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables, as the list of steps that made them. A step is never changed once released: a change
 * is a new step at the end, in store/schema.c. The database's user_version counts the steps done.
 */
#pragma once

#include "base/err.h"

struct store;

extern const unsigned schema_version; /* steps there are */

/*
 * Bring the database from its version up to `version`, in one durable write: all or nothing.
 * Fails: CONFLICT it is of a newer program.
 */
[[nodiscard]] int schema_migrate(struct store *s, unsigned version, struct err *e);
[[nodiscard]] int schema_current(struct store *s, unsigned *ret_version, struct err *e);

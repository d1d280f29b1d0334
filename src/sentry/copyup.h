/* SPDX-License-Identifier: Apache-2.0 */
/* tmpcopyup: what a directory has is copied into an empty one, which is then mounted over it. In a
 * fiber. */
#pragma once

struct path;

/* Owners, modes and extended attributes, too; of the directory itself all but its mode. -errno;
 * -ELOOP: it is too deep. */
[[nodiscard]] int copyup(const struct path *from, const struct path *to);

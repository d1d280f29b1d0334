/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of sockets that a sandbox may read and set: a table. None changes where packets go to
 * but for the groups of multicast, and none has this process wait.
 */
#pragma once

#include <stddef.h>

/* room: at most so many bytes. 0 or -errno; -ENOPROTOOPT: not of the table. */
[[nodiscard]] int options_get(int fd, int level, int name, int room, unsigned char *out,
			      size_t *ret_n);
[[nodiscard]] int options_set(int fd, int level, int name, const unsigned char *value, size_t n);

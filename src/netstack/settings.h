/* SPDX-License-Identifier: Apache-2.0 */
/* Options of sockets that the stack has: a table like broker/options.h's, of what lwIP can do. */
#pragma once

#include <stddef.h>

struct sock;

/* room: at most so many bytes. 0 or -errno; -ENOPROTOOPT: the stack has none such. */
[[nodiscard]] int settings_get(const struct sock *s, int level, int name, int room,
			       unsigned char *out, size_t *ret_n);
[[nodiscard]] int settings_set(struct sock *s, int level, int name, const unsigned char *value,
			       size_t n);

/* SPDX-License-Identifier: Apache-2.0 */
/* The options of SOL_SOCKET that mean the same for every family: socket(7). */
#pragma once

#include "kernel/net/socket.h"

/* *len: room, then the value's length. What is not here is asked of the family. -ENOPROTOOPT. */
[[nodiscard]] int option_get(struct socket *s, int level, int name, void *to, size_t *len);
/* -EINVAL, -EDOM, -EPERM, -ENOPROTOOPT. */
[[nodiscard]] int option_set(struct socket *s, const struct sock_actor *by, int level, int name,
			     const void *value, size_t len);

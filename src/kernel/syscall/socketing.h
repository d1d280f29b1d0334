/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders of sockets share. Of syscall/ alone. */
#pragma once

#include "kernel/net/socket.h"

struct task;

struct sock_actor socket_actor(const struct task *t);
/* -ENOTSOCK, -EBADF; *ret is the caller's in every case (or NULL). */
[[nodiscard]] int fd_socket(struct task *t, uint64_t fd, struct file **ret);
/* -EINVAL: longer than any. */
[[nodiscard]] int address_in(struct task *t, struct sock_address *to, uva_t from, uint64_t len);
/* What there is room for; its whole length at len_at, where the room stood. */
[[nodiscard]] int address_out(struct task *t, const struct sock_address *a, uva_t to, uva_t len_at);

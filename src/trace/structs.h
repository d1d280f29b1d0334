/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a call's arguments, as text. Of bytes that are fewer than a structure has nothing
 * is read: false, and nothing was written.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "kernel/syscall/list/arguments.h"

/* Of all kinds of a fixed size. */
bool struct_text(struct buf *out, enum argument_kind kind, struct str bytes);
/* struct sockaddr of any family. */
bool struct_address(struct buf *out, struct str bytes);
/* An array of struct pollfd; told: what came back. */
bool struct_pollfds(struct buf *out, struct str bytes, bool told);
/* An array of struct epoll_event. */
bool struct_epoll_events(struct buf *out, struct str bytes);

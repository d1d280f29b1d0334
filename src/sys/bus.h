/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket of this machine that is spoken to with a deadline: connect, send all, receive
 * some. It knows nothing of what is said over it (fmt/dbus.h). 0 or more, or -errno; -ETIMEDOUT at
 * the deadline.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/str.h"

/* Gives a connected socket; abstract: a name in the abstract space instead of a path. */
[[nodiscard]] int bus_connect(struct str path, bool abstract, nsec_t deadline);
[[nodiscard]] int bus_send(int fd, struct str bytes, nsec_t deadline);
/* At least one byte; 0: the peer has closed. */
[[nodiscard]] int bus_receive(int fd, char *p, size_t max, nsec_t deadline);

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that have a file, as /proc/net lists them: proc(5). */
#pragma once

#include "kernel/fs/text.h"

/* /proc/net/{tcp,tcp6,udp,udp6,raw,raw6}: of AF_INET or AF_INET6, SOCK_STREAM, SOCK_DGRAM, or
 * SOCK_RAW, of which there are none. */
void listing_inet(int domain, int type, struct text *to);
/* /proc/net/unix */
void listing_unix(struct text *to);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a FUSE device to the agent of a machine, and its answers back: as many at once as
 * the kernel has for it. It looks at nothing but lengths and numbers of requests; the agent is
 * hostile, and what nobody has asked for ends it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A request or an answer: a megabyte of data, which is what the kernel's limit of pages makes. */
#define CARRIER_MESSAGE_MAX ((1u << 20) + (128u << 10))
#define CARRIER_MEMORY	    (2 * (size_t) CARRIER_MESSAGE_MAX)
#define CARRIER_REQUESTS    64 /* that have no answer yet */

/*
 * Until the device has nobody who uses it, or the agent hangs up or sends nonsense. fuse and sock
 * are borrowed, and made non-blocking; memory: CARRIER_MEMORY bytes. 0: nobody uses the device any
 * more, and the connection is as it was; else -errno.
 */
[[nodiscard]] int carrier_run(int fuse, int sock, uint8_t *memory);

/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors across unix sockets (SCM_RIGHTS). Results: >= 0 or -errno. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 96 /* descriptors of one message */

/*
 * Send one message of n > 0 bytes with n_fds descriptors (borrowed). 0, or -errno; -EIO when a
 * stream socket took a part.
 */
[[nodiscard]] int fdpass_send(int sock, const void *p, size_t n, const int *fds, size_t n_fds);

/*
 * Receive one message of up to max bytes; gives its descriptors (close-on-exec) in fds[0..*ret_n),
 * none of them lost: more than max_fds is -EMSGSIZE and all are closed. The bytes received, 0 at
 * the end of the stream.
 */
[[nodiscard]] ssize_t fdpass_recv(int sock, void *p, size_t max, int *fds, size_t max_fds,
				  size_t *ret_n);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes scattered over several pieces of memory: copied from and to, and cut. `at` counts bytes
 * from the beginning of the first piece; what lies past the last is left out.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

size_t iovec_read(const struct iovec *v, size_t v_n, size_t at, void *to, size_t n);
size_t iovec_write(const struct iovec *v, size_t v_n, size_t at, const void *from, size_t n);
/* The pieces of [at, at + n), at most v_n of them, into ret: how many pieces. */
size_t iovec_slice(const struct iovec *v, size_t v_n, size_t at, size_t n, struct iovec *ret);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To and from a guest's memory. What is there is the guest's and changes at any time: copied once,
 * then checked, then used. 0, or -EFAULT when a page cannot be made right; then a part may have
 * been copied. May park (a page may have to be read first).
 */
#pragma once

#include "kernel/core/types.h"

struct space;

[[nodiscard]] int copy_in(struct space *s, void *to, uva_t from, size_t n);
[[nodiscard]] int copy_out(struct space *s, uva_t to, const void *from, size_t n);
[[nodiscard]] int zero_out(struct space *s, uva_t to, size_t n);
/* A text with its end, of at most `room` bytes with it: its length. -EFAULT, -ENAMETOOLONG. */
[[nodiscard]] int64_t copy_text(struct space *s, char *to, uva_t from, size_t room);

/* Compare and exchange of an aligned 32-bit word; what was there in *ret_old. -EFAULT, -EINVAL. */
[[nodiscard]] int word_swap(struct space *s, uva_t at, uint32_t expected, uint32_t wanted,
			    uint32_t *ret_old);
[[nodiscard]] int word_read(struct space *s, uva_t at, uint32_t *ret_value);

/*
 * readv's and its kin's pieces of a guest's memory, walked by whoever moves bytes. The array itself
 * was copied in; pieces[at] begins at `within`.
 */
#define UIO_PIECES 1024 /* UIO_MAXIOV */

struct uio_piece {
	uint64_t base, len; /* as struct iovec of 64 bits */
};

struct uio {
	struct space *space; /* NULL: the kernel's own memory */
	struct uio_piece *pieces;
	size_t count, at;
	uint64_t within, left;
	struct uio_piece one; /* where there is one alone */
};

void uio_one(struct uio *u, struct space *s, uva_t base, uint64_t len);
/* The kernel's own bytes in a guest's place: what sendfile(2) moves. */
void uio_kernel(struct uio *u, void *bytes, size_t len);
/* From a guest's array of iovecs. u->pieces is freed by uio_fini(). -EFAULT, -EINVAL, -ENOMEM. */
[[nodiscard]] int uio_from(struct uio *u, struct space *s, uva_t array, uint64_t count);
void uio_fini(struct uio *u);
/* At most n bytes of what is left, where nothing was moved yet. */
void uio_shorten(struct uio *u, uint64_t n);
/* On by n bytes, of what is left, that were moved already. */
void uio_skip(struct uio *u, uint64_t n);
/* n bytes at most, and on in the pieces: how many; -EFAULT when not one could be moved. */
[[nodiscard]] int64_t uio_in(struct uio *u, void *to, size_t n);	  /* from the guest */
[[nodiscard]] int64_t uio_out(struct uio *u, const void *from, size_t n); /* to the guest */

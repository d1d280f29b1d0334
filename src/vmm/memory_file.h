/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory as a file: each page at its place in the mapping (what is above 4 GiB follows
 * what is below), holes where nothing need be said. Written while nobody changes it, and loaded
 * into memory that other processes share; memory that is only this process's maps the file (ram.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/ram.h"

/*
 * Into an empty regular file (borrowed), which has the memory's size then: all of it, pages of
 * zeros being holes; or, `changed_only`, pages that ram.memory.changed says have changed, others
 * being holes, and those that were zeros in the file before and are still. Gives how many bytes are
 * no holes. A file that is not kept: ram_forget_zeros(). INVALID: the file is not as it must be.
 */
[[nodiscard]] int memory_file_write(struct ram *r, int fd, bool changed_only, uint64_t *ret_bytes,
				    struct err *e);
/* Of a file of the memory's size into memory that is a file (ram.fd), and all zeros. */
[[nodiscard]] int memory_file_load(const struct ram *r, int fd, struct err *e);

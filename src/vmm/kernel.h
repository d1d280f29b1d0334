/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux kernel as an ELF file (vmlinux, fmt/vmlinux) with a PVH entry: its segments go to their
 * physical addresses. Not bzImage: atoll-kernel makes a vmlinux of one.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "virtio/memory.h"

struct kernel {
	uint32_t entry; /* physical, 32-bit code */
	uint64_t end;	/* first address behind it */
};

/* Borrows fd, whose file is read while nobody writes it. The message begins without a name. */
[[nodiscard]] int kernel_load(int fd, const struct guest_memory *m, struct kernel *ret_k,
			      struct err *e);

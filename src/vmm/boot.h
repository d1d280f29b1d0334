/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PVH guest finds in its memory when it is entered: kernel, initial RAM file system,
 * command line, memory map, ACPI tables (Xen, docs/misc/pvh.pandoc: hvm_start_info).
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "vmm/acpi.h"
#include "vmm/ram.h"

#define BOOT_APPEND_MAX 2047 /* Linux, x86: COMMAND_LINE_SIZE */

struct boot {
	int kernel_fd, initrd_fd; /* borrowed; initrd_fd FD_NONE: none */
	const char *append;	  /* borrowed; at most BOOT_APPEND_MAX */
	struct acpi_config acpi;
};

/* Fill the guest's memory; gives the address of its first instruction. */
[[nodiscard]] int boot_load(const struct boot *b, struct ram *r, uint32_t *ret_entry,
			    struct err *e);

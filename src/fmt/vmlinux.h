/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uncompressed Linux kernel for x86-64, an ELF file: where its parts go in memory and where it
 * is entered (ELF gABI, chapter 5; the PVH note: Xen, docs/misc/pvh.pandoc). No symbols, no
 * relocation.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VMLINUX_SEGMENTS_MAX 16

struct vmlinux_segment {
	uint64_t offset;   /* in the file */
	uint64_t paddr;	   /* guest-physical */
	uint64_t file_n;   /* bytes from the file; within it */
	uint64_t memory_n; /* bytes in memory: at least file_n, the rest is zero */
};

struct vmlinux {
	struct vmlinux_segment
		segments[VMLINUX_SEGMENTS_MAX]; /* not empty, by paddr, not overlapping */
	size_t segments_n;
	uint64_t low, high; /* all of them lie in [low, high), below 4 GiB */
	uint64_t entry;	    /* 64-bit entry, in a segment */
	uint32_t pvh_entry; /* 32-bit entry, in a segment; 0: the kernel has none */
	uint64_t file_end;  /* of what was looked at: headers, segments, notes */
};

/*
 * Check the whole of an uncompressed kernel. INVALID: no ELF file, or damaged; UNSUPPORTED: for
 * another processor; the message says so in a few words, without a name.
 */
[[nodiscard]] int vmlinux_read(const void *image, size_t n, struct vmlinux *ret, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory as the host sees it: regions of guest-physical addresses and where they are
 * mapped. All that reads or writes guest memory on a guest's word goes through here; an address
 * is a number until this has said yes. Bytes behind it may change at any time: copy once, then
 * check, then use the copy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_REGIONS_MAX 8

struct guest_region {
	uint64_t gpa, size;
	uint8_t *hva; /* where it is mapped, writable */
	uint64_t fd_offset;
	int fd; /* borrowed: the memory as a file (memfd), for other processes; FD_NONE: none */
	uint64_t user; /* vhost-user: the front end's own address of it, else 0 */
};

struct guest_memory {
	/* By gpa, not overlapping, none past 2^64: who fills this checks it. */
	struct guest_region regions[GUEST_REGIONS_MAX];
	size_t regions_n;
	/*
	 * Which pages this process has changed, or is about to: a bit per GUEST_PAGE from address 0
	 * on, the first in the lowest bit of the first byte (so vhost-user has it too). Set by any
	 * thread. Borrowed; covers all regions; NULL: nobody wants to know.
	 */
	uint8_t *changed;
};

#define GUEST_PAGE UINT64_C(4096)

/* The pages of [gpa, gpa + n) are changed; it is within a region. */
void guest_memory_mark(const struct guest_memory *m, uint64_t gpa, uint64_t n);

/* The region that holds gpa, or NULL. */
const struct guest_region *guest_memory_region(const struct guest_memory *m, uint64_t gpa);
/* Where gpa is, and as many of *n bytes as lie there in one piece; NULL: it is no memory. */
void *guest_memory_span(const struct guest_memory *m, uint64_t gpa, size_t *n);
/* Where [gpa, gpa + n) is, or NULL: not memory, not all of it, or across the end of a region. */
void *guest_memory_at(const struct guest_memory *m, uint64_t gpa, size_t n);
/* Across regions too. 0, or -EFAULT with nothing copied. */
[[nodiscard]] int guest_memory_read(const struct guest_memory *m, uint64_t gpa, void *to, size_t n);
[[nodiscard]] int guest_memory_write(const struct guest_memory *m, uint64_t gpa, const void *from,
				     size_t n);

/*
 * Give the host back what lies in [p, p + n) of a region's mapping, whole pages only: it reads as
 * zeros from then on, or as a private mapping of a file does where nothing was written. 0, or
 * -errno with nothing changed.
 */
[[nodiscard]] int guest_memory_release(const struct guest_memory *m, void *p, size_t n);

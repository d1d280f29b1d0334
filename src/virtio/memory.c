/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void guest_memory_mark(const struct guest_memory *m, uint64_t gpa, uint64_t n)
{
	if (!m->changed || n == 0)
		return;
	for (uint64_t page = gpa / GUEST_PAGE; page <= (gpa + n - 1) / GUEST_PAGE; page++) {
		uint8_t *byte = &m->changed[page / 8], bit = (uint8_t) (1u << page % 8);

		/* Mostly it is set already: no other processor's line is taken for that. */
		if (!(__atomic_load_n(byte, __ATOMIC_RELAXED) & bit))
			(void) __atomic_fetch_or(byte, bit, __ATOMIC_RELAXED);
	}
}

const struct guest_region *guest_memory_region(const struct guest_memory *m, uint64_t gpa)
{
	for (size_t i = 0; i < m->regions_n; i++)
		if (gpa - m->regions[i].gpa < m->regions[i].size)
			return &m->regions[i];
	return NULL;
}

void *guest_memory_span(const struct guest_memory *m, uint64_t gpa, size_t *n)
{
	const struct guest_region *r = guest_memory_region(m, gpa);

	if (!r)
		return NULL;
	if (*n > r->size - (gpa - r->gpa))
		*n = r->size - (gpa - r->gpa);
	return r->hva + (gpa - r->gpa);
}

void *guest_memory_at(const struct guest_memory *m, uint64_t gpa, size_t n)
{
	size_t there = n;
	void *p = guest_memory_span(m, gpa, &there);

	return there == n ? p : NULL;
}

/* Whether all of [gpa, gpa + n) is memory. */
static bool is_memory(const struct guest_memory *m, uint64_t gpa, size_t n)
{
	while (n > 0) {
		size_t there = n;

		if (!guest_memory_span(m, gpa, &there))
			return false;
		gpa += there; /* no region ends past 2^64: `there` is in one */
		n -= there;
	}
	return true;
}

int guest_memory_read(const struct guest_memory *m, uint64_t gpa, void *to, size_t n)
{
	if (!is_memory(m, gpa, n))
		return -EFAULT;
	for (size_t done = 0; done < n;) {
		size_t there = n - done;
		const void *p = guest_memory_span(m, gpa + done, &there);

		memcpy((uint8_t *) to + done, p, there);
		done += there;
	}
	return 0;
}

int guest_memory_write(const struct guest_memory *m, uint64_t gpa, const void *from, size_t n)
{
	if (!is_memory(m, gpa, n))
		return -EFAULT;
	for (size_t done = 0; done < n;) {
		size_t there = n - done;
		void *p = guest_memory_span(m, gpa + done, &there);

		guest_memory_mark(m, gpa + done, there);
		memcpy(p, (const uint8_t *) from + done, there);
		done += there;
	}
	return 0;
}

int guest_memory_release(const struct guest_memory *m, void *p, size_t n)
{
	size_t page = (size_t) sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t) p + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t) p + n) & ~(page - 1);

	if (from >= to)
		return 0;
	for (size_t i = 0; i < m->regions_n; i++) {
		const struct guest_region *r = &m->regions[i];
		uintptr_t base = (uintptr_t) r->hva;

		if (from < base || to - base > r->size)
			continue;
		guest_memory_mark(m, r->gpa + (from - base), to - from);
		/* A page of a file stays where it is, however few map it, until the file lets go.
		 */
		if (r->fd >= 0)
			return fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 (off_t) (r->fd_offset + (from - base)),
					 (off_t) (to - from)) < 0
				       ? -errno
				       : 0;
		return madvise(r->hva + (from - base), to - from, MADV_DONTNEED) < 0 ? -errno : 0;
	}
	return -EFAULT;
}

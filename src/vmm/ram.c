/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ram.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/auto.h"
#include "vmm/layout.h"

/* Both parts start at multiples of it in the mapping too: huge pages fit. */
#define HUGE_PAGE (2 * MIB)

/* Reserve so much more that the start can be moved to a huge page's. */
static void *map_aligned(uint64_t bytes, int fd)
{
	uint8_t *all = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at;

	if (all == MAP_FAILED)
		return NULL;
	at = all + (-(uintptr_t) all & (HUGE_PAGE - 1));
	if (mmap(at, bytes, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_NORESERVE | (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
		 fd >= 0 ? fd : -1, 0) == MAP_FAILED) {
		int saved = errno;

		(void) munmap(all, bytes + HUGE_PAGE); /* the failure told is the first one */
		errno = saved;
		return NULL;
	}
	return at;
}

int ram_init(struct ram *r, uint64_t bytes, bool shared, struct err *e)
{
	uint64_t low = bytes < LAYOUT_RAM_LOW_MAX ? bytes : LAYOUT_RAM_LOW_MAX;

	*r = (struct ram){ .bytes = bytes, .fd = FD_NONE };
	if (shared) {
		r->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (r->fd < 0 || ftruncate(r->fd, (off_t) bytes) < 0)
			return err_sys(e, errno, "make the guest's memory");
	}
	r->map = map_aligned(bytes, r->fd);
	if (!r->map)
		return err_sys(e, errno, "map the guest's memory");
	(void) madvise(r->map, bytes, MADV_HUGEPAGE); /* only faster */
	(void) madvise(r->map, bytes, MADV_DONTDUMP); /* what is in it is the guest's */
	r->memory.regions[r->memory.regions_n++] =
		(struct guest_region){ .gpa = 0, .size = low, .hva = r->map, .fd = r->fd };
	if (bytes > low)
		r->memory.regions[r->memory.regions_n++] = (struct guest_region){
			.gpa = LAYOUT_RAM_HIGH,
			.size = bytes - low,
			.hva = (uint8_t *) r->map + low,
			.fd_offset = low,
			.fd = r->fd,
		};
	return 0;
}

void ram_fini(struct ram *r)
{
	if (r->map)
		(void) munmap(r->map, r->bytes); /* a whole mapping of ours: cannot fail */
	r->map = NULL;
	close_fd(&r->fd);
}

uint64_t ram_low_end(const struct ram *r)
{
	return r->memory.regions[0].size;
}

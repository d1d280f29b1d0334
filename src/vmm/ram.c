/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "vmm/layout.h"
#include "vmm/memory_file.h"

/* Both parts start at multiples of it in the mapping too: huge pages fit. */
#define HUGE_PAGE (2 * MIB)

/* Reserve so much more that the start can be moved to a huge page's. */
static void *map_aligned(uint64_t bytes, int fd, bool shared)
{
	uint8_t *all = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at;

	if (all == MAP_FAILED)
		return NULL;
	at = all + (-(uintptr_t) all & (HUGE_PAGE - 1));
	if (mmap(at, bytes, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE) |
			 (fd >= 0 ? 0 : MAP_ANONYMOUS),
		 fd >= 0 ? fd : -1, 0) == MAP_FAILED) {
		int saved = errno;

		(void) munmap(all, bytes + HUGE_PAGE); /* the failure told is the first one */
		errno = saved;
		return NULL;
	}
	return at;
}

/* restored_fd: taken; FD_NONE: none. */
static int init(struct ram *r, uint64_t bytes, bool shared, int restored_fd, struct err *e)
{
	uint64_t low = bytes < LAYOUT_RAM_LOW_MAX ? bytes : LAYOUT_RAM_LOW_MAX;

	*r = (struct ram){ .bytes = bytes, .fd = FD_NONE, .restored_fd = restored_fd };
	if (shared) {
		r->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (r->fd < 0 || ftruncate(r->fd, (off_t) bytes) < 0)
			return err_sys(e, errno, "make the guest's memory");
	}
	r->map = map_aligned(bytes, shared ? r->fd : restored_fd, shared);
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

int ram_init(struct ram *r, uint64_t bytes, bool shared, struct err *e)
{
	return init(r, bytes, shared, FD_NONE, e);
}

int ram_restore(struct ram *r, uint64_t bytes, bool shared, int fd, struct err *e)
{
	struct stat st;
	int result = fstat(fd, &st) < 0 ? err_sys(e, errno, "the memory's file") : 0;

	if (result == 0 && (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != bytes))
		result = err_set(e, ERR_INVALID, EINVAL,
				 "the memory's file has %llu bytes, the machine is to have %llu",
				 (unsigned long long) st.st_size, (unsigned long long) bytes);
	if (result < 0) {
		close_fd(&fd);
		*r = (struct ram){ .fd = FD_NONE, .restored_fd = FD_NONE };
		return result;
	}
	if (init(r, bytes, shared, fd, e) < 0)
		return -EIO;
	return shared ? memory_file_load(r, fd, e) : 0;
}

static size_t changed_bytes(const struct ram *r)
{
	const struct guest_region *last = &r->memory.regions[r->memory.regions_n - 1];

	return (size_t) ((last->gpa + last->size) / GUEST_PAGE / 8 + 1);
}

int ram_track(struct ram *r)
{
	if (!r->memory.changed)
		r->memory.changed = calloc(1, changed_bytes(r));
	return r->memory.changed ? 0 : -ENOMEM;
}

void ram_forget_changes(struct ram *r)
{
	if (r->memory.changed)
		memset(r->memory.changed, 0, changed_bytes(r));
}

void ram_forget_zeros(struct ram *r)
{
	if (r->zeros)
		memset(r->zeros, 0, (size_t) (r->bytes / GUEST_PAGE / 8 + 1));
}

void ram_fini(struct ram *r)
{
	free(r->zeros);
	r->zeros = NULL;
	free(r->memory.changed);
	r->memory.changed = NULL;
	close_fd(&r->restored_fd);
	if (r->map)
		(void) munmap(r->map, r->bytes); /* a whole mapping of ours: cannot fail */
	r->map = NULL;
	close_fd(&r->fd);
}

uint64_t ram_low_end(const struct ram *r)
{
	return r->memory.regions[0].size;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"

#define WORD_PAGES 64u

/* Of the log of that memory, in whole pages of it: words and mappings fit. */
static uint64_t bytes_for(const struct guest_memory *m)
{
	uint64_t last = 0;

	for (size_t i = 0; i < m->regions_n; i++) {
		const struct guest_region *r = &m->regions[i];
		uint64_t byte = r->size ? (r->gpa + (r->size - 1)) / GUEST_PAGE / 8 : 0;

		last = byte > last ? byte : last;
	}
	return (last / GUEST_PAGE + 1) * GUEST_PAGE;
}

int vhost_log_make(struct vhost_log *l, const struct guest_memory *m, int *ret_fd)
{
	uint64_t bytes = bytes_for(m);
	auto_fd int fd = memfd_create("changes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0 || ftruncate(fd, (off_t) bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	r = vhost_log_map(l, fd, bytes, 0);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

int vhost_log_map(struct vhost_log *l, int fd, uint64_t size, uint64_t offset)
{
	uint64_t total;
	struct stat st;
	void *p;

	if (size == 0 || !add_u64(size, offset, &total) || total > SIZE_MAX / 2)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size < total)
		return -EINVAL;
	/* From the file's beginning, wherever the log is in it. */
	p = mmap(NULL, (size_t) total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*l = (struct vhost_log){ p, (size_t) total, (uint8_t *) p + offset, size };
	return 0;
}

bool vhost_log_covers(const struct vhost_log *l, const struct guest_memory *m)
{
	for (size_t i = 0; i < m->regions_n; i++) {
		const struct guest_region *r = &m->regions[i];

		if ((r->gpa + (r->size - 1)) / GUEST_PAGE / 8 >= l->bytes)
			return false;
	}
	return true;
}

static void collect_region(uint64_t *words, const struct guest_memory *m,
			   const struct guest_region *r)
{
	uint64_t first = r->gpa / GUEST_PAGE, last = (r->gpa + (r->size - 1)) / GUEST_PAGE;

	for (uint64_t w = first / WORD_PAGES; w <= last / WORD_PAGES; w++) {
		uint64_t bits = __atomic_load_n(&words[w], __ATOMIC_RELAXED);

		if (bits)
			bits = __atomic_exchange_n(&words[w], 0, __ATOMIC_ACQUIRE);
		while (bits) {
			uint64_t page = w * WORD_PAGES + (unsigned) __builtin_ctzll(bits);

			bits &= bits - 1;
			if (guest_memory_region(m, page * GUEST_PAGE))
				guest_memory_mark(m, page * GUEST_PAGE, 1);
		}
	}
}

void vhost_log_collect(struct vhost_log *l, const struct guest_memory *m)
{
	/* It is of vhost_log_make(): aligned, and as long as is needed, in whole words. */
	for (size_t i = 0; l->bits && i < m->regions_n; i++)
		if (m->regions[i].size)
			collect_region(l->map, m, &m->regions[i]);
}

void vhost_log_fini(struct vhost_log *l)
{
	if (l->map)
		(void) munmap(l->map, l->map_n); /* fails for a bad address only */
	*l = (struct vhost_log){};
}

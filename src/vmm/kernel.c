/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kernel.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fmt/vmlinux.h"
#include "vmm/layout.h"

/* The next bytes of the file in [at, end) that are no hole; where none follow *ret_from is end. */
static void next_data(int fd, uint64_t at, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t from = lseek(fd, (off_t) at, SEEK_DATA), to;

	*ret_from = at;
	*ret_to = end;
	if (from < 0) {
		if (errno == ENXIO)
			*ret_from = end;
		return; /* else the file system does not tell: all is data */
	}
	if ((uint64_t) from >= end) {
		*ret_from = end;
		return;
	}
	*ret_from = (uint64_t) from;
	to = lseek(fd, from, SEEK_HOLE);
	if (to > from && (uint64_t) to < end)
		*ret_to = (uint64_t) to;
}

/* Read, not copied from the mapping: no page of it is mapped for that. */
static int read_at(int fd, uint8_t *to, uint64_t at, uint64_t n, struct err *e)
{
	while (n > 0) {
		ssize_t got = pread(fd, to, n, (off_t) at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "cannot be read");
		if (got == 0)
			return err_set(e, ERR_INVALID, ENOEXEC, "was cut while it was read");
		to += got;
		at += (uint64_t) got;
		n -= (uint64_t) got;
	}
	return 0;
}

/*
 * Holes, and what follows the file's bytes, are zero, as all memory is that nobody has written: a
 * third of a distribution's kernel need not be copied, and the guest's pages there stay untouched.
 */
static int load_segment(int fd, const struct vmlinux_segment *s, const struct guest_memory *m,
			struct err *e)
{
	uint64_t at = s->offset, end = s->offset + s->file_n, from, to;
	uint8_t *memory = s->paddr < LAYOUT_KERNEL_MIN ? NULL
						       : guest_memory_at(m, s->paddr, s->memory_n);

	if (!memory)
		return err_set(e, ERR_INVALID, ENOMEM,
			       "does not fit into the guest's memory: it takes %#llx to %#llx",
			       (unsigned long long) s->paddr,
			       (unsigned long long) (s->paddr + s->memory_n));
	for (; at < end; at = to) {
		next_data(fd, at, end, &from, &to);
		if (from < end && read_at(fd, memory + (from - s->offset), from, to - from, e) < 0)
			return -1;
	}
	return 0;
}

int kernel_load(int fd, const struct guest_memory *m, struct kernel *ret_k, struct err *e)
{
	struct vmlinux v;
	struct stat st;
	size_t n;
	void *image;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot be read");
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(e, ERR_INVALID, ENOEXEC, "%s",
			       S_ISREG(st.st_mode) ? "is empty" : "is no regular file");
	n = (size_t) st.st_size;
	image = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return err_sys(e, errno, "cannot be read");
	r = vmlinux_read(image, n, &v, e);
	(void) munmap(image, n); /* a mapping of ours: cannot fail */
	if (r < 0)
		return r;
	if (v.pvh_entry == 0)
		return err_set(e, ERR_INVALID, ENOEXEC, "has no PVH entry (CONFIG_PVH)");
	for (size_t i = 0; i < v.segments_n; i++) {
		r = load_segment(fd, &v.segments[i], m, e);
		if (r < 0)
			return r;
	}
	*ret_k = (struct kernel){ .entry = v.pvh_entry, .end = v.high };
	return 0;
}

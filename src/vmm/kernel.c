/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kernel.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fmt/vmlinux.h"
#include "vmm/layout.h"

static int load_segment(int fd, const struct vmlinux_segment *s, const struct guest_memory *m,
			struct err *e)
{
	uint64_t done = 0;
	uint8_t *to = s->paddr < LAYOUT_KERNEL_MIN ? NULL
						   : guest_memory_at(m, s->paddr, s->memory_n);

	if (!to)
		return err_set(e, ERR_INVALID, ENOMEM,
			       "does not fit into the guest's memory: it takes %#llx to %#llx",
			       (unsigned long long) s->paddr,
			       (unsigned long long) (s->paddr + s->memory_n));
	/* Read, not copied from the mapping: no page of it is mapped for that. */
	while (done < s->file_n) {
		ssize_t got = pread(fd, to + done, s->file_n - done, (off_t) (s->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "cannot be read");
		if (got == 0)
			return err_set(e, ERR_INVALID, ENOEXEC, "was cut while it was read");
		done += (uint64_t) got;
	}
	/* What follows the file's bytes is zero, as all memory is that nobody has written. */
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/lean.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Pages of the program that were never written to: dropped, and read again at the next use. */
static int drop_segments(struct dl_phdr_info *info, size_t, void *arg)
{
	uintptr_t page = *(uintptr_t *) arg;

	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		uintptr_t end = begin + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type != PT_LOAD || info->dlpi_phdr[i].p_flags & PF_W)
			continue;
		begin &= ~(page - 1);
		end = (end + page - 1) & ~(page - 1);
		/* Advice: where it is not taken, memory is used as before. */
		(void) madvise((void *) begin, end - begin, MADV_DONTNEED);
	}
	return 1; /* the first is the program itself */
}

void lean_now(void)
{
	uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

	(void) malloc_trim(0);
	(void) dl_iterate_phdr(drop_segments, &page);
}

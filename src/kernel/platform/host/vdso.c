/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own vDSO (vdso(7)) for guests, so that a look at a clock is no call of theirs. It is
 * moved, in the source, with the mappings of its data that end where it begins. How long they are
 * is told in /proc alone, which need not be there: but mremap(2) takes a special mapping whole or
 * not at all (Linux 5.11), so the first length that it takes is the mapping's.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kernel/platform/host/inside.h"

#define ROOM	((size_t) (STUB_VDSO_HIGH - STUB_VDSO_LOW))
#define SKIP	((size_t) (STUB_VDSO - STUB_VDSO_LOW))
#define PAGES_N ((size_t) 16) /* of one mapping, at most */

static bool move(char *from, size_t bytes, char *to)
{
	return mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
}

/* The page is of a device or the kernel: what MADV_DOFORK refuses (Linux: mm/madvise.c). Nothing
 * else of this process may come to guests. */
static bool special(char *page)
{
	return madvise(page, PAGE_SIZE, MADV_DOFORK) < 0 && errno == EINVAL;
}

static void add(struct vdso *v, size_t skip, size_t bytes)
{
	v->piece[v->pieces].skip = skip;
	v->piece[v->pieces].bytes = bytes;
	v->pieces++;
}

/* What begins at `own`. */
static bool lift_code(struct vdso *v, char *own)
{
	for (size_t n = PAGE_SIZE; n <= min_of(ROOM - SKIP, PAGES_N * PAGE_SIZE); n += PAGE_SIZE) {
		if (move(own, n, v->room + SKIP)) {
			add(v, SKIP, n);
			return true;
		}
	}
	return false;
}

/* The mapping that ends `below` bytes before `own`: how long it is, 0: it cannot be moved. */
static size_t lift_data(struct vdso *v, char *own, size_t below)
{
	for (size_t n = PAGE_SIZE; n <= min_of(SKIP - below, PAGES_N * PAGE_SIZE); n += PAGE_SIZE) {
		size_t skip = SKIP - below - n;

		if (move(own - below - n, n, v->room + skip)) {
			add(v, skip, n);
			return n;
		}
	}
	return 0;
}

void vdso_lift(struct vdso *v, char *own)
{
	size_t below = 0;

	*v = (struct vdso){};
	if (!own || !special(own - PAGE_SIZE))
		return;
	v->room = mmap(NULL, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v->room == MAP_FAILED || (uintptr_t) v->room + ROOM > STUB_BASE || !lift_code(v, own))
		return;
	while (special(own - below - PAGE_SIZE)) {
		size_t n = v->pieces < VDSO_PIECES ? lift_data(v, own, below) : 0;

		if (n == 0) {
			v->pieces = 0;
			return;
		}
		below += n;
	}
}

size_t vdso_place(const struct vdso *v)
{
	for (unsigned int n = 0; n < v->pieces; n++) {
		if (move(v->room + v->piece[n].skip, v->piece[n].bytes,
			 (char *) STUB_VDSO_LOW + v->piece[n].skip))
			continue;
		(void) munmap((void *) STUB_VDSO_LOW, ROOM);
		return 0;
	}
	return v->pieces > 1 ? v->piece[0].bytes : 0;
}

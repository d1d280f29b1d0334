/* SPDX-License-Identifier: Apache-2.0 */
/* Of mm alone: the entries of a space's pages, and what its files share. */
#pragma once

#include "kernel/mm/space.h"

/* An entry: the frame, and that the platform shows it writable. */
#define SHOWN_WRITABLE 2u

static inline void *page_entry(uint64_t frame, bool writable)
{
	return (void *) (uintptr_t) (frame << 2 | (writable ? SHOWN_WRITABLE : 0) | 1);
}

static inline uint64_t page_frame(const void *e)
{
	return (uintptr_t) e >> 2;
}

static inline bool page_writable(const void *e)
{
	return (uintptr_t) e & SHOWN_WRITABLE;
}

static inline uint64_t vma_pages(const struct vma *v)
{
	return (v->end - vma_start(v)) >> PAGE_SHIFT;
}

/* The page of the pager that stands at `at`. */
static inline uint64_t vma_index(const struct vma *v, uint64_t at)
{
	return v->first + ((at - vma_start(v)) >> PAGE_SHIFT);
}

/* The entry at `at` is the frame, which has an owner for it. -ENOMEM: it has lost it. What stood
 * there loses its own: where that may be the last one and others run, they see another page until
 * plat_space_commit(). */
[[nodiscard]] int space_enter(struct space *s, uint64_t at, uint64_t frame, bool writable);
/* Shows what stands in [from, to) of v: runs of frames in a row, alike, in one call each. */
[[nodiscard]] int space_show(struct space *s, const struct vma *v, uint64_t from, uint64_t to);
/* [at, at + len), which has just been mapped where nothing was, will be touched then: what of it is
 * cheaply had is there. */
void space_expect(struct space *s, uint64_t at, uint64_t len, enum space_expected when);
/* The frames of [from, to) lose this owner, and the platform shows them no more. */
void space_drop_pages(struct space *s, uint64_t from, uint64_t to);
/* A vma like `like`, of [from, to), in the tree and the counts. NULL: no memory. */
[[nodiscard]] struct vma *vma_new(struct space *s, const struct vma *like, uint64_t from,
				  uint64_t to);
void vma_free(struct vma *v);
/* A vma begins at `at`, if one holds it. -ENOMEM. */
[[nodiscard]] int vma_split(struct space *s, uint64_t at);
/* Neighbours that are one, at both sides of [from, to) and within. */
void vma_join(struct space *s, uint64_t from, uint64_t to);

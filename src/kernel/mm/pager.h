/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What supplies the pages of a file, of shared memory, of a device's memory: one set of frames by
 * page index, the same for read(), write() and every mapping. The owner embeds it (an inode does)
 * and says how a page is filled. Mappings that show its pages stand in `mappings` (mm/space.h) and
 * are told when pages go.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/radix.h"
#include "kernel/core/sched.h"

struct pager;

/* So many pages, of which the first is a multiple of it, are a window. */
#define PAGER_WINDOW_ORDER 5
#define PAGER_WINDOW	   ((uint64_t) 1 << PAGER_WINDOW_ORDER)

/* How much is done for pages that are not asked for, but those around them. */
enum pager_ahead {
	PAGER_AT_HAND, /* what is near; nothing parks */
	PAGER_NEAR,    /* what is near, once it is known where; that may park */
	PAGER_ANYHOW,  /* they are worth a wait */
};

struct pager_ops {
	/* Makes `page` (PAGE_SIZE bytes, zero) what the file holds there. May park. NULL: zeros.
	 * 0, -EIO, -ENOMEM. */
	int (*fill)(struct pager *p, uint64_t index, void *page);
	/* A page is about to be written to for the first time: room, quotas, dirty marks. NULL:
	 * nothing. 0, -ENOSPC. */
	int (*touch)(struct pager *p, uint64_t index);
	/* A page that was never written to is zeros, and takes no frame until it is: fill is called
	 * for writes alone. */
	bool sparse;
	/* A page is filled with all of its window, in frames in a row, which platforms show at
	 * once: of fills that are cheap and do not park. */
	bool ahead;
	/* Instead of fill, where fills may park: pages [first, first + count) at once. NULL: by
	 * fill. 0, or the way of fill is the one to go. */
	int (*fill_ahead)(struct pager *p, uint64_t first, uint64_t count, void *pages,
			  enum pager_ahead how);
	/* So many pages are gone, or were filled for nothing: quotas. NULL: nothing. */
	void (*dropped)(struct pager *p, uint64_t pages);
	/* Somebody has it beside whoever embeds it, which has to stay from then on; nobody has any
	 * more. NULL: it stays anyway. */
	void (*hold)(struct pager *p);
	void (*release)(struct pager *p);
	/* A mapping of it has come (or a part of one, by itself now), or is gone. NULL: nobody
	 * counts them. */
	void (*attached)(struct pager *p);
	void (*detached)(struct pager *p);
	/* What was written through mappings is where the file is. NULL: it is. May park. */
	int (*sync)(struct pager *p);
	/* Whether a mapping may make a hole in it: 0, -EPERM. NULL: it may. */
	int (*may_punch)(struct pager *p);
};

struct pager {
	const struct pager_ops *ops;
	struct radix pages;
	uint64_t size; /* bytes; a page that begins at it or after is not there */
	uint64_t resident;
	/* What shows through where nothing was written: of a sparse pager (pager_lay()). */
	struct pager *below;
	uint64_t below_size; /* bytes of it */
	unsigned int owners; /* mappings, and faults on their way */
	struct list mappings;
	struct waitq filled;
};

void pager_init(struct pager *p, const struct pager_ops *ops, uint64_t size);
/*
 * An empty sparse pager shows what another one has, as far as both reach, until it is written to:
 * page by page. `below` is borrowed, does not change and outlives p.
 */
void pager_lay(struct pager *p, struct pager *below);
/* All pages go. No mapping may be left. */
void pager_fini(struct pager *p);
void pager_ref(struct pager *p);
void pager_unref(struct pager *p);

/*
 * The frame of page `index`, filled first where it is not there, with an owner for the caller in
 * *ret_frame. write: it is about to be written to. -ENXIO behind the end, -ENOMEM, what fill or
 * touch gave.
 */
[[nodiscard]] int pager_page(struct pager *p, uint64_t index, bool write, uint64_t *ret_frame);
/* The same only if it is there and filled already; never parks. False: not. */
bool pager_cached(struct pager *p, uint64_t index, uint64_t *ret_frame);
/* What a mapping is about to show of page `index` and around it: the window, of pagers that fill
 * ahead, if nothing of it is there. May park. */
void pager_around(struct pager *p, uint64_t index);
/* Pages [first, last) of those that are filled ahead are there from now on, if memory is not short.
 * Never parks. */
void pager_ahead(struct pager *p, uint64_t first, uint64_t last);

/* A page that was filled beside another one: takes the frame; gives it back where one is already.
 */
void pager_give(struct pager *p, uint64_t index, uint64_t frame);

/* The new size; behind a smaller one pages go, also out of mappings, and the rest of the last page
 * is zero. */
void pager_resize(struct pager *p, uint64_t size);
/* Pages [first, last) go, also out of mappings: what the owner knows to be stale. */
void pager_drop(struct pager *p, uint64_t first, uint64_t last);
/* A hole: they go, and are zeros. -ENOMEM: some of what shows through from below is left. */
[[nodiscard]] int pager_punch(struct pager *p, uint64_t first, uint64_t last);

/* The first page of at least `index` that is a hole, or (hole false) that is none; what is behind
 * the last page is a hole. Pages of one that is not sparse are none. */
uint64_t pager_seek(const struct pager *p, uint64_t index, bool hole);
/* Whether a read of it does not park. */
bool pager_ready(struct pager *p, uint64_t index);

/* To and from the kernel's memory, as far as `size` reaches: how many bytes. -ENOMEM, -EIO, -ENOSPC
 * when none. */
[[nodiscard]] int64_t pager_read(struct pager *p, uint64_t at, void *to, size_t n);
[[nodiscard]] int64_t pager_write(struct pager *p, uint64_t at, const void *from, size_t n);

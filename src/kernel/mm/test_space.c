/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/space.h"

#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/sim/test_run.h"

#define RAM	 4096
#define RW	 (PROT_READ | PROT_WRITE)
#define BASE	 ((uint64_t) 0x40000000)
#define PAGES(n) ((n) *PAGE_SIZE)

static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };
static uint64_t state = 88172645463325252u;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static int map(struct space *s, uint64_t at, uint64_t len, unsigned int prot, unsigned int flags,
	       struct pager *p, uint64_t offset)
{
	uint64_t got = 0;
	int r = space_map(s,
			  &(struct space_mapping){ .at = at,
						   .len = len,
						   .prot = prot,
						   .flags = flags,
						   .pager = p,
						   .offset = offset,
						   .fixed = true },
			  &got);

	CHECK(r < 0 || got == at);
	return r;
}

static int peek(struct space *s, uint64_t at)
{
	unsigned char c;

	return copy_in(s, &c, uva(at), 1) < 0 ? -1 : c;
}

static bool poke(struct space *s, uint64_t at, unsigned char c)
{
	return copy_out(s, uva(at), &c, 1) == 0;
}

static void anonymous(void)
{
	struct space *s = space_new(&wide);
	uint64_t a = 0, b = 0, mapped = s->mapped;

	CHECK(space_map(s, &(struct space_mapping){ .len = 5 * PAGE_SIZE + 1, .prot = RW }, &a) ==
	      0);
	CHECK(space_map(s, &(struct space_mapping){ .len = PAGE_SIZE, .prot = RW }, &b) == 0);
	CHECK(b + PAGE_SIZE == a && s->count == 1 && s->mapped == mapped + 7);
	CHECK(peek(s, a) == 0 && poke(s, a + 3, 9) && peek(s, a + 3) == 9);
	CHECK(peek(s, a + PAGES(6)) == -1 && peek(s, b - 1) == -1);
	/* Across pages and out at the end: what fits was written. */
	char big[2 * PAGE_SIZE];

	memset(big, 5, sizeof(big));
	CHECK(copy_out(s, uva(a + PAGES(5)), big, sizeof(big)) == -EFAULT);
	CHECK(peek(s, a + PAGES(6) - 1) == 5);
	CHECK(space_protect(s, a + PAGES(1), PAGE_SIZE, PROT_READ) == 0 && s->count == 3);
	CHECK(!poke(s, a + PAGES(1), 1) && peek(s, a + PAGES(1)) == 0 && poke(s, a + PAGES(2), 1));
	CHECK(space_fault(s, a + PAGES(1), PLAT_WRITE) == FAULT_DENIED);
	CHECK(space_fault(s, a + PAGES(7), PLAT_READ) == FAULT_NOTHING);
	CHECK(space_protect(s, a + PAGES(1), PAGE_SIZE, RW) == 0 && s->count == 1);
	/* Nothing can be seen, and it is there again afterwards. */
	CHECK(space_protect(s, a, PAGE_SIZE, PROT_NONE) == 0 && peek(s, a + 3) == -1);
	CHECK(space_protect(s, a, PAGE_SIZE, PROT_READ) == 0 && peek(s, a + 3) == 9 &&
	      !poke(s, a, 1));
	CHECK(space_protect(s, a, PAGE_SIZE, RW) == 0 && poke(s, a, 1));
	CHECK(space_protect(s, b - PAGE_SIZE, PAGES(2), RW) == -ENOMEM);
	CHECK(space_unmap(s, a + PAGES(2), PAGE_SIZE) == 0 && peek(s, a + PAGES(2)) == -1);
	CHECK(space_unmap(s, a, PAGES(6)) == 0 && s->count == 1);
	CHECK(space_unmap(s, b + 1, PAGE_SIZE) == -EINVAL && space_unmap(s, b, 0) == -EINVAL);
	CHECK(space_unmap(s, b, UINT64_MAX) == -EINVAL);
	space_unref(s);
}

/* The n-th page, without a fault. */
static bool writable(const struct space *s, uint64_t n)
{
	return space_frame(s, BASE + PAGES(n), PLAT_WRITE) != FRAME_NONE;
}

static void copies(void)
{
	struct space *s = space_new(&wide), *child;
	unsigned char c = 0;

	CHECK(map(s, BASE, PAGES(64), RW, 0, NULL, 0) == 0);
	for (uint64_t n = 0; n < 64; n++)
		CHECK(poke(s, BASE + PAGES(n), (unsigned char) n));
	uint64_t used = frame_used();

	child = space_fork(s, 0);
	CHECK(child && frame_used() == used && child->resident == s->resident);
	CHECK(poke(child, BASE + PAGES(3), 200) && peek(s, BASE + PAGES(3)) == 3);
	CHECK(poke(s, BASE + PAGES(4), 201) && peek(child, BASE + PAGES(4)) == 4);
	CHECK(frame_used() == used + 2);
	space_unref(s);
	for (uint64_t n = 0; n < 64; n++)
		CHECK(peek(child, BASE + PAGES(n)) == (n == 3 ? 200 : (int) n));
	/* Alone again: written to in place. */
	used = frame_used();
	CHECK(poke(child, BASE + PAGES(9), 1) && frame_used() == used);
	/* With what is around it. */
	CHECK(writable(child, 8) && writable(child, 15) && !writable(child, 7 + 16));
	/* One after the other: in runs of 1, 1, 2, 4 ... */
	s = space_fork(child, 0);
	for (uint64_t n = 16; n < 19; n++)
		CHECK(poke(s, BASE + PAGES(n), (unsigned char) n));
	CHECK(frame_used() == used + 4 && writable(s, 19) && !writable(s, 20));
	CHECK(poke(s, BASE + PAGES(20), 77) && writable(s, 23) && !writable(s, 24));
	CHECK(peek(s, BASE + PAGES(22)) == 22 && peek(child, BASE + PAGES(20)) == 20);
	CHECK(frame_used() == used + 8);
	space_unref(s);
	CHECK(frame_used() == used);
	CHECK(space_advise(child, BASE, PAGES(64), MADV_DONTNEED) == 0 && peek(child, BASE) == 0);
	CHECK(space_advise(child, BASE, PAGES(64), MADV_WIPEONFORK) == 0);
	CHECK(poke(child, BASE, 7));
	s = space_fork(child, 0);
	CHECK(peek(s, BASE) == 0 && peek(child, BASE) == 7);
	CHECK(copy_text(child, (char *) &c, uva(BASE), 1) == -ENAMETOOLONG);
	space_unref(s);
	space_unref(child);
}

/* Where few were written to since the last fork, both have their own from the start. */
static void copied_at_once(void)
{
	struct space *s = space_new(&wide), *child, *other;
	uint64_t used;

	CHECK(map(s, BASE, PAGES(40), RW, 0, NULL, 0) == 0 &&
	      map(s, BASE + PAGES(64), PAGES(40), RW, 0, NULL, 0) == 0);
	for (uint64_t n = 0; n < 20; n++)
		CHECK(poke(s, BASE + PAGES(n), (unsigned char) n));
	for (uint64_t n = 64; n < 104; n++)
		CHECK(poke(s, BASE + PAGES(n), (unsigned char) n));
	used = frame_used();
	child = space_fork(s, 64);
	/* Of the larger mapping too many are. */
	CHECK(child && frame_used() == used + 32 && writable(s, 3) && writable(child, 3) &&
	      !writable(s, 64) && !writable(child, 64));
	CHECK(poke(s, BASE + PAGES(3), 200) && poke(child, BASE + PAGES(4), 201));
	CHECK(peek(s, BASE + PAGES(4)) == 4 && peek(child, BASE + PAGES(3)) == 3);
	for (uint64_t n = 5; n < 20; n++)
		CHECK(peek(child, BASE + PAGES(n)) == (int) n);
	space_unref(child);
	CHECK(frame_used() == used && poke(s, BASE + PAGES(64), 7));
	/* Now what was written to since is little there, too; and together it is too much. */
	other = space_fork(s, 47);
	CHECK(other && writable(s, 3) && !writable(s, 64) && peek(other, BASE + PAGES(64)) == 7);
	space_unref(other);
	/* Who is not alone may write meanwhile. */
	space_ref(s);
	child = space_fork(s, 64);
	CHECK(child && !writable(s, 3));
	space_unref(s);
	space_unref(child);
	space_unref(s);
}

/* Fresh memory comes by windows of 16 pages, where they are the vma's and untouched. */
static void windows(void)
{
	struct space *s = space_new(&wide);
	uint64_t used = frame_used();

	CHECK(BASE % PAGES(16) == 0 && map(s, BASE + PAGES(3), PAGES(18), RW, 0, NULL, 0) == 0);
	CHECK(poke(s, BASE + PAGES(5), 1) && frame_used() == used + 13);
	CHECK(writable(s, 3) && writable(s, 15) && !writable(s, 16));
	CHECK(poke(s, BASE + PAGES(20), 1) && frame_used() == used + 18 && writable(s, 16));
	for (uint64_t n = 3; n < 21; n++)
		CHECK(peek(s, BASE + PAGES(n)) == (n == 5 || n == 20));
	CHECK(space_unmap(s, BASE + PAGES(3), PAGES(18)) == 0 && frame_used() == used);
	/* Up to one that was touched. */
	CHECK(map(s, BASE, PAGES(16), RW, 0, NULL, 0) == 0 && peek(s, BASE + PAGES(2)) == 0);
	CHECK(poke(s, BASE + PAGES(4), 1) && writable(s, 3) && writable(s, 15));
	CHECK(!writable(s, 2) && !writable(s, 1));
	/* What is read near it is one's own, too; what was read before it is with the write. */
	CHECK(peek(s, BASE + PAGES(1)) == 0 && writable(s, 1) && writable(s, 0));
	CHECK(!writable(s, 2) && poke(s, BASE + PAGES(2), 1) && frame_used() == used + 16);
	CHECK(peek(s, BASE + PAGES(1)) == 0 && peek(s, BASE + PAGES(2)) == 1);
	CHECK(space_unmap(s, BASE, PAGES(16)) == 0);
	CHECK(map(s, BASE, PAGES(16), RW, 0, NULL, 0) == 0 && peek(s, BASE + PAGES(8)) == 0);
	CHECK(s->resident == 1 && poke(s, BASE + PAGES(8), 2) && s->resident == 16);
	CHECK(writable(s, 0) && writable(s, 15) && frame_used() == used + 16);
	CHECK(space_unmap(s, BASE, PAGES(16)) == 0 && frame_used() == used);
	/* Where memory is short it takes none to read. */
	CHECK(map(s, BASE, PAGES(16), RW, 0, NULL, 0) == 0 && poke(s, BASE, 1));
	CHECK(space_unmap(s, BASE + PAGES(4), PAGES(12)) == 0);
	CHECK(map(s, BASE + PAGES(4), PAGES(12), RW, 0, NULL, 0) == 0);
	frame_set_budget(frame_used() + 1);
	CHECK(peek(s, BASE + PAGES(5)) == 0 && !writable(s, 5) && poke(s, BASE + PAGES(5), 7));
	CHECK(peek(s, BASE + PAGES(5)) == 7 && peek(s, BASE + PAGES(6)) == 0);
	CHECK(!poke(s, BASE + PAGES(6), 1) && peek(s, BASE + PAGES(6)) == 0);
	frame_set_budget(RAM);
	space_unref(s);
}

static int fills, fill_result;

static int fill(struct pager *p, uint64_t index, void *page)
{
	(void) p;
	fills++;
	/* As a read of a disk would: others run meanwhile. */
	fiber_yield();
	memset(page, (int) index + 1, PAGE_SIZE);
	return fill_result;
}

static const struct pager_ops filled = { .fill = fill };

static void files(void)
{
	struct space *a = space_new(&wide), *b = space_new(&wide);
	struct pager file;

	fills = 0;
	pager_init(&file, &filled, PAGES(10) + 100);
	CHECK(map(a, BASE, PAGES(12), RW, VMA_SHARED, &file, 0) == 0);
	CHECK(map(b, BASE, PAGES(4), RW, 0, &file, PAGES(2)) == 0);
	CHECK(peek(a, BASE + PAGES(2)) == 3 && peek(b, BASE) == 3 && fills == 1);
	CHECK(poke(a, BASE + PAGES(2), 50) && peek(b, BASE) == 50);
	CHECK(poke(b, BASE, 60) && peek(a, BASE + PAGES(2)) == 50 && peek(b, BASE) == 60);
	char c = 70;

	CHECK(pager_write(&file, PAGES(3), &c, 1) == 1 && peek(b, BASE + PAGES(1)) == 70);
	/* The last page is there whole; what is behind it is not. */
	CHECK(peek(a, BASE + PAGES(10) + 200) == 11);
	CHECK(space_fault(a, BASE + PAGES(11), PLAT_READ) == FAULT_BEHIND);
	pager_resize(&file, PAGES(2) + 10);
	CHECK(space_fault(a, BASE + PAGES(3), PLAT_READ) == FAULT_BEHIND);
	CHECK(peek(a, BASE + PAGES(2) + 9) == 3 && peek(a, BASE + PAGES(2) + 10) == 0);
	CHECK(peek(b, BASE) == -1 || peek(b, BASE) == 60);
	CHECK(pager_read(&file, PAGES(2) + 9, &c, 1) == 1 && c == 3);
	CHECK(pager_read(&file, PAGES(2) + 10, &c, 1) == 0);
	pager_resize(&file, PAGES(10));
	fill_result = -EIO;
	CHECK(space_fault(a, BASE + PAGES(8), PLAT_READ) == FAULT_BEHIND && file.resident == 1);
	CHECK(pager_read(&file, PAGES(8), &c, 1) == -EIO);
	fill_result = 0;
	CHECK(peek(a, BASE + PAGES(8)) == 9);
	CHECK(map(a, BASE + PAGES(20), PAGE_SIZE, RW, VMA_SHARED | VMA_READONLY, &file, 0) ==
	      -EACCES);
	CHECK(map(a, BASE + PAGES(20), PAGE_SIZE, PROT_READ, VMA_SHARED | VMA_READONLY, &file, 0) ==
	      0);
	CHECK(space_protect(a, BASE + PAGES(20), PAGE_SIZE, RW) == -EACCES);
	space_unref(a);
	space_unref(b);
	CHECK(file.owners == 0 && list_empty(&file.mappings));
	pager_fini(&file);
}

static struct pager *slow;

static void reader(void *arg)
{
	char *ret = arg;

	CHECK(pager_read(slow, 0, ret, 1) == 1);
	fiber_exit();
}

/* One page that many want is filled once. */
static void filled_once(void)
{
	static char got[5];
	struct pager file;
	struct fiber *f;

	fills = 0;
	pager_init(&file, &filled, PAGE_SIZE);
	slow = &file;
	for (size_t n = 0; n < sizeof(got); n++)
		CHECK(sched_spawn(reader, &got[n], &f) == 0);
	for (size_t n = 0; n < 20; n++)
		fiber_yield();
	CHECK(fills == 1 && got[0] == 1 && got[4] == 1);
	pager_fini(&file);
}

static const struct pager_ops ahead = { .fill = fill, .ahead = true };

/* A window at once, in frames in a row; what is mapped before it is touched; short memory. */
static void filled_ahead(void)
{
	struct space *s = space_new(&wide);
	struct pager file;
	uint64_t frame, next;

	fills = 0;
	pager_init(&file, &ahead, PAGES(2 * PAGER_WINDOW + 3));
	CHECK(pager_page(&file, 5, false, &frame) == 0 && fills == (int) PAGER_WINDOW &&
	      file.resident == PAGER_WINDOW);
	CHECK(pager_cached(&file, 6, &next) && next == frame + 1);
	frame_unref(frame);
	frame_unref(next);
	CHECK(map(s, BASE, PAGES(40), PROT_READ, 0, &file, PAGES(30)) == 0);
	CHECK(space_fault(s, BASE + PAGES(1), PLAT_READ) == FAULT_DONE &&
	      space_frame(s, BASE, PLAT_READ) != FRAME_NONE && s->resident == 2);
	CHECK(space_foresee(s, BASE, BASE + PAGES(37)) == 0 && s->resident == 37 &&
	      file.resident == 2 * PAGER_WINDOW + 3 && peek(s, BASE + PAGES(36)) == 67);
	CHECK(map(s, BASE + PAGES(64), PAGES(20), RW, 0, &file, 0) == 0);
	CHECK(space_foresee(s, BASE + PAGES(64), BASE + PAGES(200)) == 0 && writable(s, 83));
	CHECK(poke(s, BASE + PAGES(64), 99) && peek(s, BASE + PAGES(65)) == 2);
	CHECK(pager_cached(&file, 0, &frame) && *(char *) frame_ptr(frame) == 1);
	frame_unref(frame);
	space_unref(s);
	pager_drop(&file, 0, UINT64_MAX);
	frame_set_budget(frame_used() + 2);
	CHECK(pager_page(&file, 40, false, &frame) == 0 && file.resident == 1);
	frame_unref(frame);
	frame_set_budget(RAM);
	pager_fini(&file);
}

/* How many faults it takes to access each page of [BASE, BASE + n pages). */
static int faults_of(struct space *s, uint64_t n, unsigned int access)
{
	int faults = 0;

	for (uint64_t at = BASE; at < BASE + PAGES(n); at += PAGE_SIZE) {
		if (space_frame(s, at, access) != FRAME_NONE)
			continue;
		faults++;
		CHECK(space_fault(s, at, access) == FAULT_DONE);
	}
	return faults;
}

/* Who goes on gets more at once, as long as memory is not short; what is around a page that was
 * never touched comes with it, also where something else was. */
static void windows_grow(void)
{
	struct space *s = space_new(&wide);
	struct pager file;

	CHECK(map(s, BASE, PAGES(512), RW, 0, NULL, 0) == 0);
	CHECK(faults_of(s, 512, PLAT_WRITE) == 7 && s->resident == 512);
	CHECK(space_unmap(s, BASE, PAGES(512)) == 0);
	frame_set_budget(frame_used() + 530);
	CHECK(map(s, BASE, PAGES(512), RW, 0, NULL, 0) == 0);
	CHECK(map(s, BASE + PAGES(800), PAGES(16), RW, 0, NULL, 0) == 0);
	CHECK(poke(s, BASE + PAGES(800), 1));
	CHECK(faults_of(s, 512, PLAT_WRITE) > 7 && s->resident == 528);
	CHECK(space_unmap(s, BASE, PAGES(816)) == 0);
	frame_set_budget(RAM);
	CHECK(map(s, BASE, PAGES(3), RW, 0, NULL, 0) == 0 && poke(s, BASE + PAGES(1), 1));
	CHECK(map(s, BASE + PAGES(3), PAGES(40), RW, 0, NULL, 0) == 0 && s->count == 1);
	CHECK(poke(s, BASE + PAGES(9), 1) && s->resident == 16);
	CHECK(space_unmap(s, BASE + PAGES(5), PAGES(2)) == 0);
	CHECK(map(s, BASE + PAGES(5), PAGES(2), RW, 0, NULL, 0) == 0);
	CHECK(poke(s, BASE + PAGES(6), 1) && s->resident == 16 && peek(s, BASE + PAGES(5)) == 0);
	CHECK(space_unmap(s, BASE, PAGES(512)) == 0);

	/* Who touches it here and there gets larger ones, too: 4, and 4 of twice as many pages, ...
	 */
	CHECK(map(s, BASE, PAGES(2048), RW, 0, NULL, 0) == 0);
	for (uint64_t n = 0, there = 0; n < 12; n++) {
		there += n < 4 ? 16 : n < 8 ? 32 : 64;
		CHECK(poke(s, BASE + PAGES(128 * n), 1) && s->resident == there);
	}
	CHECK(space_unmap(s, BASE, PAGES(2048)) == 0);

	/* Of a file each is twice as large as the one before. */
	pager_init(&file, &ahead, PAGES(1024));
	CHECK(map(s, BASE, PAGES(1024), PROT_READ, 0, &file, 0) == 0);
	CHECK(faults_of(s, 32 * 2, PLAT_READ) == 2);
	pager_ahead(&file, 0, 1024);
	CHECK(faults_of(s, 256, PLAT_READ) == 2);
	CHECK(faults_of(s, 1024, PLAT_READ) == 2 && peek(s, BASE + PAGES(700)) == 700 % 256 + 1);
	CHECK(space_unmap(s, BASE, PAGES(1024)) == 0);
	/* What is not much is one's own at once, and what was seen of it before stays. */
	CHECK(map(s, BASE, PAGES(6), RW, 0, &file, 2 * PAGE_SIZE) == 0);
	CHECK(poke(s, BASE + PAGES(4), 1) && writable(s, 0) && writable(s, 5));
	CHECK(peek(s, BASE + PAGES(5)) == 8 && peek(s, BASE + PAGES(4)) == 1);
	CHECK(pager_read(&file, PAGES(6), &(char){ 0 }, 1) == 1);
	space_unref(s);
	pager_fini(&file);
}

/* What will be touched is there as it is mapped: the heap that grows, a library's parts. */
static void expected(void)
{
	struct space *s = space_new(&wide);
	struct space_mapping part = { .at = BASE + PAGES(1000),
				      .len = PAGES(100),
				      .prot = PROT_READ,
				      .offset = PAGES(8),
				      .fixed = true,
				      .expected = EXPECTED_SOON };
	struct pager file;
	uint64_t at;

	s->brk_start = s->brk = BASE;
	CHECK(space_brk(s, BASE + PAGES(33)) == BASE + PAGES(33) && s->resident == 33);
	CHECK(peek(s, BASE + PAGES(32)) == 0 && poke(s, BASE + PAGES(32), 3) && writable(s, 0));
	CHECK(space_brk(s, BASE + PAGES(500)) == BASE + PAGES(500) && s->resident == 33 + 64);
	CHECK(peek(s, BASE + PAGES(32)) == 3 && poke(s, BASE + PAGES(499), 1));
	CHECK(space_brk(s, BASE) == BASE && s->resident == 0);
	frame_set_budget(frame_used() + 3);
	CHECK(space_brk(s, BASE + PAGES(33)) == BASE + PAGES(33) && s->resident <= 3);
	CHECK(space_brk(s, BASE) == BASE && s->resident == 0);
	frame_set_budget(RAM);

	pager_init(&file, &ahead, PAGES(40));
	part.pager = &file;
	CHECK(space_map(s, &part, &at) == 0 && s->resident == 32 && peek(s, at + PAGES(31)) == 40);
	part.prot = RW;
	part.len = PAGES(4);
	CHECK(space_map(s, &part, &at) == 0 && s->resident == 32 && writable(s, 1003));
	CHECK(poke(s, at + PAGES(3), 99) && peek(s, at + PAGES(4)) == 13);
	part.len = PAGES(65); /* too much to be copied unasked */
	CHECK(space_map(s, &part, &at) == 0 && !writable(s, 1000) && poke(s, at, 1));
	part.prot = PROT_NONE;
	CHECK(space_map(s, &part, &at) == 0 && peek(s, at) == -1);
	CHECK(space_unmap(s, BASE, PAGES(2000)) == 0 && s->resident == 0);

	/* As a dynamic linker does it: all of it, and then the parts, the first of which was meant.
	 */
	CHECK(map(s, part.at, PAGES(30), PROT_READ, 0, &file, 0) == 0 && s->resident == 0);
	part.prot = PROT_READ | PROT_EXEC;
	part.at += PAGES(8);
	part.len = PAGES(22);
	CHECK(space_map(s, &part, &at) == 0 && s->resident == 30);
	CHECK(peek(s, at) == 9 && peek(s, at - PAGES(8)) == 1 && peek(s, at - PAGES(1)) == 8);
	/* Nothing that is another part of it, or was seen before. */
	CHECK(space_unmap(s, BASE, PAGES(2000)) == 0 && s->resident == 0);
	CHECK(map(s, part.at - PAGES(4), PAGES(4), PROT_READ, 0, &file, PAGES(1)) == 0);
	CHECK(space_map(s, &part, &at) == 0 && s->resident == 22);
	space_unref(s);
	pager_fini(&file);
}

static int together, together_result;

static int fill_together(struct pager *p, uint64_t first, uint64_t count, void *pages,
			 enum pager_ahead how)
{
	(void) p;
	together++;
	if (how != PAGER_AT_HAND)
		fiber_yield();
	memset(pages, (int) first + 1, count << PAGE_SHIFT);
	return together_result;
}

static void went(struct pager *p, uint64_t pages)
{
	(void) p;
	fills -= (int) pages;
}

static const struct pager_ops by_windows = {
	.fill = fill, .ahead = true, .fill_ahead = fill_together, .dropped = went
};

static struct pager *windowed;

static void shrinks(void *arg)
{
	(void) arg;
	pager_resize(windowed, PAGES(4));
	fiber_exit();
}

/* Windows that park: who cannot have one fills a page; what is gone when it comes is not there. */
static void filled_together(void)
{
	struct pager file;
	struct fiber *f;
	uint64_t frame;

	together = fills = 0;
	pager_init(&file, &by_windows, PAGES(40));
	pager_around(&file, 3);
	CHECK(together == 1 && file.resident == 32 && fills == 0);
	pager_around(&file, 9);
	CHECK(together == 1);
	together_result = -EAGAIN;
	pager_ahead(&file, 32, 40);
	CHECK(together == 2 && file.resident == 32);
	CHECK(pager_page(&file, 33, false, &frame) == 0 && together == 3 && fills == 1);
	frame_unref(frame);
	together_result = 0;
	pager_drop(&file, 0, UINT64_MAX);
	fills = 0;
	windowed = &file;
	CHECK(sched_spawn(shrinks, NULL, &f) == 0);
	pager_around(&file, 3);
	CHECK(file.resident == 4 && fills == -28);
	pager_fini(&file);
}

static void stacks(void)
{
	struct space_limits small = wide;
	struct space *s;

	small.stack = PAGES(20);
	s = space_new(&small);
	CHECK(map(s, BASE + PAGES(1000), PAGES(2), RW, VMA_GROWSDOWN, NULL, 0) == 0);
	CHECK(poke(s, BASE + PAGES(995), 1) && s->count == 1 && s->mapped == 7);
	CHECK(!poke(s, BASE + PAGES(981), 1) && poke(s, BASE + PAGES(982), 1));
	CHECK(map(s, BASE + PAGES(700), PAGE_SIZE, RW, 0, NULL, 0) == 0);
	small.stack = PAGES(2000);
	s->limits = small;
	CHECK(!poke(s, BASE + PAGES(956), 1) && poke(s, BASE + PAGES(957), 1));
	space_unref(s);
}

static void heap(void)
{
	struct space *s = space_new(&wide);

	s->brk_start = s->brk = BASE + 100;
	CHECK(space_brk(s, 0) == BASE + 100);
	CHECK(space_brk(s, BASE + PAGES(3)) == BASE + PAGES(3) && poke(s, BASE + PAGES(3) - 1, 1));
	CHECK(space_brk(s, BASE + PAGES(2)) == BASE + PAGES(2) && peek(s, BASE + PAGES(2)) == -1);
	CHECK(map(s, BASE + PAGES(5), PAGE_SIZE, RW, 0, NULL, 0) == 0);
	CHECK(space_brk(s, BASE + PAGES(6)) == BASE + PAGES(2));
	CHECK(space_brk(s, BASE + PAGES(5)) == BASE + PAGES(5));
	CHECK(space_brk(s, UINT64_MAX) == BASE + PAGES(5));
	space_unref(s);
}

static void moves(void)
{
	struct space *s = space_new(&wide);
	uint64_t at = 0;

	CHECK(map(s, BASE, PAGES(4), RW, 0, NULL, 0) == 0 && poke(s, BASE + PAGES(3), 33));
	CHECK(space_remap(s, BASE, PAGES(4), PAGES(6), 0, 0, &at) == 0 && at == BASE);
	CHECK(peek(s, BASE + PAGES(5)) == 0 && s->count == 1);
	CHECK(map(s, BASE + PAGES(6), PAGE_SIZE, PROT_READ, 0, NULL, 0) == 0);
	CHECK(space_remap(s, BASE, PAGES(6), PAGES(7), 0, 0, &at) == -ENOMEM);
	CHECK(space_remap(s, BASE, PAGES(6), PAGES(7), MREMAP_MAYMOVE, 0, &at) == 0 && at != BASE);
	CHECK(peek(s, at + PAGES(3)) == 33 && peek(s, BASE) == -1);
	uint64_t to = BASE + PAGES(50);

	CHECK(space_remap(s, at, PAGES(7), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED, to, &to) == 0);
	CHECK(peek(s, at) == -1 && peek(s, to + PAGES(1)) == 0 && peek(s, to + PAGES(2)) == -1);
	CHECK(poke(s, to, 8));
	CHECK(space_remap(s, to, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0, &at) ==
	      0);
	CHECK(peek(s, at) == 8 && peek(s, to) == 0);
	CHECK(space_remap(s, to, PAGES(3), PAGES(3), 0, 0, &at) == -EFAULT);
	CHECK(space_remap(s, to, PAGES(2), 0, 0, 0, &at) == -EINVAL);
	CHECK(space_remap(s, to, PAGES(2), PAGES(2), MREMAP_FIXED, to, &at) == -EINVAL);
	space_unref(s);
}

static void limits(void)
{
	struct space_limits l = { PAGES(10), PAGES(6), PAGES(4), PAGES(2), 3 };
	struct space *s = space_new(&l);

	CHECK(map(s, BASE, PAGES(11), PROT_READ, 0, NULL, 0) == -ENOMEM);
	CHECK(map(s, BASE, PAGES(7), RW, 0, NULL, 0) == -ENOMEM);
	CHECK(map(s, BASE, PAGES(3), RW, VMA_LOCKED, NULL, 0) == -EAGAIN);
	CHECK(map(s, BASE, PAGES(6), RW, 0, NULL, 0) == 0);
	CHECK(map(s, BASE + PAGES(10), PAGES(5), PROT_READ, 0, NULL, 0) == -ENOMEM);
	CHECK(map(s, BASE + PAGES(10), PAGES(4), PROT_READ, 0, NULL, 0) == 0);
	CHECK(space_protect(s, BASE + PAGES(1), PAGE_SIZE, PROT_READ) == -ENOMEM);
	CHECK(space_unmap(s, BASE + PAGES(10), PAGES(4)) == 0);
	CHECK(space_protect(s, BASE + PAGES(1), PAGE_SIZE, PROT_READ) == 0 && s->count == 3);
	CHECK(map(s, 0x1000, PAGE_SIZE, RW, 0, NULL, 0) == -EPERM);
	CHECK(map(s, BASE + 1, PAGE_SIZE, RW, 0, NULL, 0) == -EINVAL);
	space_unref(s);
}

static void pieces(void)
{
	struct space *s = space_new(&wide);
	struct uio_piece array[3] = { { BASE, 3 }, { BASE + 100, 0 }, { BASE + PAGE_SIZE - 1, 4 } };
	struct uio u;
	char got[8] = "";

	CHECK(map(s, BASE, PAGES(2), RW, 0, NULL, 0) == 0);
	CHECK(copy_out(s, uva(BASE + 500), array, sizeof(array)) == 0);
	CHECK(uio_from(&u, s, uva(BASE + 500), 3) == 0 && u.left == 7);
	CHECK(uio_out(&u, "abcdefghij", 2) == 2 && uio_out(&u, "cdefghij", 8) == 5);
	uio_fini(&u);
	CHECK(copy_in(s, got, uva(BASE), 3) == 0 &&
	      copy_in(s, got + 3, uva(BASE + PAGE_SIZE - 1), 4) == 0);
	CHECK_STR(got, "abcdefg");
	array[2].base = BASE + PAGES(2) - 1;
	CHECK(copy_out(s, uva(BASE + 500), array, sizeof(array)) == 0);
	CHECK(uio_from(&u, s, uva(BASE + 500), 3) == 0 && uio_out(&u, "abcdefg", 7) == 4);
	CHECK(uio_out(&u, "x", 1) == -EFAULT);
	uio_fini(&u);
	array[1].len = UINT64_MAX;
	CHECK(copy_out(s, uva(BASE + 500), array, sizeof(array)) == 0);
	CHECK(uio_from(&u, s, uva(BASE + 500), 3) == -EINVAL);
	CHECK(uio_from(&u, s, uva(BASE + 500), UIO_PIECES + 1) == -EINVAL);
	CHECK(uio_from(&u, s, uva(BASE + PAGES(2) - 1), 1) == -EFAULT);
	CHECK(heap_used() < 64 << 20);
	uint32_t old = 1;

	CHECK(word_swap(s, uva(BASE + 8), 0, 5, &old) == 0 && old == 0);
	CHECK(word_swap(s, uva(BASE + 8), 0, 6, &old) == 0 && old == 5);
	CHECK(word_read(s, uva(BASE + 8), &old) == 0 && old == 5);
	CHECK(word_swap(s, uva(BASE + 9), 0, 6, &old) == -EINVAL);
	CHECK(word_read(s, uva(BASE - 4), &old) == -EFAULT);
	space_unref(s);
}

/* What a space holds against a plain array, through many random changes and forks. */
#define MODEL 48

struct model {
	struct space *s;
	int byte[MODEL]; /* -1: not mapped */
	bool writable[MODEL];
};

static void step(struct model *m)
{
	uint64_t page = number() % MODEL, count = 1 + number() % 6, at = BASE + PAGES(page);

	count = min_of(count, MODEL - page);
	switch (number() % 6) {
	case 0:
		CHECK(map(m->s, at, PAGES(count), RW, 0, NULL, 0) == 0);
		for (uint64_t n = page; n < page + count; n++) {
			m->byte[n] = 0;
			m->writable[n] = true;
		}
		break;
	case 1:
		CHECK(space_unmap(m->s, at, PAGES(count)) == 0);
		for (uint64_t n = page; n < page + count; n++)
			m->byte[n] = -1;
		break;
	case 2: {
		bool all = true, writable = number() % 2;

		for (uint64_t n = page; n < page + count; n++)
			all = all && m->byte[n] >= 0;
		CHECK(space_protect(m->s, at, PAGES(count), writable ? RW : PROT_READ) ==
		      (all ? 0 : -ENOMEM));
		for (uint64_t n = page; all && n < page + count; n++)
			m->writable[n] = writable;
		break;
	}
	default: {
		unsigned char c = (unsigned char) number();
		bool fits = m->byte[page] >= 0 && m->writable[page];

		CHECK(poke(m->s, at + 17, c) == fits);
		if (fits)
			m->byte[page] = c;
		break;
	}
	}
}

static bool same(const struct model *m)
{
	for (uint64_t n = 0; n < MODEL; n++) {
		if (peek(m->s, BASE + PAGES(n) + 17) != m->byte[n])
			return false;
	}
	return true;
}

static void against_a_model(void)
{
	static struct model m[4];

	for (size_t n = 0; n < countof(m); n++) {
		m[n].s = n ? NULL : space_new(&wide);
		for (size_t p = 0; p < MODEL; p++)
			m[n].byte[p] = -1;
	}
	for (int round = 0; round < 6000; round++) {
		struct model *it = &m[number() % countof(m)];

		if (!it->s) {
			struct model *from = &m[number() % countof(m)];

			if (from->s) {
				*it = *from;
				it->s = space_fork(from->s, number() % 2 ? 24 : 0);
				CHECK(it->s);
			}
			continue;
		}
		if (number() % 200 == 0 && it != &m[0]) {
			space_unref(it->s);
			it->s = NULL;
			continue;
		}
		step(it);
		if (round % 50 == 0) {
			for (size_t n = 0; n < countof(m); n++)
				CHECK(!m[n].s || same(&m[n]));
		}
	}
	for (size_t n = 0; n < countof(m); n++)
		space_unref(m[n].s);
}

/* Below the top, in pages: the highest place of so many that are free. */
#define PLACES 512

static uint64_t highest(const bool *used, uint64_t count)
{
	uint64_t room = 0;

	for (uint64_t n = PLACES; n-- > 0;) {
		room = used[n] ? 0 : room + 1;
		if (room == count)
			return n;
	}
	return PLACES;
}

/* Where nothing is asked for, it is the highest free place, whatever came and went before. */
static void places(void)
{
	static bool used[PLACES];
	struct space *s = space_new(&wide);
	uint64_t bottom;

	s->top = BASE + PAGES(PLACES);
	bottom = BASE;
	CHECK(map(s, plat_user_low(), bottom - plat_user_low(), PROT_NONE, 0, NULL, 0) == 0);
	for (int round = 0; round < 20000; round++) {
		uint64_t count = 1 + number() % (number() % 8 ? 4 : 40), page, at;
		/* No two neighbours are alike, for a while; then they are joined. */
		unsigned int prot = round % 4000 < 2000 && round % 2 ? PROT_READ : PROT_NONE;

		if (number() % 100 < (round % 1000 < 500 ? 45 : 60)) {
			page = number() % PLACES;
			count = min_of(count, PLACES - page);
			CHECK(space_unmap(s, BASE + PAGES(page), PAGES(count)) == 0);
			for (uint64_t n = page; n < page + count; n++)
				used[n] = false;
			continue;
		}
		page = highest(used, count);
		if (page == PLACES) {
			CHECK(space_map(
				      s,
				      &(struct space_mapping){ .len = PAGES(count), .prot = prot },
				      &at) == -ENOMEM);
			continue;
		}
		CHECK(space_map(s, &(struct space_mapping){ .len = PAGES(count), .prot = prot },
				&at) == 0);
		CHECK(at == BASE + PAGES(page));
		for (uint64_t n = page; n < page + count; n++)
			used[n] = true;
	}
	space_unref(s);
}

/* Whatever allocation fails: an error, nothing lost, nothing left. */
static void no_memory(void)
{
	for (unsigned long n = 1; n < 60; n++) {
		struct space *s = space_new(&wide), *child;
		uint64_t used;

		CHECK(map(s, BASE, PAGES(40), RW, 0, NULL, 0) == 0);
		for (uint64_t p = 0; p < 40; p += 3)
			CHECK(poke(s, BASE + PAGES(p), (unsigned char) p));
		used = frame_used();
		if (n % 2)
			heap_fail_at(n / 2 + 1);
		else
			sim_fail_at(n / 2);
		child = space_fork(s, n % 4 < 2 ? 0 : 64);
		heap_fail_at(0);
		sim_fail_at(0);
		CHECK(frame_used() == used || (child && n % 4 >= 2));
		for (uint64_t p = 0; p < 40; p += 3)
			CHECK(peek(s, BASE + PAGES(p)) == (int) p &&
			      poke(s, BASE + PAGES(p), (unsigned char) p));
		space_unref(child);
		CHECK(frame_used() == used);
		space_unref(s);
	}
	frame_set_budget(frame_used() + 3);
	struct space *s = space_new(&wide);

	CHECK(map(s, BASE, PAGES(40), RW, 0, NULL, 0) == 0);
	CHECK(poke(s, BASE, 1) && poke(s, BASE + PAGES(1), 1) && poke(s, BASE + PAGES(2), 1));
	CHECK(space_fault(s, BASE + PAGES(3), PLAT_WRITE) == FAULT_MEMORY);
	space_unref(s);
	frame_set_budget(RAM);
}

static void all(void *arg)
{
	(void) arg;
	anonymous();
	copies();
	copied_at_once();
	windows();
	files();
	filled_once();
	filled_ahead();
	windows_grow();
	filled_together();
	expected();
	stacks();
	heap();
	moves();
	limits();
	pieces();
	against_a_model();
	places();
	no_memory();
	/* The page of zeros alone stays. */
	CHECK(frame_used() == 1);
}

int main(void)
{
	return test_run(RAM, all);
}

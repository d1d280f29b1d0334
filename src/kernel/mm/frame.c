/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/frame.h"

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"

#define NOBODY UINT32_MAX
/* From this order on a free run is given back to the platform at once: 256 KiB. */
#define GIVE_BACK 6

enum state { FRESH, FREE, FREE_TAIL, USED };

/* Frames above ram.fresh have never been given; their entries are zero and take no memory. */
struct frame {
	uint32_t owners;
	uint32_t next, prev; /* in the list of free runs of its order */
	uint8_t order;
	uint8_t state;
	bool dirty; /* not known to be zero */
};

static struct {
	struct frame *frames;
	uint64_t count, fresh, used, budget;
	uint64_t zero; /* frame_zero()'s, one owner of it here */
	uint32_t free[FRAME_ORDER + 1];
} ram;

int frame_init(uint64_t budget)
{
	ram.count = plat_ram_frames();
	if (ram.count > NOBODY)
		ram.count = NOBODY;
	ram.frames = plat_kmem_alloc(ram.count * sizeof(*ram.frames), PAGE_SIZE);
	if (!ram.frames)
		return -ENOMEM;
	ram.fresh = ram.used = 0;
	ram.budget = budget;
	ram.zero = FRAME_NONE;
	for (unsigned int o = 0; o <= FRAME_ORDER; o++)
		ram.free[o] = NOBODY;
	return 0;
}

void frame_fini(void)
{
	plat_kmem_free(ram.frames, ram.count * sizeof(*ram.frames));
	ram.frames = NULL;
}

static struct frame *at(uint64_t f)
{
	if (f >= ram.count)
		plat_panic("frame: %llu is none", (unsigned long long) f);
	return &ram.frames[f];
}

static void list_in(uint64_t f, unsigned int order, bool dirty)
{
	struct frame *head = at(f);

	head->state = FREE;
	head->order = (uint8_t) order;
	head->dirty = dirty;
	head->prev = NOBODY;
	head->next = ram.free[order];
	if (head->next != NOBODY)
		at(head->next)->prev = (uint32_t) f;
	ram.free[order] = (uint32_t) f;
}

static void list_out(uint64_t f)
{
	struct frame *head = at(f);

	if (head->prev != NOBODY)
		at(head->prev)->next = head->next;
	else
		ram.free[head->order] = head->next;
	if (head->next != NOBODY)
		at(head->next)->prev = head->prev;
	head->state = FREE_TAIL;
}

/* A free run, joined with its free neighbours. */
static void give(uint64_t f, unsigned int order, bool dirty)
{
	for (; order < FRAME_ORDER; order++) {
		uint64_t other = f ^ ((uint64_t) 1 << order);
		struct frame *buddy;

		if (other + ((uint64_t) 1 << order) > ram.fresh)
			break;
		buddy = at(other);
		if (buddy->state != FREE || buddy->order != order)
			break;
		list_out(other);
		dirty = dirty || buddy->dirty;
		at(f)->state = FREE_TAIL;
		f = min_of(f, other);
	}
	if (dirty && order >= GIVE_BACK) {
		plat_ram_discard(f, (uint64_t) 1 << order);
		dirty = false;
	}
	list_in(f, order, dirty);
}

/* A run of frames that were never given; what alignment skips becomes free. */
static uint64_t take_fresh(unsigned int order)
{
	uint64_t size = (uint64_t) 1 << order, first = (ram.fresh + size - 1) & ~(size - 1);

	if (first > ram.count || size > ram.count - first)
		return FRAME_NONE;
	while (ram.fresh < first) {
		unsigned int o = 0;
		uint64_t f = ram.fresh;

		while (o < order && !(f & ((uint64_t) 1 << o)))
			o++;
		ram.fresh += (uint64_t) 1 << o;
		give(f, o, false);
	}
	ram.fresh += size;
	return first;
}

static uint64_t take_free(unsigned int order, bool *ret_dirty)
{
	unsigned int o = order;
	uint64_t f;

	while (o <= FRAME_ORDER && ram.free[o] == NOBODY)
		o++;
	if (o > FRAME_ORDER)
		return FRAME_NONE;
	f = ram.free[o];
	list_out(f);
	*ret_dirty = at(f)->dirty;
	while (o > order) {
		o--;
		list_in(f + ((uint64_t) 1 << o), o, *ret_dirty);
	}
	return f;
}

static uint64_t take(unsigned int order, bool *ret_dirty)
{
	uint64_t size = (uint64_t) 1 << order, f;

	*ret_dirty = false;
	if (order > FRAME_ORDER || size > ram.budget || ram.used > ram.budget - size)
		return FRAME_NONE;
	f = take_free(order, ret_dirty);
	if (f == FRAME_NONE)
		f = take_fresh(order);
	if (f == FRAME_NONE)
		return f;
	for (uint64_t n = 0; n < size; n++)
		*at(f + n) = (struct frame){ .owners = 1, .state = USED };
	ram.used += size;
	return f;
}

static bool (*relief)(void);

void frame_set_relief(bool (*by)(void))
{
	relief = by;
}

/* A run is not worth it: who asks for one takes less. */
static uint64_t take_or_relieve(unsigned int order, bool *ret_dirty)
{
	uint64_t f = take(order, ret_dirty);

	while (f == FRAME_NONE && order == 0 && relief && relief())
		f = take(order, ret_dirty);
	return f;
}

uint64_t frame_alloc(unsigned int order)
{
	bool dirty;
	uint64_t f = take_or_relieve(order, &dirty);

	if (f != FRAME_NONE && dirty)
		memset(frame_ptr(f), 0, PAGE_SIZE << order);
	return f;
}

uint64_t frame_alloc_unclean(unsigned int order)
{
	bool dirty;

	return take_or_relieve(order, &dirty);
}

uint64_t frame_zero(void)
{
	if (ram.zero == FRAME_NONE)
		ram.zero = frame_alloc(0);
	if (ram.zero != FRAME_NONE)
		frame_ref(ram.zero);
	return ram.zero;
}

bool frame_is_zero(uint64_t frame)
{
	return frame == ram.zero;
}

void frame_ref(uint64_t frame)
{
	struct frame *f = at(frame);

	if (f->state != USED || f->owners == UINT32_MAX)
		plat_panic("frame: %llu gets an owner too many", (unsigned long long) frame);
	f->owners++;
}

void frame_unref(uint64_t frame)
{
	struct frame *f = at(frame);

	if (f->state != USED || f->owners == 0)
		plat_panic("frame: %llu loses an owner it has not", (unsigned long long) frame);
	if (--f->owners > 0)
		return;
	ram.used--;
	give(frame, 0, true);
}

bool frame_shared(uint64_t frame)
{
	return at(frame)->owners > 1;
}

void *frame_ptr(uint64_t frame)
{
	(void) at(frame);
	return (char *) plat_ram() + frame * PAGE_SIZE;
}

uint64_t frame_budget(void)
{
	return ram.budget;
}

void frame_set_budget(uint64_t frames)
{
	ram.budget = frames;
}

uint64_t frame_used(void)
{
	return ram.used;
}

bool frame_plenty(void)
{
	return ram.used < ram.budget - ram.budget / 4;
}

void frame_trim(void)
{
	for (unsigned int o = 0; o <= FRAME_ORDER; o++) {
		for (uint32_t f = ram.free[o]; f != NOBODY; f = at(f)->next) {
			if (at(f)->dirty)
				plat_ram_discard(f, (uint64_t) 1 << o);
			at(f)->dirty = false;
		}
	}
}

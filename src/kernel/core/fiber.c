/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/fiber.h"

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif

#ifdef WATCHED
/* The sanitizer's own interface for code that switches stacks. */
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **ret_bottom, size_t *ret_size);
#endif

/* fiber_x86_64.S */
void fiber_swap(void **save_sp, void *sp);
void fiber_begin(void);

static struct heap_cache fibers = HEAP_CACHE_INIT(struct fiber);

/* What a switch leaves to do for the side it reached. */
static void arrived(struct fiber *f)
{
	struct carrier *c = plat_carrier();

#ifdef WATCHED
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(f->sanitizer, &bottom, &size);
	if (c->now == &c->base && f != &c->base) {
		c->bottom = bottom;
		c->size = size;
	}
#endif
	c->now = f;
	if (c->ended) {
		struct fiber *ended = c->ended;

		c->ended = NULL;
		fiber_free(ended);
	}
}

static void begin(void *arg)
{
	struct fiber *f = arg;

	arrived(f);
	f->entry(f->arg);
	plat_panic("fiber: one returned");
}

/*
 * Stacks of fibers that have ended, for the next: a platform's own way to one is a few system calls
 * and page faults. The link is in the stack's lowest word.
 */
#define STACKS_KEPT 32

static struct {
	void *first;
	unsigned int count;
} kept;

static void *stack_new(void)
{
	void *low = kept.first;

	if (!low)
		return plat_stack_alloc(FIBER_STACK);
	kept.first = *(void **) low;
	kept.count--;
	return low;
}

static void stack_free(void *low)
{
#ifdef WATCHED
	/* Functions that never returned: a guest's program that was ended. */
	void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
	__asan_unpoison_memory_region(low, FIBER_STACK);
#endif
	if (kept.count == STACKS_KEPT) {
		plat_stack_free(low, FIBER_STACK);
		return;
	}
	*(void **) low = kept.first;
	kept.first = low;
	kept.count++;
}

struct fiber *fiber_new(void (*entry)(void *arg), void *arg)
{
	struct fiber *f = heap_cache_alloc(&fibers);
	void **sp;

	if (!f)
		return NULL;
	f->stack = stack_new();
	if (!f->stack) {
		heap_cache_free(&fibers, f);
		return NULL;
	}
	f->entry = entry;
	f->arg = arg;
	list_init(&f->link);
	/* What fiber_swap takes: r15 r14 r13 r12 rbx rbp, where to; then aligned as a call wants
	 * it. */
	sp = (void **) (void *) ((char *) f->stack + FIBER_STACK) - 9;
	sp[2] = f;
	sp[3] = (void *) (uintptr_t) begin;
	sp[6] = (void *) (uintptr_t) fiber_begin;
	f->sp = sp;
	return f;
}

void fiber_free(struct fiber *f)
{
	if (!f)
		return;
	stack_free(f->stack);
	heap_cache_free(&fibers, f);
}

void fiber_switch(struct fiber *from, struct fiber *to, bool last)
{
	struct carrier *c = plat_carrier();

	if (last)
		c->ended = from;
#ifdef WATCHED
	__sanitizer_start_switch_fiber(last ? NULL : &from->sanitizer,
				       to == &c->base ? c->bottom : to->stack,
				       to == &c->base ? c->size : FIBER_STACK);
#endif
	fiber_swap(&from->sp, to->sp);
	arrived(from);
}

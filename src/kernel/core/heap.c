/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"

#include "kernel/platform/platform.h"

/* A slab starts with its header, at a multiple of its size: an object's slab is found by masking.
 */
#define SLAB_SIZE ((size_t) 64 << 10)
#define ALIGN	  ((size_t) 16)
#define CLASS_MIN ((size_t) 32)
#define CLASS_MAX ((size_t) 16 << 10)
#define CLASSES	  10 /* 32 bytes to 16 KiB */

struct slab {
	struct list link;
	struct heap_cache *cache; /* NULL: one large piece */
	size_t bytes;		  /* of the platform's */
	uintptr_t free;		  /* the first free object, mixed with `secret`; 0 mixed: none */
	uintptr_t secret;	  /* so that a stray write does not choose the next object */
	unsigned int used, fresh; /* objects given; objects never given so far start at fresh */
};

#define SLAB_HEAD ((sizeof(struct slab) + ALIGN - 1) & ~(ALIGN - 1))

static struct {
	size_t used, budget;
	unsigned long fail_at;
} heap = { .budget = SIZE_MAX };

static struct heap_cache classes[CLASSES] = {
#define CLASS(n)                                                                                   \
	{                                                                                          \
		.size = CLASS_MIN << (n), .type = "bytes"                                          \
	}
	CLASS(0), CLASS(1), CLASS(2), CLASS(3), CLASS(4),
	CLASS(5), CLASS(6), CLASS(7), CLASS(8), CLASS(9),
};

/*
 * Large pieces that were given back, for the next: a call that needs one for as long as it lasts
 * would pay for a mapping of the platform's, and its page faults, each time. Not counted as used.
 */
#define LARGE_KEPT 2
#define LARGE_MOST ((size_t) 80 << 10)

static struct slab *kept[LARGE_KEPT];

static bool refused(void)
{
	return heap.fail_at && --heap.fail_at == 0;
}

static bool within(size_t bytes)
{
	return bytes <= heap.budget && heap.used <= heap.budget - bytes;
}

static struct slab *slab_new(struct heap_cache *c, size_t bytes)
{
	struct slab *s;

	if (!within(bytes))
		return NULL;
	s = plat_kmem_alloc(bytes, SLAB_SIZE);
	if (!s)
		return NULL;
	heap.used += bytes;
	*s = (struct slab){ .cache = c, .bytes = bytes };
	plat_random(&s->secret, sizeof(s->secret));
	s->free = s->secret;
	list_init(&s->link);
	return s;
}

static void slab_free(struct slab *s)
{
	list_remove(&s->link);
	heap.used -= s->bytes;
	plat_kmem_free(s, s->bytes);
}

static size_t stride(const struct heap_cache *c)
{
	return (max_of(c->size, sizeof(uintptr_t)) + ALIGN - 1) & ~(ALIGN - 1);
}

#if defined(__SANITIZE_ADDRESS__)
#define OBJECTS_ALONE 1 /* each from the platform, so that AddressSanitizer sees its bounds */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OBJECTS_ALONE 1
#endif
#endif
#ifndef OBJECTS_ALONE
#define OBJECTS_ALONE 0
#endif

static unsigned int capacity(const struct heap_cache *c)
{
	return OBJECTS_ALONE ? 1 : (unsigned int) ((SLAB_SIZE - SLAB_HEAD) / stride(c));
}

void *heap_cache_alloc(struct heap_cache *c)
{
	struct slab *s;
	char *p;

	if (refused())
		return NULL;
	if (!c->partial.next) {
		list_init(&c->partial);
		list_init(&c->full);
	}
	if (list_empty(&c->partial)) {
		s = slab_new(c, OBJECTS_ALONE ? SLAB_HEAD + stride(c) : SLAB_SIZE);
		if (!s)
			return NULL;
		list_push(&c->partial, &s->link);
	}
	s = list_entry(c->partial.next, struct slab, link);
	p = (char *) (s->free ^ s->secret);
	if (p)
		s->free = *(uintptr_t *) (void *) p;
	else
		p = (char *) s + SLAB_HEAD + s->fresh++ * stride(c);
	if (++s->used == capacity(c)) {
		list_remove(&s->link);
		list_push(&c->full, &s->link);
	}
	return memset(p, 0, c->size);
}

static struct slab *slab_of(void *p)
{
	return (struct slab *) (void *) ((uintptr_t) p & ~(SLAB_SIZE - 1));
}

void heap_cache_free(struct heap_cache *c, void *p)
{
	struct slab *s;

	if (!p)
		return;
	s = slab_of(p);
	if (s->cache != c)
		plat_panic("heap: a piece of another type is freed as %s", c->type);
	if (s->used-- == capacity(c)) {
		list_remove(&s->link);
		list_push(&c->partial, &s->link);
	}
	/* One empty slab stays for who allocates and frees in turns. */
	if (s->used == 0 && (OBJECTS_ALONE || c->partial.next->next != &c->partial)) {
		slab_free(s);
		return;
	}
	*(uintptr_t *) p = s->free;
	s->free = (uintptr_t) p ^ s->secret;
}

/* One that was kept, of at least so many bytes and not many more; zeroed as far as it is wanted. */
static void *large_again(size_t size, size_t bytes)
{
	for (unsigned int n = 0; n < LARGE_KEPT; n++) {
		struct slab *s = kept[n];

		if (!s || s->bytes < bytes || s->bytes / 4 > bytes || !within(s->bytes))
			continue;
		kept[n] = NULL;
		heap.used += s->bytes;
		return memset((char *) s + SLAB_HEAD, 0, size);
	}
	return NULL;
}

static void large_free(struct slab *s)
{
	for (unsigned int n = 0; n < LARGE_KEPT; n++) {
		if (OBJECTS_ALONE || kept[n] || s->bytes > LARGE_MOST)
			continue;
		kept[n] = s;
		heap.used -= s->bytes;
		return;
	}
	slab_free(s);
}

void *heap_alloc(size_t size)
{
	struct slab *s;
	size_t bytes;
	void *p;

	for (unsigned int n = 0; n < CLASSES; n++) {
		if (size <= classes[n].size)
			return heap_cache_alloc(&classes[n]);
	}
	if (refused() || __builtin_add_overflow(size, SLAB_HEAD + PAGE_SIZE - 1, &bytes))
		return NULL;
	bytes &= ~(size_t) (PAGE_SIZE - 1);
	p = large_again(size, bytes);
	if (p)
		return p;
	s = slab_new(NULL, bytes);
	return s ? (char *) s + SLAB_HEAD : NULL;
}

void heap_free(void *p)
{
	struct slab *s;

	if (!p)
		return;
	s = slab_of(p);
	if (s->cache)
		heap_cache_free(s->cache, p);
	else
		large_free(s);
}

void heap_budget(size_t bytes)
{
	heap.budget = bytes;
}

size_t heap_used(void)
{
	return heap.used;
}

void heap_fail_at(unsigned long n)
{
	heap.fail_at = n;
}

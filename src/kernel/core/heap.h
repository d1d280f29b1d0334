/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own memory (a guest's is mm/frame.h). Each type has a cache of its own, so that what
 * was one type is never reused as another; sizes that vary come from classes of powers of two.
 * All memory is given zeroed. NULL when the budget is spent: the guest gets ENOMEM and the
 * kernel stays. Under the giant lock (core/sched.h).
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/types.h"

struct heap_cache {
	size_t size;
	const char *type;
	struct list partial, full; /* of slabs; next is NULL before the first allocation */
};

#define HEAP_CACHE_INIT(t)                                                                         \
	{                                                                                          \
		.size = sizeof(t), .type = #t                                                      \
	}

[[nodiscard]] void *heap_cache_alloc(struct heap_cache *c);
/* p: of this cache, or NULL. */
void heap_cache_free(struct heap_cache *c, void *p);

[[nodiscard]] void *heap_alloc(size_t size);
void heap_free(void *p);

/* Bytes that slabs and large pieces may take together. Without a call there is no bound. */
void heap_budget(size_t bytes);
size_t heap_used(void);
/* For tests of errors: the n-th allocation from now fails, once; 0: none. */
void heap_fail_at(unsigned long n);

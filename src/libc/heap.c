/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc for programs that live for a millisecond: the first allocations come out of the program's
 * own zeroed pages, without a system call, and what is freed is kept for the next of its size.
 * (musl's returns memory to the kernel early: a list of a hundred containers spent most of its time
 * on that.) Each block knows its size and whether it is in use: what is freed twice, or was never
 * allocated, or was written before its start, ends the program. One thread, as everywhere here.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST	  (128u << 10) /* bytes, of the program's own */
#define MORE	  (256u << 10) /* bytes at least, of each further piece */
#define IN_USE	  0x75a10c3eu
#define FREE	  0x4b1f9d60u
#define ALIGN	  16u
#define LARGEST	  ((size_t) 1 << 40)
#define CLASSES_N 160

/* In front of each block. The sizes grow by quarters: 64, 80, 96, 112, 128, 160, ... */
struct block {
	uint32_t state;
	uint32_t class;
	union {
		struct block *next; /* FREE */
		uint64_t fresh;	    /* IN_USE: 1 while nobody wrote to it before */
	};
};

static _Alignas(ALIGN) char first[FIRST];
static char *at = first, *end = first + FIRST;
static struct block *unused[CLASSES_N];

static size_t class_size(unsigned class)
{
	return (size_t) (4 + class % 4) << (class / 4 + 4);
}

static unsigned class_of(size_t n)
{
	unsigned top;

	if (n <= 64)
		return 0;
	top = 63 - (unsigned) __builtin_clzl(n - 1);
	return (top - 6) * 4 + (unsigned) ((n - 1) >> (top - 2)) - 4 + 1;
}

static struct block *carve(unsigned class)
{
	size_t size = class_size(class);
	struct block *b;

	if ((size_t) (end - at) < size) {
		size_t more = size > MORE ? size : MORE;
		void *p = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			return NULL;
		at = p;
		end = at + more;
	}
	b = (struct block *) (void *) at;
	at += size;
	*b = (struct block){ .state = IN_USE, .class = class, .fresh = 1 };
	return b;
}

static struct block *take(size_t n)
{
	unsigned class;
	struct block *b;

	if (n > LARGEST) {
		errno = ENOMEM;
		return NULL;
	}
	class = class_of(n + sizeof(*b));
	b = unused[class];
	if (!b)
		return carve(class);
	if (b->state != FREE || b->class != class)
		abort();
	unused[class] = b->next;
	b->state = IN_USE;
	b->fresh = 0;
	return b;
}

static struct block *block_of(void *p)
{
	struct block *b = (struct block *) p - 1;

	if ((uintptr_t) p % ALIGN != 0 || b->state != IN_USE || b->class >= CLASSES_N)
		abort();
	return b;
}

void *malloc(size_t n)
{
	struct block *b = take(n);

	return b ? b + 1 : NULL;
}

void *calloc(size_t n, size_t size)
{
	struct block *b;
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	b = take(all);
	if (b && !b->fresh)
		memset(b + 1, 0, all);
	return b ? b + 1 : NULL;
}

void free(void *p)
{
	struct block *b;

	if (!p)
		return;
	b = block_of(p);
	b->state = FREE;
	b->next = unused[b->class];
	unused[b->class] = b;
}

void *realloc(void *p, size_t n)
{
	struct block *b;
	size_t room;
	void *to;

	if (!p)
		return malloc(n);
	b = block_of(p);
	room = class_size(b->class) - sizeof(*b);
	if (n <= room)
		return p;
	to = malloc(n);
	if (!to)
		return NULL;
	memcpy(to, p, room);
	free(p);
	return to;
}

int malloc_trim(size_t)
{
	uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
	int some = 0;

	for (unsigned class = 0; class < CLASSES_N; class ++) {
		size_t size = class_size(class);

		for (struct block *b = size < page ? NULL : unused[class]; b; b = b->next) {
			uintptr_t from = ((uintptr_t) (b + 1) + page - 1) & ~(page - 1);
			uintptr_t to = ((uintptr_t) b + size) & ~(page - 1);

			if (from < to && madvise((void *) from, to - from, MADV_DONTNEED) == 0)
				some = 1;
		}
	}
	return some;
}

void *aligned_alloc(size_t align, size_t n)
{
	if (align > ALIGN) {
		errno = EINVAL;
		return NULL;
	}
	return malloc(n);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/uio.h"

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"

/* The longest that readv and its kin move at once: Linux's MAX_RW_COUNT. */
#define MOVE_MAX (INT32_MAX & ~(PAGE_SIZE - 1))

/* The kernel's view of the guest's byte at `at`, made right for the access; NULL: it cannot be. */
static char *reach(struct space *s, uint64_t at, unsigned int access)
{
	const char *vdso = access == PLAT_READ && at >= plat_user_high() ? plat_vdso_bytes(at)
									 : NULL;
	uint64_t frame;

	if (vdso)
		return (char *) (uintptr_t) vdso; /* read only, as the access says */
	frame = space_frame(s, at, access);
	/* What was made right may be gone again when another fiber ran meanwhile: twice is enough.
	 */
	for (int tries = 0; frame == FRAME_NONE && tries < 16; tries++) {
		enum space_fault f = space_fault(s, at, access);

		s->starved = s->starved || f == FAULT_MEMORY;
		if (f != FAULT_DONE)
			return NULL;
		frame = space_frame(s, at, access);
	}
	return frame == FRAME_NONE ? NULL : (char *) frame_ptr(frame) + (at & (PAGE_SIZE - 1));
}

enum direction { IN, OUT, ZERO };

/* How many bytes were moved before one could not be reached. */
static size_t move(struct space *s, uint64_t at, void *to, const void *from, size_t n,
		   enum direction d)
{
	size_t done = 0;

	while (done < n) {
		size_t part = min_of(n - done, (size_t) (PAGE_SIZE - (at & (PAGE_SIZE - 1))));
		char *p = reach(s, at, d == IN ? PLAT_READ : PLAT_WRITE);

		if (!p)
			break;
		if (d == IN)
			memcpy((char *) to + done, p, part);
		else if (d == OUT)
			memcpy(p, (const char *) from + done, part);
		else
			memset(p, 0, part);
		done += part;
		if (__builtin_add_overflow(at, part, &at))
			break;
	}
	return done;
}

int copy_in(struct space *s, void *to, uva_t from, size_t n)
{
	return move(s, from.v, to, NULL, n, IN) == n ? 0 : -EFAULT;
}

int copy_out(struct space *s, uva_t to, const void *from, size_t n)
{
	return move(s, to.v, NULL, from, n, OUT) == n ? 0 : -EFAULT;
}

int zero_out(struct space *s, uva_t to, size_t n)
{
	return move(s, to.v, NULL, NULL, n, ZERO) == n ? 0 : -EFAULT;
}

int64_t copy_text(struct space *s, char *to, uva_t from, size_t room)
{
	size_t done = 0;

	while (done < room) {
		uint64_t at = from.v + done;
		size_t part = min_of(room - done, (size_t) (PAGE_SIZE - (at & (PAGE_SIZE - 1))));
		const char *p = reach(s, at, PLAT_READ);

		if (!p)
			return -EFAULT;
		for (size_t n = 0; n < part; n++) {
			to[done + n] = p[n];
			if (!to[done + n])
				return (int64_t) (done + n);
		}
		done += part;
	}
	return -ENAMETOOLONG;
}

int word_swap(struct space *s, uva_t at, uint32_t expected, uint32_t wanted, uint32_t *ret_old)
{
	uint32_t *p;

	if (at.v & 3)
		return -EINVAL;
	p = (uint32_t *) (void *) reach(s, at.v, PLAT_WRITE);
	if (!p)
		return -EFAULT;
	(void) __atomic_compare_exchange_n(p, &expected, wanted, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
	*ret_old = expected;
	return 0;
}

int word_read(struct space *s, uva_t at, uint32_t *ret_value)
{
	uint32_t *p;

	if (at.v & 3)
		return -EINVAL;
	p = (uint32_t *) (void *) reach(s, at.v, PLAT_READ);
	if (!p)
		return -EFAULT;
	*ret_value = __atomic_load_n(p, __ATOMIC_SEQ_CST);
	return 0;
}

void uio_one(struct uio *u, struct space *s, uva_t base, uint64_t len)
{
	*u = (struct uio){ .space = s, .count = 1, .left = min_of(len, (uint64_t) MOVE_MAX) };
	u->one = (struct uio_piece){ base.v, u->left };
	u->pieces = &u->one;
}

void uio_kernel(struct uio *u, void *bytes, size_t len)
{
	uio_one(u, NULL, uva((uintptr_t) bytes), len);
}

int uio_from(struct uio *u, struct space *s, uva_t array, uint64_t count)
{
	*u = (struct uio){ .space = s, .count = (size_t) count };
	u->pieces = &u->one;
	if (count > UIO_PIECES)
		return -EINVAL;
	if (count == 0)
		return 0;
	u->pieces = heap_alloc(u->count * sizeof(*u->pieces));
	if (!u->pieces)
		return -ENOMEM;
	if (copy_in(s, u->pieces, array, u->count * sizeof(*u->pieces)) < 0) {
		uio_fini(u);
		return -EFAULT;
	}
	for (size_t n = 0; n < u->count; n++) {
		struct uio_piece *p = &u->pieces[n];

		if ((int64_t) p->len < 0) {
			uio_fini(u);
			return -EINVAL;
		}
		p->len = min_of(p->len, (uint64_t) MOVE_MAX - u->left);
		u->left += p->len;
	}
	return 0;
}

void uio_fini(struct uio *u)
{
	if (u->pieces != &u->one)
		heap_free(u->pieces);
	u->pieces = &u->one;
	u->count = u->at = 0;
	u->left = 0;
}

void uio_shorten(struct uio *u, uint64_t n)
{
	if (u->left <= n)
		return;
	u->left = 0;
	for (size_t k = u->at; k < u->count; k++) {
		struct uio_piece *p = &u->pieces[k];

		p->len = min_of(p->len, n - u->left);
		u->left += p->len;
	}
}

void uio_skip(struct uio *u, uint64_t n)
{
	while (n > 0 && u->at < u->count) {
		uint64_t left = u->pieces[u->at].len - u->within, part = min_of(left, n);

		u->within += part;
		u->left -= part;
		n -= part;
		if (part == left) {
			u->at++;
			u->within = 0;
		}
	}
}

static int64_t step(struct uio *u, void *to, const void *from, size_t n)
{
	size_t done = 0;

	while (done < n && u->at < u->count) {
		struct uio_piece *p = &u->pieces[u->at];
		size_t part = min_of(n - done, (size_t) (p->len - u->within)), moved;

		if (!u->space) {
			char *own = (char *) (uintptr_t) p->base + u->within;

			memcpy(to ? (char *) to + done : own, to ? own : (const char *) from + done,
			       part);
			moved = part;
		} else {
			moved = move(u->space, p->base + u->within, to ? (char *) to + done : NULL,
				     from ? (const char *) from + done : NULL, part, to ? IN : OUT);
		}
		done += moved;
		u->within += moved;
		u->left -= moved;
		if (moved < part)
			return done ? (int64_t) done : -EFAULT;
		if (u->within == p->len) {
			u->at++;
			u->within = 0;
		}
	}
	return (int64_t) done;
}

int64_t uio_in(struct uio *u, void *to, size_t n)
{
	return step(u, to, NULL, n);
}

int64_t uio_out(struct uio *u, const void *from, size_t n)
{
	return step(u, NULL, from, n);
}

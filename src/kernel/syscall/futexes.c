/* SPDX-License-Identifier: Apache-2.0 */
/* futex_waitv(2): several words at once. */
#include <linux/futex.h>
#include <linux/time.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/futex.h"

static int word_in(const struct futex_waitv *v, struct futex_word *ret)
{
	if (v->flags & ~(uint32_t) (FUTEX_32 | FUTEX_PRIVATE_FLAG) || !(v->flags & FUTEX_32) ||
	    v->__reserved)
		return -EINVAL;
	*ret = (struct futex_word){ .at = v->uaddr,
				    .value = (uint32_t) v->val,
				    .shared = !(v->flags & FUTEX_PRIVATE_FLAG) };
	return 0;
}

/* A point on one of two clocks. */
static int deadline_in(struct task *t, const uint64_t *a, nsec_t *ret)
{
	nsec_t n;
	int r;

	if (!a[3])
		return 0;
	if ((int) a[4] != CLOCK_MONOTONIC && (int) a[4] != CLOCK_REALTIME)
		return -EINVAL;
	r = time_in(t, uva(a[3]), &n);
	if (r < 0)
		return r;
	if ((int) a[4] == CLOCK_REALTIME)
		n = max_of(n - (plat_now(PLAT_REALTIME) - plat_now(PLAT_MONOTONIC)), (nsec_t) 0);
	*ret = n;
	return 0;
}

sysret_t sys_futex_waitv(struct task *t, const uint64_t *a)
{
	uint32_t n = (uint32_t) a[1];
	nsec_t deadline = NSEC_NEVER;
	struct futex_word *words;
	struct futex_waitv v;
	sysret_t r;

	if ((uint32_t) a[2] || !a[0] || n == 0 || n > FUTEX_WORDS_MOST)
		return -EINVAL;
	r = deadline_in(t, a, &deadline);
	if (r < 0)
		return r;
	words = heap_alloc(n * sizeof(*words));
	if (!words)
		return -ENOMEM;
	for (uint32_t k = 0; r == 0 && k < n; k++) {
		r = copy_in(t->space, &v, uva(a[0] + k * sizeof(v)), sizeof(v));
		if (r == 0)
			r = word_in(&v, &words[k]);
	}
	if (r == 0)
		r = futex_wait_any(t->space, words, n, deadline);
	heap_free(words);
	return r;
}

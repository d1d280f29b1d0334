/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/pollset.h"

#include <linux/poll.h>

#include "kernel/core/heap.h"

#define ALWAYS	    ((unsigned int) (POLLERR | POLLHUP))
#define WITHOUT_OWN ((unsigned int) (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM))

struct poll_one *pollset_new(size_t n)
{
	struct poll_one *p = heap_alloc(max_of(n, (size_t) 1) * sizeof(*p));

	for (size_t k = 0; p && k < n; k++)
		waiter_init(&p[k].waiter);
	return p;
}

void pollset_free(struct poll_one *p, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		waitq_remove(&p[k].waiter);
		file_unref(p[k].file);
	}
	heap_free(p);
}

/* wait: from now on it is told when that changes. */
static unsigned int look(struct poll_one *p, bool wait)
{
	unsigned int ready = p->file->ops->poll
				     ? p->file->ops->poll(p->file, wait ? &p->waiter : NULL)
				     : WITHOUT_OWN;

	return ready & (p->wanted | ALWAYS);
}

static int64_t look_at_all(struct poll_one *p, size_t n, bool wait)
{
	int64_t count = 0;

	for (size_t k = 0; k < n; k++) {
		if (p[k].file) {
			p[k].waiter.events = p[k].wanted | ALWAYS;
			/* Once one is ready nobody will wait. */
			p[k].ready = look(&p[k], wait && count == 0);
		}
		count += p[k].ready != 0;
	}
	return count;
}

int64_t pollset_wait(struct poll_one *p, size_t n, nsec_t deadline)
{
	int64_t count = look_at_all(p, n, true);
	int r = 0;

	if (deadline == 0)
		return count;
	while (count == 0 && r == 0) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(deadline);
		count = look_at_all(p, n, false);
	}
	return count || r == -ETIMEDOUT ? count : r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/errand.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/auto.h"

static void serve(struct loop_source *s, uint32_t)
{
	struct errands *all = LOOP_OWNER(s, struct errands, source);
	struct errand *d;
	eventfd_t n;

	(void) eventfd_read(all->event_fd, &n); /* only wakes: the list says what there is */
	(void) pthread_mutex_lock(&all->lock);
	while ((d = all->first)) {
		all->first = d->next;
		if (!all->first)
			all->last = &all->first;
		d->queued = false;
		(void) pthread_mutex_unlock(&all->lock);
		d->run(d);
		(void) pthread_mutex_lock(&all->lock);
		d->done = true;
		(void) pthread_cond_broadcast(&all->done);
	}
	(void) pthread_mutex_unlock(&all->lock);
}

int errands_init(struct errands *all, struct loop *l)
{
	int r;

	*all = (struct errands){ .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	all->last = &all->first;
	if (all->event_fd < 0)
		return -errno;
	/* With default attributes these two cannot fail. */
	(void) pthread_mutex_init(&all->lock, NULL);
	(void) pthread_cond_init(&all->done, NULL);
	r = loop_add(l, &all->source, all->event_fd, EPOLLIN, serve);
	if (r < 0)
		close_fd(&all->event_fd);
	return r;
}

void errands_fini(struct errands *all)
{
	loop_remove(&all->source);
	close_fd(&all->event_fd);
}

static void add(struct errands *all, struct errand *d)
{
	if (d->queued)
		return;
	d->next = NULL;
	d->queued = true;
	d->done = false;
	*all->last = d;
	all->last = &d->next;
	(void) eventfd_write(all->event_fd, 1); /* fails only when it has been woken 2^64 times */
}

void errand_await(struct errands *all, struct errand *d)
{
	(void) pthread_mutex_lock(&all->lock);
	add(all, d);
	while (!d->done)
		(void) pthread_cond_wait(&all->done, &all->lock);
	(void) pthread_mutex_unlock(&all->lock);
}

void errand_post(struct errands *all, struct errand *d)
{
	(void) pthread_mutex_lock(&all->lock);
	add(all, d);
	(void) pthread_mutex_unlock(&all->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/hands.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/auto.h"

/* What is done now: true if there was something. */
static bool tell(struct hands *h)
{
	struct hands_job *j, *next;

	(void) pthread_mutex_lock(&h->lock);
	j = h->done;
	h->done = NULL;
	(void) pthread_mutex_unlock(&h->lock);
	for (bool some = j != NULL;; j = next) {
		if (!j)
			return some;
		next = j->next;
		j->done(j);
	}
}

static void ready(struct loop_source *s, uint32_t)
{
	struct hands *h = LOOP_OWNER(s, struct hands, source);

	(void) tell(h); /* the event only wakes, by its edge: the list says what there is */
}

int hands_init(struct hands *h, struct loop *l)
{
	int r;

	*h = (struct hands){ .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	h->posted_end = &h->posted;
	if (h->event_fd < 0)
		return -errno;
	/* With default attributes these cannot fail. */
	(void) pthread_mutex_init(&h->lock, NULL);
	(void) pthread_cond_init(&h->wanted, NULL);
	(void) pthread_cond_init(&h->worked, NULL);
	r = loop_add(l, &h->source, h->event_fd, EPOLLIN | EPOLLET, ready);
	if (r < 0)
		close_fd(&h->event_fd);
	return r;
}

void hands_fini(struct hands *h)
{
	loop_remove(&h->source);
	close_fd(&h->event_fd);
}

void hands_serve_one(struct hands *h)
{
	struct hands_job *j;

	(void) pthread_mutex_lock(&h->lock);
	while (!h->posted)
		(void) pthread_cond_wait(&h->wanted, &h->lock);
	j = h->posted;
	h->posted = j->next;
	if (!h->posted)
		h->posted_end = &h->posted;
	h->working++;
	(void) pthread_mutex_unlock(&h->lock);
	j->work(j);
	(void) pthread_mutex_lock(&h->lock);
	h->working--;
	if (!h->done)
		(void) eventfd_write(h->event_fd, 1); /* full: it is woken already */
	j->next = h->done;
	h->done = j;
	(void) pthread_cond_signal(&h->worked);
	(void) pthread_mutex_unlock(&h->lock);
}

void hands_post(struct hands *h, struct hands_job *j)
{
	j->next = NULL;
	(void) pthread_mutex_lock(&h->lock);
	*h->posted_end = j;
	h->posted_end = &j->next;
	(void) pthread_cond_signal(&h->wanted);
	(void) pthread_mutex_unlock(&h->lock);
}

void hands_settle(struct hands *h)
{
	do {
		(void) pthread_mutex_lock(&h->lock);
		while (!h->done && (h->posted || h->working))
			(void) pthread_cond_wait(&h->worked, &h->lock);
		(void) pthread_mutex_unlock(&h->lock);
	} while (tell(h));
}

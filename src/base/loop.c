/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/auto.h"

#define BATCH_MAX 16

int loop_init(struct loop *l)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -errno;
	*l = (struct loop){ .epoll_fd = fd };
	return 0;
}

void loop_fini(struct loop *l)
{
	close_fd(&l->epoll_fd);
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events,
	     void (*ready)(struct loop_source *s, uint32_t events))
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*s = (struct loop_source){ .fd = fd, .ready = ready, .loop = l };
	return 0;
}

int loop_change(struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	return epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_remove(struct loop_source *s)
{
	if (!s->loop)
		return;
	(void) epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL); /* gone is what we want */
	for (int i = 0; i < s->loop->batch_n; i++)
		if (s->loop->batch[i] == s)
			s->loop->batch[i] = NULL;
	s->loop = NULL;
	s->fd = FD_NONE;
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (!t->loop)
		return;
	for (struct loop_timer **p = &t->loop->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->loop = NULL;
	t->next = NULL;
	t->at = NSEC_NEVER;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, nsec_t at,
		    void (*fired)(struct loop_timer *t))
{
	struct loop_timer **p = &l->timers;

	loop_timer_cancel(t);
	while (*p && (*p)->at <= at)
		p = &(*p)->next;
	*t = (struct loop_timer){ .at = at, .fired = fired, .next = *p, .loop = l };
	*p = t;
}

static void serve_timers(struct loop *l)
{
	nsec_t now = clock_mono();

	while (l->timers && l->timers->at <= now) {
		struct loop_timer *t = l->timers;
		void (*fired)(struct loop_timer *) = t->fired;

		loop_timer_cancel(t);
		fired(t);
	}
}

int loop_once(struct loop *l)
{
	struct epoll_event events[BATCH_MAX];
	struct loop_source *batch[BATCH_MAX];
	int n, error, timeout = clock_poll_ms(l->timers ? l->timers->at : NSEC_NEVER);

	if (l->waits)
		l->waits(l, true);
	n = epoll_pwait(l->epoll_fd, events, BATCH_MAX, timeout, NULL);
	error = n < 0 ? errno : 0;
	if (l->waits)
		l->waits(l, false);
	if (error && error != EINTR)
		return -error;
	for (int i = 0; i < n; i++)
		batch[i] = events[i].data.ptr;
	l->batch = batch;
	l->batch_n = n < 0 ? 0 : n;
	for (int i = 0; i < l->batch_n; i++)
		if (batch[i])
			batch[i]->ready(batch[i], events[i].events);
	l->batch = NULL;
	l->batch_n = 0;
	serve_timers(l);
	return 0;
}

int loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped) {
		int r = loop_once(l);

		if (r < 0)
			return r;
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

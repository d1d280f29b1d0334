/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/worker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "vmm/filter.h"
#include "vmm/layout.h"

#define STACK_BYTES (256 * KIB)

static void fail(struct workers *all, const struct err *why)
{
	(void) pthread_mutex_lock(&all->lock);
	if (!all->failed) {
		all->failed = true;
		all->why = *why;
		errand_post(all->errands, &all->ended);
	}
	(void) pthread_mutex_unlock(&all->lock);
}

static void *run_thread(void *arg)
{
	struct worker *w = arg;
	char name[16];
	struct err e;
	int r;

	(void) snprintf(name, sizeof(name), "disk%u", (unsigned) (w - w->all->w));
	(void) prctl(PR_SET_NAME, name); /* for who looks at threads: cannot fail */
	r = filter_enter(FILTER_DISK, w->all->filtered, &e);
	if (r == 0) {
		r = loop_run(&w->loop);
		if (r < 0)
			(void) err_sys(&e, -r, "wait for events of a disk");
	}
	if (r < 0)
		fail(w->all, &e);
	return NULL;
}

static void *run_hand(void *arg)
{
	struct worker *w = arg;
	char name[16];
	struct err e;

	(void) snprintf(name, sizeof(name), "hand%u", (unsigned) (w - w->all->w));
	(void) prctl(PR_SET_NAME, name); /* as above */
	if (filter_enter(FILTER_HAND, w->all->filtered, &e) < 0) {
		fail(w->all, &e);
		return NULL;
	}
	for (;;)
		hands_serve_one(&w->hands);
}

/* Until the gate is open, on the worker's own thread. */
static void serve_hold(struct errand *d)
{
	struct worker *w = LOOP_OWNER(d, struct worker, hold);
	struct workers *all = w->all;

	if (w->handy)
		hands_settle(&w->hands);
	(void) pthread_mutex_lock(&all->lock);
	while (all->closed) {
		if (w->seen != all->closings) {
			w->seen = all->closings;
			if (++all->held == all->n)
				errand_post(all->errands, &all->all_held);
		}
		(void) pthread_cond_wait(&all->opened, &all->lock);
	}
	(void) pthread_mutex_unlock(&all->lock);
}

static void serve_all_held(struct errand *d)
{
	struct workers *all = LOOP_OWNER(d, struct workers, all_held);
	bool closed;

	(void) pthread_mutex_lock(&all->lock);
	closed = all->closed && all->held == all->n;
	(void) pthread_mutex_unlock(&all->lock);
	if (closed) /* it may have been opened, and closed again, since */
		all->paused(all);
}

static void serve_ended(struct errand *d)
{
	struct workers *all = LOOP_OWNER(d, struct workers, ended);

	all->over(all);
}

void workers_init(struct workers *all, struct errands *errands)
{
	/* With default attributes these cannot fail. */
	(void) pthread_mutex_init(&all->lock, NULL);
	(void) pthread_cond_init(&all->opened, NULL);
	all->errands = errands;
	all->all_held.run = serve_all_held;
	all->ended.run = serve_ended;
}

struct worker *workers_add(struct workers *all, bool handy, struct err *e)
{
	struct worker *w = &all->w[all->n];
	int r = all->n < WORKERS_MAX ? 0 : -EAGAIN;

	if (r == 0)
		r = loop_init(&w->loop);
	if (r == 0) {
		r = errands_init(&w->errands, &w->loop);
		if (r == 0 && handy)
			r = hands_init(&w->hands, &w->loop);
		if (r < 0)
			loop_fini(&w->loop);
	}
	if (r < 0) {
		(void) err_sys(e, -r, "make an event loop");
		return NULL;
	}
	w->all = all;
	w->handy = handy;
	w->hold.run = serve_hold;
	all->n++;
	return w;
}

int workers_start(struct workers *all, struct err *e)
{
	pthread_attr_t attributes;
	int r = pthread_attr_init(&attributes);

	if (r == 0)
		r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned i = 0; i < all->n && r == 0; i++) {
		struct worker *w = &all->w[i];

		r = pthread_create(&w->thread, &attributes, run_thread, w);
		for (unsigned k = 0; w->handy && k < WORKER_HANDS && r == 0; k++)
			r = pthread_create(&w->hand_threads[k], &attributes, run_hand, w);
	}
	return r != 0 ? err_sys(e, r, "start a thread for a disk") : 0;
}

void workers_pause(struct workers *all)
{
	if (all->n == 0) {
		all->paused(all);
		return;
	}
	(void) pthread_mutex_lock(&all->lock);
	if (!all->closed) {
		all->closed = true;
		all->closings++;
		all->held = 0;
		for (unsigned i = 0; i < all->n; i++)
			errand_post(&all->w[i].errands, &all->w[i].hold);
		(void) pthread_cond_broadcast(&all->opened); /* who has not left yet stands again */
	}
	(void) pthread_mutex_unlock(&all->lock);
}

void workers_resume(struct workers *all)
{
	(void) pthread_mutex_lock(&all->lock);
	all->closed = false;
	(void) pthread_cond_broadcast(&all->opened);
	(void) pthread_mutex_unlock(&all->lock);
}

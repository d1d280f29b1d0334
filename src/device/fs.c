/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/fs_control.h"
#include "device/fs_state.h"

#define QUEUE_SIZE 1024
#define SERVE_MAX  256 /* chains of one queue before the loop is looked at */
#define LAZY	   (10 * NSEC_PER_MSEC)

enum { QUEUE_HIPRIO, QUEUE_REQUESTS, QUEUES_N };

struct fs_config {	      /* virtio 1.2, 5.11.4 */
	char tag[FS_TAG_MAX]; /* no NUL when full */
	uint32_t num_request_queues;
};

struct fs {
	struct virtio_device d;
	struct fs_config config;
	struct fs_session *session;
	struct fs_control control;
	struct fs_crew crew;
	bool crewed;		      /* the crew serves, kicks only say what */
	uint32_t kicked;	      /* bits of queues */
	const struct fs_member *last; /* who served last */
	bool was_full;		      /* too much was held to serve any */
	/*
	 * FORGETs have no answer that anybody waits for. Once one has come the guest need not kick
	 * for more, and is not interrupted for them: they are looked for after other requests and
	 * when the timer fires, which goes on as long as there are some.
	 */
	struct loop_timer lazy;
	bool looking, due; /* the timer is set; it has fired */
	unsigned forgets;  /* served since it was set */
};

static void count(struct virtio_device *d, const struct chain *c, uint32_t n)
{
	d->stats.reads++;
	d->stats.read_bytes += c->out_bytes;
	d->stats.writes++;
	d->stats.write_bytes += n;
}

static bool serve(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);
	uint32_t n = fs_session_serve(f->session, c);

	count(d, c, n);
	queue_push(&d->queues[queue], c->head, n);
	return true;
}

/* As virtio_serve(), by a member of the crew, who may lose the lead over a request. lazy: the guest
 * is asked for kicks, and told, when the ring is half full. */
static void serve_queue(struct fs *f, struct fs_member *m, unsigned queue, bool lazy)
{
	struct virtio_device *d = &f->d;
	struct queue *q = &d->queues[queue];
	unsigned left = SERVE_MAX;

	queue_disable_kicks(q);
	while (!d->quiet && d->held < FS_CREW_MAX - 1) {
		uint32_t n;

		if (left-- == 0) {
			virtio_again(d, queue);
			break;
		}
		if (!virtio_pop(d, queue, m->chain)) {
			if (lazy)
				queue_await_chains(q, q->size / 2);
			if (lazy || !queue_enable_kicks(q))
				break;
			queue_disable_kicks(q);
			continue;
		}
		d->held++;
		n = fs_session_serve_as(f->session, m->work, m->chain);
		d->held--;
		count(d, m->chain, n);
		f->forgets += queue == QUEUE_HIPRIO;
		if (q->descs) /* else it was taken away, at the process's end */
			queue_push(q, m->chain->head, n);
		if (!fs_crew_leads(&f->crew, m)) {
			virtio_signal(d, queue);
			fs_crew_nudge(&f->crew);
			return;
		}
	}
	if (!lazy || queue_untold(q) >= q->size / 2)
		virtio_signal(d, queue);
}

static void look_again(struct loop_timer *t)
{
	struct fs *f = LOOP_OWNER(t, struct fs, lazy);

	f->due = true;
	f->kicked |= 1u << QUEUE_HIPRIO;
}

/* The queue of FORGETs, see struct fs. */
static void serve_forgets(struct fs *f, struct fs_member *m)
{
	struct queue *q = &f->d.queues[QUEUE_HIPRIO];

	if (f->due && f->forgets == 0)
		f->looking = false; /* a time without any */
	if (!f->looking)
		f->forgets = 0;
	serve_queue(f, m, QUEUE_HIPRIO, f->looking);
	if (f->looking && !f->due)
		return;
	virtio_signal(&f->d, QUEUE_HIPRIO);
	f->due = false;
	f->looking = f->forgets > 0 && q->event_idx;
	f->forgets = 0;
	if (!f->looking)
		return;
	loop_timer_set(f->d.loop, &f->lazy, clock_mono() + LAZY, look_again);
	queue_await_chains(q, q->size / 2);
}

/* What has been kicked; and once somebody else has led, what he may have left. */
static void serve_kicked(struct fs_crew *crew, struct fs_member *m)
{
	struct fs *f = LOOP_OWNER(crew, struct fs, crew);
	struct virtio_device *d = &f->d;
	bool full = d->held == FS_CREW_MAX - 1;

	if (d->quiet && d->held == 0)
		d->settled(d);
	if (f->last != m || f->was_full)
		f->kicked = UINT32_MAX;
	f->last = m;
	f->was_full = full;
	while (f->kicked && d->active && !d->quiet && !full && fs_crew_leads(crew, m)) {
		unsigned queue = (unsigned) __builtin_ctz(f->kicked);

		f->kicked &= f->kicked - 1;
		if (queue == QUEUE_HIPRIO)
			serve_forgets(f, m);
		else if (queue < d->queues_n)
			serve_queue(f, m, queue, false);
	}
	if (f->looking && d->active && !d->quiet && !full && fs_crew_leads(crew, m))
		serve_forgets(f, m);
}

static void fs_kick(struct virtio_device *d, unsigned queue)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	if (f->crewed)
		f->kicked |= 1u << queue;
	else
		virtio_serve(d, queue, serve);
}

static uint64_t fs_features(const struct virtio_device *d)
{
	(void) d;
	return 0;
}

static void fs_config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct fs *f = (const struct fs *) (const void *) d; /* its first member */

	virtio_config_copy(&f->config, sizeof(f->config), at, to, n);
}

static int fs_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	(void) features;
	return fs_session_enter(f->session, e);
}

static int fs_save(struct virtio_device *d, struct buf *to, struct err *e)
{
	return fs_state_save(LOOP_OWNER(d, struct fs, d)->session, to, e);
}

static int fs_restore(struct virtio_device *d, uint64_t features, struct str state, struct err *e)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	return fs_activate(d, features, e) < 0 ? -EIO : fs_state_restore(f->session, state, e);
}

static void fs_reset(struct virtio_device *d)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	loop_timer_cancel(&f->lazy);
	f->looking = f->due = false;
	fs_session_reset(f->session);
}

static void fs_free(struct virtio_device *d)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	fs_control_fini(&f->control);
	virtio_reset(d);
	fs_session_free(f->session);
	free(f);
}

static const struct virtio_ops fs_ops = {
	.id = VIRTIO_ID_IS_FS,
	.name = "fs",
	.features = fs_features,
	.config_read = fs_config_read,
	.config_write = virtio_config_ignore,
	.activate = fs_activate,
	.kick = fs_kick,
	.reset = fs_reset,
	.free = fs_free,
	.save = fs_save,
	.restore = fs_restore,
};

struct virtio_device *fs_new(struct loop *loop, const struct guest_memory *memory, const char *tag,
			     int proc_fd, const struct fs_share *shares, size_t n, size_t fds_max,
			     struct err *e)
{
	struct fs *f = calloc(1, sizeof(*f));
	struct fs_session *s = fs_session_new(proc_fd, shares, n, fds_max, e);

	if (!f || !s || strlen(tag) > FS_TAG_MAX) {
		if (s)
			(void) err_sys(e, f ? ENAMETOOLONG : ENOMEM, "share files as '%s'", tag);
		fs_session_free(s);
		free(f);
		return NULL;
	}
	f->session = s;
	memcpy(f->config.tag, tag, strlen(tag));
	f->config.num_request_queues = QUEUES_N - QUEUE_REQUESTS;
	virtio_init(&f->d, &fs_ops, loop, memory, QUEUES_N, QUEUE_SIZE);
	return &f->d;
}

int fs_run(struct virtio_device *d, void (*abandon)(void), struct err *e)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);
	int r = fs_session_enter(f->session, e); /* all threads are where the first one is */

	if (r < 0)
		return r;
	f->crewed = true;
	r = fs_crew_run(&f->crew, d->loop, &f->session->inodes, &f->session->work, serve_kicked,
			abandon, e);
	f->crewed = false;
	return r;
}

int fs_control(struct virtio_device *d, int listen_fd, struct err *e)
{
	struct fs *f = LOOP_OWNER(d, struct fs, d);

	return fs_control_start(&f->control, d->loop, f->session, listen_fd, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/json.h"
#include "svc/filter.h"

#define BATCH_MAX 512

int event_watch_open(struct event_watch *w, struct svc *s, const struct events_options *o,
		     struct err *e)
{
	static const char *const known[] = { "type",   "event", "container", "image",
					     "volume", "label", NULL };
	int r = filters_check(o->filters, o->filters_n, known, e);

	if (r >= 0)
		r = svc_store(s, e);
	if (r < 0)
		return r;
	*w = (struct event_watch){
		.svc = s, .options = o, .inotify_fd = FD_NONE, .lock_fd = FD_NONE
	};
	w->arena = ARENA_INIT(16u << 20);
	if (!o->since) {
		r = store_event_last(s->store, &w->seq, e);
		if (r < 0)
			return r;
	}
	/*
	 * Commits are writes to the store's log: woken by those, nothing is asked in between. The
	 * directory too, for a log that is made anew.
	 */
	auto_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "watch for events");
	if (inotify_add_watch(fd, s->paths.root, IN_MODIFY | IN_CREATE | IN_ONLYDIR) < 0)
		return err_sys(e, errno, "watch '%s'", s->paths.root);
	w->inotify_fd = take_fd(&fd);
	/* Not there for who may only read: such a watcher may learn of an event with the next. */
	w->lock_fd = open(paths_lock(&s->paths).z, O_RDONLY | O_CLOEXEC);
	return 0;
}

void event_watch_close(struct event_watch *w)
{
	close_fd(&w->inotify_fd);
	close_fd(&w->lock_fd);
	arena_fini(&w->arena);
}

/* Whether one filter accepts it; the attributes are parsed at most once per event. */
static bool accepts(const struct event *ev, const struct json *attributes, struct str key,
		    struct str value)
{
	const char *name = json_string(json_get(attributes, "name"));

	if (str_is(key, "type"))
		return str_is(value, ev->type);
	if (str_is(key, "event")) /* "health_status" also finds "health_status: healthy" */
		return str_is(value, ev->action) ||
		       (strncmp(ev->action, value.p, value.n) == 0 && ev->action[value.n] == ':');
	if (str_is(key, "label"))
		return filter_label(attributes, value);
	const char *type = str_is(key, "container") ? "container" : NULL;
	if (str_is(key, "image") && streq(ev->type, "container")) {
		const char *image = json_string(json_get(attributes, "image"));
		return image && str_is(value, image);
	}
	if (!type)
		type = str_is(key, "image") ? "image" : "volume";
	if (!streq(ev->type, type))
		return false;
	return (value.n > 0 && strncmp(ev->id, value.p, value.n) == 0) ||
	       (name && str_is(value, name));
}

static bool matches(struct event_watch *w, const struct event *ev)
{
	const struct events_options *o = w->options;
	const struct json *attributes = NULL;
	struct err ignored;

	if ((o->since && ev->at < o->since) || (o->until && ev->at > o->until))
		return false;
	if (ev->attributes &&
	    json_parse(&w->arena, str_of(ev->attributes), &attributes, &ignored) < 0)
		attributes = NULL;
	for (size_t i = 0; i < o->filters_n; i++) {
		struct str value, key = str_cut(str_of(o->filters[i]), '=', &value);
		bool any = false;

		/* Any of those of the same key; each key is looked at once, at its first. */
		if (!filter_is_first(o->filters, i))
			continue;
		for (size_t j = i; j < o->filters_n && !any; j++) {
			struct str other_value;
			struct str other = str_cut(str_of(o->filters[j]), '=', &other_value);

			any = str_eq(key, other) && accepts(ev, attributes, key, other_value);
		}
		if (!any)
			return false;
	}
	return true;
}

/* 1: one is in *ret; 0: the store holds no later one yet. */
static int next_ready(struct event_watch *w, const struct event **ret, struct err *e)
{
	for (;;) {
		while (w->next < w->batch.n) {
			const struct event *ev = &w->batch.v[w->next++];

			w->seq = ev->seq;
			if (matches(w, ev)) {
				*ret = ev;
				return 1;
			}
		}
		arena_fini(&w->arena);
		w->arena = ARENA_INIT(16u << 20);
		w->next = 0;
		w->batch = (struct events){};
		int r = store_event_list(w->svc->store, w->seq, BATCH_MAX, &w->arena, &w->batch, e);
		if (r < 0 || w->batch.n == 0)
			return r < 0 ? r : 0;
	}
}

/*
 * The log is written before the commit can be seen: whoever looks at once sees nothing, and nothing
 * would wake him again. Writers hold the lock until the commit stands.
 */
static void await_writer(const struct event_watch *w)
{
	if (w->lock_fd >= 0 && flock(w->lock_fd, LOCK_SH) == 0)
		(void) flock(w->lock_fd, LOCK_UN);
}

static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

int event_watch_next(struct event_watch *w, nsec_t deadline, const struct event **ret,
		     struct err *e)
{
	*ret = NULL;
	for (;;) {
		/* In this order: whoever writes after the drain wakes the poll, whoever wrote
		 * before is awaited. */
		drain(w->inotify_fd);
		await_writer(w);
		int r = next_ready(w, ret, e);
		if (r != 0)
			return r < 0 ? r : 0;
		nsec_t end = deadline;
		if (w->options->until) {
			nsec_t left = w->options->until - clock_wall();

			if (left <= 0)
				return 0;
			nsec_t until = clock_deadline(left);
			end = until < end ? until : end;
		}
		if (clock_mono() >= end)
			return 0;
		struct pollfd p = { .fd = w->inotify_fd, .events = POLLIN };
		if (poll(&p, 1, clock_poll_ms(end)) < 0 && errno != EINTR)
			return err_sys(e, errno, "wait for events");
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: what happened to workloads, images and volumes, in the order of the commits that
 * made it so. The oldest go once there are more than EVENTS_KEPT.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "store/store.h"

#define EVENTS_KEPT 20000

struct event {
	int64_t seq;		/* grows */
	nsec_t at;		/* wall */
	const char *type;	/* "container" "image" "volume" */
	const char *action;	/* "create" "start" "die" "destroy" ... */
	const char *id;		/* of the workload or image, name of the volume */
	const char *attributes; /* JSON object, or NULL */
};

struct events {
	struct event *v;
	size_t n;
};

/* The attributes of a workload's event: docker's name, image and its labels, one JSON object. */
void event_attributes(struct buf *out, const char *name, const char *image,
		      const char *labels_json);

/* In the write of the change it tells of. seq is given by the store; at 0: now. */
[[nodiscard]] int store_event_add(struct store *s, const struct event *ev, struct err *e);
/* Those after seq, at most `max`, in order. */
[[nodiscard]] int store_event_list(struct store *s, int64_t after_seq, size_t max, struct arena *a,
				   struct events *ret, struct err *e);
/* The highest seq given so far, 0 for none. */
[[nodiscard]] int store_event_last(struct store *s, int64_t *ret_seq, struct err *e);

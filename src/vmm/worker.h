/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads with a loop each, for devices that wait for what is slow: a disk's storage holds up no
 * other device. A device belongs to the thread of its loop; others send errands there. Each has
 * hands, too, which wait for the storage in its place. A pause holds the threads at a gate, after
 * the processors, which may be waiting for a device; their hands have nothing to do then.
 *
 * Nobody waits for them at the end of the machine: a request that runs then was not answered, and
 * the process has not ended before its last system call has.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "virtio/hands.h"
#include "vmm/errand.h"
#include "vmm/options.h"

#define WORKERS_MAX  OPTION_DISKS_MAX
#define WORKER_HANDS 3 /* of each: so many requests wait for its storage at once */

struct workers;

struct worker {
	struct workers *all;
	struct loop loop;
	struct errands errands; /* to be run on its thread */
	struct hands hands;
	bool handy; /* there are threads for the hands */
	pthread_t thread, hand_threads[WORKER_HANDS];
	struct errand hold; /* to the gate */
	uint64_t seen;	    /* the last of workers.closings it stood for; under the lock */
};

struct workers {
	struct worker w[WORKERS_MAX];
	unsigned n;
	struct errands *errands; /* borrowed: of the main loop's thread */
	bool filtered;		 /* each thread gives up the system calls it does not need */
	/* The gate. Its lock is a leaf, but for that of the errands. */
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool closed;
	uint64_t closings; /* how often it was closed */
	unsigned held;	   /* who has seen the last closing */
	struct errand all_held;
	void (*paused)(struct workers *all); /* set by the owner: on the main loop's thread */
	/* One that cannot go on: the first counts. */
	bool failed;
	struct err why;
	struct errand ended;
	void (*over)(struct workers *all); /* set by the owner: on the main loop's thread */
};

void workers_init(struct workers *all, struct errands *errands);
/* One more, for devices to be made on its loop, and handy or not; NULL: *e says why. */
[[nodiscard]] struct worker *workers_add(struct workers *all, bool handy, struct err *e);
[[nodiscard]] int workers_start(struct workers *all, struct err *e);
/* On the main loop's thread: `paused` follows when none does anything any more. */
void workers_pause(struct workers *all);
void workers_resume(struct workers *all);

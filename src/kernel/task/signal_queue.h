/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that have come and that nobody has taken yet: a set of numbers, and what is known of
 * each. Who sends, who may, and who takes them is signal.h's.
 *
 * Standard signals (below 32) are there once or not at all; real-time ones as often as they were
 * sent, in their order. What is known takes memory that the sender's target answers for
 * (RLIMIT_SIGPENDING, counted by its real user); a signal whose memory was not to be had is in the
 * set alone.
 */
#pragma once

#include "kernel/core/list.h"

#define SIGNALS	       64
#define SIGNAL_BIT(nr) ((uint64_t) 1 << ((nr) -1))

/* siginfo_t of x86-64, byte for byte: sigaction(2). */
struct signal_info {
	int32_t nr, error, code, pad;
	union {
		struct {
			uint32_t pid, uid;
			uint64_t value;
		} sent; /* kill, tgkill; value: rt_sigqueueinfo */
		struct {
			int32_t id, overrun;
			uint64_t value;
		} timer;
		struct {
			uint32_t pid, uid;
			int32_t status, pad;
			int64_t user, system; /* clock ticks of 10 ms */
		} child;
		struct {
			uint64_t address;
			int16_t lsb;
		} fault;
		struct {
			int64_t band;
			int32_t fd;
		} poll;
		struct {
			uint64_t address;
			int32_t nr;
			uint32_t arch;
		} call; /* SIGSYS */
		unsigned char bytes[112];
	};
};
_Static_assert(sizeof(struct signal_info) == 128, "the guest's");

struct signal_queue;

struct signal_entry {
	struct list link; /* in no queue: to itself */
	struct signal_info info;
	/* Of who embeds it, a timer: it is out of the queue, and *ret, its info, is about to be
	 * told if it is not NULL. NULL: it is of the heap. */
	void (*taken)(struct signal_entry *e, struct signal_info *ret);
	uint32_t uid;		    /* who answers for it */
	struct signal_queue *queue; /* that it is in */
};

struct signal_queue {
	uint64_t set;
	struct list entries;
};

static inline void signal_queue_init(struct signal_queue *q)
{
	q->set = 0;
	list_init(&q->entries);
}

/* Of the heap, if `uid` has fewer than `limit`; NULL: not, or no memory. In no queue yet. */
[[nodiscard]] struct signal_entry *signal_entry_new(uint32_t uid, uint64_t limit);

/* e: in no queue; NULL: the number alone. */
void signal_queue_put(struct signal_queue *q, int nr, struct signal_entry *e);
/* The next one of the set `of`: faults first, then the lowest number. False: none. */
bool signal_queue_take(struct signal_queue *q, uint64_t of, struct signal_info *ret);
/* What of the set is there goes. */
void signal_queue_flush(struct signal_queue *q, uint64_t of);
/* Out of the queue that it is in, if it is in one, and its embedder is not told. */
void signal_entry_cancel(struct signal_entry *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is told of system calls as they begin and end (`atoll trace`): the records of
 * syscall/list/record.h, with what is behind their arguments, copied from the guest's memory.
 * Where nobody watches a call costs one look at a number. Not who reads them, nor their words.
 *
 * What is copied here and what the call itself finds there may differ, as the guest can change it
 * between the two: a trace is a look, not a proof.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/types.h"
#include "kernel/syscall/list/record.h"

struct signal_info;
struct task;

#define TRACE_CALLS 512 /* the last bit stands for all numbers from there on */

struct trace_watcher {
	struct list link;
	uint64_t calls[TRACE_CALLS / 64];
	bool entries; /* else nothing but TRACE_EXIT and TRACE_END */
	bool signals;
	uint32_t text;	      /* bytes of a text or a buffer at most; 0: no parts at all */
	const uint32_t *pids; /* these processes, and those below them; */
	size_t pids_n;	      /* 0: all */
	/* A record, which is the caller's. It must not park. */
	void (*take)(struct trace_watcher *w, const struct trace_record *r);
};

/* w stays where it is until it is removed. */
void trace_watch(struct trace_watcher *w);
void trace_unwatch(struct trace_watcher *w);

/* ---- the hooks, where somebody watches ---- */

extern unsigned int trace_watchers; /* of trace.c; read by trace_watched() alone */

static inline bool trace_watched(void)
{
	return __builtin_expect(trace_watchers != 0, 0);
}

/* t->call begins. May park. */
void trace_entry(struct task *t);
/* It has its result. May park. */
void trace_exit(struct task *t);
/* t takes it now: told after the end of the call that it interrupts. May park. */
void trace_signal(struct task *t, const struct signal_info *info);
/* t ends, and is one of its process still. */
void trace_end(struct task *t);

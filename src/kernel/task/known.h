/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that ask for what hardly ever changes (getpid, getuid and their kin): once one was answered
 * the platform may answer it (plat_user_know()). Not what changes: who changes it says so here
 * before anybody can see that it has.
 */
#pragma once

#include "kernel/task/task.h"
#include "kernel/vfs/told.h"

/* Bits of calls: 0 ... 63, 64 ... 127, 128 ... 191. */
#define KNOWN_CALLS 192
extern const uint64_t known_calls[KNOWN_CALLS / 64];

void known_note(struct task *t);
/* t->call was served, and t has not parked since. */
static inline void known_served(struct task *t)
{
	unsigned int nr = t->call.nr;

	if (nr < KNOWN_CALLS && known_calls[nr / 64] >> nr % 64 & 1)
		known_note(t);
}

/* t's readlink(2), whose walk was this one, was served: what is no link stays none. */
void known_name(struct task *t, const struct told *w, sysret_t result);

/* Its numbers, its users, its parent, its group change, or who is asked before a call is served. */
void known_forget(struct task *t);
/* Of all threads of p. */
void known_forget_process(struct process *p);
/* Of all tasks. */
void known_forget_all(void);

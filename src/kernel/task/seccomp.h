/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp(2): what a thread has given up. Filters are in a chain, the newest first, which threads
 * and their children share; a call passes all of them, before it is served and once. Which numbers
 * the whole chain allows whatever their arguments are is found out as they are called, and noted:
 * such a call costs a look at one bit.
 */
#pragma once

#include "kernel/task/task.h"

struct sock_filter;

/* The calls that notes are kept of: those that there are. */
#define SECCOMP_CALLS 512

struct seccomp_filter {
	unsigned int owners;
	struct seccomp_filter *older; /* owned */
	unsigned int depth;	      /* filters from here on */
	uint32_t cost;		      /* their instructions, as Linux counts them */
	bool place;		      /* one of them looks at where calls are made */
	uint64_t allowed[SECCOMP_CALLS / 64];
	uint32_t count;
	struct sock_filter *code; /* of the heap */
};

/* A chain of one more: takes code (of the heap, count instructions), owns older from then on.
 * -EINVAL: it cannot run; -ENOMEM: also, when the chain is too long. Nothing is taken then. */
[[nodiscard]] int seccomp_filter_new(struct sock_filter *code, uint32_t count,
				     struct seccomp_filter *older, struct seccomp_filter **ret);
/* The same program as an array that stays the caller's. */
[[nodiscard]] int seccomp_filter_of(const struct sock_filter *code, uint32_t count,
				    struct seccomp_filter *older, struct seccomp_filter **ret);
/* f itself, with one owner more; NULL is none. */
struct seccomp_filter *seccomp_filter_ref(struct seccomp_filter *f);
void seccomp_filter_unref(struct seccomp_filter *f);

/* child has what t has. */
void seccomp_clone(struct task *child, const struct task *t);

/* ---- of the running thread ---- */

/* SECCOMP_MODE_STRICT: -EINVAL where it has filters. */
[[nodiscard]] int seccomp_strict(struct task *t);
/* Takes code also when it fails. sync: for all threads of the process. -EINVAL, -ENOMEM; with sync
 * the number of a thread that has a filter of its own. */
[[nodiscard]] sysret_t seccomp_add(struct task *t, struct sock_filter *code, uint32_t count,
				   bool sync);

/* t->call, where t has given up something: true, it is served; false: *ret is its result, or t has
 * a signal, or it ends. */
[[nodiscard]] bool seccomp_judge(struct task *t, sysret_t *ret);

[[nodiscard]] static inline bool seccomp_passes(struct task *t, sysret_t *ret)
{
	unsigned int nr = t->call.nr;

	if (!t->filters && !t->strict)
		return true;
	if (t->filters && nr < SECCOMP_CALLS && t->filters->allowed[nr / 64] >> nr % 64 & 1)
		return true;
	return seccomp_judge(t, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/seccomp.h"

#include <asm/signal.h>
#include <asm/unistd_64.h>
#include <linux/audit.h>

#include "kernel/core/heap.h"
#include "kernel/task/bpf.h"
#include "kernel/task/cred.h"
#include "kernel/task/cred_change.h"
#include "kernel/task/exit.h"
#include "kernel/task/known.h"
#include "kernel/task/signal.h"

/* Linux's: of all programs of a chain, each with a price of its own. */
#define COST_MOST     32768u
#define COST_OF_BEING 4u
#define ERRNO_MOST    4095u

static struct heap_cache filters = HEAP_CACHE_INIT(struct seccomp_filter);

/* ---- chains ---- */

int seccomp_filter_new(struct sock_filter *code, uint32_t count, struct seccomp_filter *older,
		       struct seccomp_filter **ret)
{
	struct seccomp_filter *f;
	uint32_t cost = count;
	bool place;
	int r = bpf_check(code, count, &place);

	if (r < 0)
		return r;
	if (older)
		cost += older->cost + COST_OF_BEING;
	if (cost > COST_MOST)
		return -ENOMEM;
	f = heap_cache_alloc(&filters);
	if (!f)
		return -ENOMEM;
	f->owners = 1;
	f->older = older;
	f->depth = older ? older->depth + 1 : 1;
	f->cost = cost;
	f->place = place || (older && older->place);
	f->count = count;
	f->code = code;
	*ret = f;
	return 0;
}

int seccomp_filter_of(const struct sock_filter *code, uint32_t count, struct seccomp_filter *older,
		      struct seccomp_filter **ret)
{
	struct sock_filter *own = heap_alloc(count * sizeof(*own));
	int r = -ENOMEM;

	if (own) {
		memcpy(own, code, count * sizeof(*own));
		r = seccomp_filter_new(own, count, older, ret);
	}
	if (r < 0)
		heap_free(own);
	return r;
}

void seccomp_filter_unref(struct seccomp_filter *f)
{
	while (f && --f->owners == 0) {
		struct seccomp_filter *older = f->older;

		heap_free(f->code);
		heap_cache_free(&filters, f);
		f = older;
	}
}

struct seccomp_filter *seccomp_filter_ref(struct seccomp_filter *f)
{
	if (f)
		f->owners++;
	return f;
}

void seccomp_clone(struct task *child, const struct task *t)
{
	child->filters = seccomp_filter_ref(t->filters);
	child->strict = t->strict;
}

/* ---- giving up ---- */

int seccomp_strict(struct task *t)
{
	if (t->filters)
		return -EINVAL;
	t->strict = true;
	known_forget(t);
	return 0;
}

/* Whether u's chain is one that t's grew from. */
static bool behind(const struct task *u, const struct task *t)
{
	const struct seccomp_filter *f = t->filters;

	while (f && f != u->filters)
		f = f->older;
	return !u->filters || f;
}

static void take_chain(struct task *u, struct seccomp_filter *f)
{
	struct seccomp_filter *old = u->filters;

	u->filters = seccomp_filter_ref(f);
	known_forget(u);
	seccomp_filter_unref(old);
}

/* The thread that cannot have what t gets, or 0. */
static uint32_t out_of_step(const struct task *t)
{
	list_each(l, &t->process->threads)
	{
		const struct task *u = task_of_list(l);

		if (u != t && !u->dying && (u->strict || !behind(u, t)))
			return u->tid;
	}
	return 0;
}

/* As t has it. Without memory some threads have it, and no filter. */
static int sync_privileges(const struct task *t)
{
	list_each(l, &t->process->threads)
	{
		struct task *u = task_of_list(l);
		struct cred *c;

		if (!t->cred->no_new_privs || u->cred->no_new_privs)
			continue;
		c = cred_copy(u->cred);
		if (!c)
			return -ENOMEM;
		cred_set_no_new_privs(c);
		task_set_cred(u, c);
	}
	return 0;
}

sysret_t seccomp_add(struct task *t, struct sock_filter *code, uint32_t count, bool sync)
{
	struct seccomp_filter *f, *older = t->filters;
	uint32_t other = sync ? out_of_step(t) : 0;
	int r = t->strict ? -EINVAL : 0;

	if (r == 0 && other) {
		heap_free(code);
		return other;
	}
	if (r == 0 && sync)
		r = sync_privileges(t);
	if (r == 0)
		r = seccomp_filter_new(code, count, older, &f);
	if (r < 0) {
		heap_free(code);
		return r;
	}
	/* The chain has t's older one: its reference goes over. */
	t->filters = f;
	known_forget(t);
	list_each(l, &t->process->threads)
	{
		struct task *u = task_of_list(l);

		if (sync && u != t && !u->dying)
			take_chain(u, f);
	}
	return 0;
}

/* ---- judging ---- */

/* What the whole chain says: of several the one that is hardest, of equals the newest. */
static uint32_t ask(const struct seccomp_filter *f, const struct seccomp_data *d, bool *ret_looked)
{
	uint32_t said = SECCOMP_RET_ALLOW;

	*ret_looked = false;
	for (; f; f = f->older) {
		uint32_t s = bpf_run(f->code, d, ret_looked);

		/* As signed numbers: SECCOMP_RET_KILL_PROCESS comes first. */
		if ((int32_t) (s & SECCOMP_RET_ACTION_FULL) <
		    (int32_t) (said & SECCOMP_RET_ACTION_FULL))
			said = s;
	}
	return said;
}

static uint64_t place_of(struct task *t)
{
	struct plat_regs regs;

	plat_user_regs(t->user, &regs);
	return regs.ip;
}

static bool judge_strict(struct task *t)
{
	switch (t->call.nr) {
	case __NR_read:
	case __NR_write:
	case __NR_exit:
	case __NR_rt_sigreturn:
		return true;
	default:
		task_exit(t, SIGKILL);
	}
}

bool seccomp_judge(struct task *t, sysret_t *ret)
{
	const struct task_call *c = &t->call;
	struct seccomp_data d = { .nr = (int) c->nr, .arch = AUDIT_ARCH_X86_64 };
	struct seccomp_filter *f = t->filters;
	uint32_t said;
	bool looked;

	if (t->strict)
		return judge_strict(t);
	for (size_t n = 0; n < countof(c->args); n++)
		d.args[n] = c->args[n];
	if (f->place)
		d.instruction_pointer = place_of(t);
	said = ask(f, &d, &looked);
	switch (said & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG: /* there is nobody who reads a log */
		if (!looked && c->nr < SECCOMP_CALLS)
			f->allowed[c->nr / 64] |= (uint64_t) 1 << c->nr % 64;
		return true;
	case SECCOMP_RET_ERRNO:
		*ret = -(sysret_t) min_of(said & SECCOMP_RET_DATA, ERRNO_MOST);
		return false;
	case SECCOMP_RET_TRAP:
		/* The handler sees the registers as the call had them. */
		*ret = (int32_t) c->nr;
		signal_call(t, c->nr, (int32_t) (said & SECCOMP_RET_DATA), place_of(t));
		return false;
	case SECCOMP_RET_TRACE:	     /* nobody traces */
	case SECCOMP_RET_USER_NOTIF: /* nor listens */
		*ret = -ENOSYS;
		return false;
	case SECCOMP_RET_KILL_THREAD:
		if (t->process->thread_count > 1)
			task_exit(t, SIGSYS);
		[[fallthrough]];
	default: /* SECCOMP_RET_KILL_PROCESS, and what is no action */
		*ret = (int32_t) c->nr;
		process_kill(t->process, SIGSYS);
		return false;
	}
}

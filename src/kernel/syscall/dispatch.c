/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/decode.h"
#include "kernel/syscall/refused.h"
#include "kernel/syscall/syscall.h"

struct call {
	sysret_t (*serve)(struct task *t, const uint64_t *a);
	int error; /* where nothing serves it; 0: ENOSYS */
	bool part; /* of it is missing: what ends with an error may have needed that */
};

#define FULL(n, call)		[n] = { .serve = sys_##call },
#define PART(n, call, missing)	[n] = { .serve = sys_##call, .part = true },
#define DENY(n, call, err, why) [n] = { .error = err },
#define NONE(n, call)

static const struct call calls[SYSCALL_END] = {
#include "kernel/syscall/list/calls.inc"
};

/* -errno that the guest sees, which ERESTART* is not. */
static bool is_error(sysret_t r)
{
	return r < 0 && r > -ERESTARTSYS;
}

static sysret_t refuse(unsigned int nr, const uint64_t args[6], int error)
{
	refused_note(nr, args, (unsigned int) error);
	return -error;
}

sysret_t syscall_do(struct task *t, unsigned int nr, const uint64_t args[6])
{
	const struct call *c;
	sysret_t r;

	if (nr >= SYSCALL_END)
		return refuse(nr, args, ENOSYS);
	c = &calls[nr];
	if (!c->serve)
		return refuse(nr, args, c->error ? c->error : ENOSYS);
	r = c->serve(t, args);
	if (c->part && is_error(r))
		refused_note(nr, args, (unsigned int) -r);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/decode.h"
#include "kernel/syscall/syscall.h"

struct call {
	sysret_t (*serve)(struct task *t, const uint64_t *a);
	int error; /* where nothing serves it; 0: ENOSYS */
};

#define FULL(n, call)		[n] = { .serve = sys_##call },
#define PART(n, call, missing)	FULL(n, call)
#define DENY(n, call, err, why) [n] = { .error = err },
#define NONE(n, call)

static const struct call calls[SYSCALL_END] = {
#include "kernel/syscall/list/calls.inc"
};

sysret_t syscall_do(struct task *t, unsigned int nr, const uint64_t args[6])
{
	if (nr >= SYSCALL_END)
		return -ENOSYS;
	if (calls[nr].serve)
		return calls[nr].serve(t, args);
	return calls[nr].error ? -calls[nr].error : -ENOSYS;
}

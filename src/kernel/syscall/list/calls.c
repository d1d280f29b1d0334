/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/list/calls.h"

/* The names of errors as they are written, not their numbers: no <errno.h> here. */
#define FULL(n, call)		  { n, #call, CALL_FULL, NULL, NULL },
#define PART(n, call, missing)	  { n, #call, CALL_PART, NULL, missing },
#define DENY(n, call, error, why) { n, #call, CALL_DENY, #error, why },
#define NONE(n, call)		  { n, #call, CALL_NONE, "ENOSYS", NULL },

static const struct call_info calls[] = {
#include "kernel/syscall/list/calls.inc"
};

const struct call_info *call_list(size_t *ret_n)
{
	*ret_n = sizeof(calls) / sizeof(calls[0]);
	return calls;
}

const char *call_state_text(enum call_state s)
{
	static const char *const texts[] = { "full", "partial", "refused", "missing" };

	return texts[s];
}

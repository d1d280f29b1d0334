/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Atoll's kernel does with each system call of x86-64: calls.inc is the one list of them, from
 * which the kernel has its table, `atoll info --syscalls` its rows and the manual its page. This is
 * the text of it; it needs nothing of the kernel. A line of calls.inc is one of
 *
 *	FULL(number, name)			as Linux, as far as is known
 *	PART(number, name, "what is missing")	the rest as Linux
 *	DENY(number, name, ERRNO, "why")	by intent: always this errno
 *	NONE(number, name)			not there yet: ENOSYS
 */
#pragma once

#include <stddef.h>

enum call_state { CALL_FULL, CALL_PART, CALL_DENY, CALL_NONE };

struct call_info {
	unsigned int nr;
	const char *name;
	enum call_state state;
	const char *error; /* "ENOSYS": what it gives; NULL: it is served */
	const char *words; /* what is missing, or why; NULL: nothing to say */
};

/* All, in the order of their numbers; *ret_n: how many. */
const struct call_info *call_list(size_t *ret_n);
/* "full", "partial", "refused", "missing". */
const char *call_state_text(enum call_state s);

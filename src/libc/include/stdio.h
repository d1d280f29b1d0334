/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are checked against the size of their destination, as with _FORTIFY_SOURCE; and a
 * system call that musl has no name for. */
#pragma once

#include_next <stdio.h>

#include <sys/syscall.h>
#include <unistd.h>

#define snprintf(d, n, ...)                                                                        \
	__builtin___snprintf_chk((d), (n), 2, __builtin_dynamic_object_size((d), 1), __VA_ARGS__)
#define vsnprintf(d, n, f, a)                                                                      \
	__builtin___vsnprintf_chk((d), (n), 2, __builtin_dynamic_object_size((d), 1), (f), (a))

static inline int rename_at(int from, const char *name, int to, const char *new_name,
			    unsigned flags)
{
	return (int) syscall(SYS_renameat2, from, name, to, new_name, flags);
}
#define renameat2(...) rename_at(__VA_ARGS__)

/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are checked against the size of their destination, as with _FORTIFY_SOURCE. */
#pragma once

#include_next <stdio.h>

#define snprintf(d, n, ...)                                                                        \
	__builtin___snprintf_chk((d), (n), 2, __builtin_dynamic_object_size((d), 1), __VA_ARGS__)
#define vsnprintf(d, n, f, a)                                                                      \
	__builtin___vsnprintf_chk((d), (n), 2, __builtin_dynamic_object_size((d), 1), (f), (a))

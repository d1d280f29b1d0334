/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glibc's words for errors, which callers of runtimes look for, and copies that are checked
 * against the size of their destination where the compiler knows it (_FORTIFY_SOURCE's part).
 */
#pragma once

#include_next <string.h>

char *libc_strerror(int error);
#define strerror(e) libc_strerror(e)

#define LIBC_ROOM(p)	 __builtin_dynamic_object_size((p), 0)
#define memcpy(d, s, n)	 __builtin___memcpy_chk((d), (s), (n), LIBC_ROOM(d))
#define memmove(d, s, n) __builtin___memmove_chk((d), (s), (n), LIBC_ROOM(d))
#define memset(d, c, n)	 __builtin___memset_chk((d), (c), (n), LIBC_ROOM(d))

/* SPDX-License-Identifier: Apache-2.0 */
/* glibc's type of a resource's number, which is an int in musl. */
#pragma once

#include_next <sys/resource.h>

enum __rlimit_resource { LIBC_RLIMIT_FIRST = RLIMIT_CPU, LIBC_RLIMIT_LAST = RLIMIT_RTTIME };
typedef enum __rlimit_resource __rlimit_resource_t;

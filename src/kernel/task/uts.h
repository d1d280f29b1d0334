/* SPDX-License-Identifier: Apache-2.0 */
/* What uname(2) and /proc/sys/kernel tell of the kernel, and the names a guest may change. */
#pragma once

#include "kernel/core/types.h"

#define UTS_SYSNAME "Linux"
#define UTS_RELEASE "6.12.0-atoll" /* whose calls it answers as */
#define UTS_VERSION "#1 SMP"
#define UTS_MACHINE "x86_64"
#define UTS_NAME    64 /* bytes at most, without the end */

/* Of all tasks: there is one UTS namespace. With an end. */
const char *uts_hostname(void);
const char *uts_domainname(void);
/* len: at most UTS_NAME. */
void uts_set_hostname(const char *name, size_t len);
void uts_set_domainname(const char *name, size_t len);

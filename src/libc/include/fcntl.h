/* SPDX-License-Identifier: Apache-2.0 */
/* musl's open() sets O_CLOEXEC once more by fcntl(), for kernels before 2.6.23. */
#pragma once

#include_next <fcntl.h>

#include <linux/falloc.h>

#define open(...) openat(AT_FDCWD, __VA_ARGS__)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where our other programs are: beside this one (the build tree), else in ../libexec/atoll of it
 * (installed).
 */
#pragma once

#include <limits.h>

#include "base/err.h"

/* NOT_FOUND, saying where it was looked for. */
[[nodiscard]] int program_path(const char *name, char ret_path[static PATH_MAX], struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs are that this one starts for images: atoll-image, atoll-registry. */
#pragma once

#include "base/err.h"

#define PROGRAM_PATH_MAX 2048

/* Beside this program, or where `make install` puts it. NOT_FOUND. */
[[nodiscard]] int program_find(const char *name, char ret_path[static PROGRAM_PATH_MAX],
			       struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* Names and ids that nobody gave. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* n hex digits of randomness and a NUL; n even, at most 64. */
[[nodiscard]] int names_hex(char *ret, size_t n, struct err *e);
#define NAMES_MAX 64
/* "brisk_heron": an adjective and a bird; with a number from the second try on. */
[[nodiscard]] int names_made_up(unsigned attempt, char ret[static NAMES_MAX], struct err *e);

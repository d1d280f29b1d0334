/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls are traced: strace's -e. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CHOICE_WORDS 8 /* a bit for each number, the last for all that follow */

struct choice {
	uint64_t calls[CHOICE_WORDS];
	bool signals;
};

/* All calls, and signals. */
void choice_all(struct choice *c);
/*
 * One expression: "[trace=]SET" or "signal=all|none". SET is names, numbers, %CLASS, "all", "none",
 * separated by commas, and means all others where a '!' stands before it. INVALID says what is
 * wrong.
 */
[[nodiscard]] int choice_parse(struct choice *c, const char *text, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a unit test needs: CHECK(condition) says where and what, goes on, and makes the program
 * end with 1. main() ends with `return test_done();`, which prints the count.
 */
#pragma once

#include <stdio.h>
#include <string.h>

static int test_checks, test_failures;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		test_checks++;                                                                     \
		if (!(cond)) {                                                                     \
			test_failures++;                                                           \
			(void) fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);  \
		}                                                                                  \
	} while (0)

#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		test_checks++;                                                                     \
		if (!got_ || strcmp(got_, want_) != 0) {                                           \
			test_failures++;                                                           \
			(void) fprintf(stderr, "%s:%d: %s is '%s', not '%s'\n", __FILE__,          \
				       __LINE__, #got, got_ ? got_ : "(null)", want_);             \
		}                                                                                  \
	} while (0)

static inline int test_done(void)
{
	(void) printf("%d checks, %d failed\n", test_checks, test_failures);
	return test_failures ? 1 : 0;
}

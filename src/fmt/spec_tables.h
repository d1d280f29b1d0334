/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the spec's decoder and its writer share; included by spec.c,
 * spec_resources.c and spec_write.c only.
 */
#pragma once

#include "fmt/spec.h"

extern const struct json_table spec_resources_table;
extern const struct json_table spec_seccomp_table;

/* An array of ids into a struct spec_ids. */
int spec_decode_ids(struct arena *a, const struct json *v, void *to, const char *path,
		    struct err *e);

/* Words that the kernel knows by number. */
struct spec_word {
	const char *word;
	uint64_t value;
};
extern const struct spec_word spec_rlimit_words[16];
extern const struct spec_word spec_policy_words[7];
extern const struct spec_word spec_sched_flag_words[7];
extern const struct spec_word spec_io_class_words[3];

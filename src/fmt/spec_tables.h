/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the spec's decoder share; included by spec.c and spec_resources.c only. */
#pragma once

#include "fmt/spec.h"

extern const struct json_table spec_resources_table;
extern const struct json_table spec_seccomp_table;

/* An array of ids into a struct spec_ids. */
int spec_decode_ids(struct arena *a, const struct json *v, void *to, const char *path,
		    struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* What all inspecting verbs share: an array of objects, or a template over each. */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"

struct inspect_options {
	const char *format, *type;
	bool size;
};

/* Appends the object named ref as JSON text. NOT_FOUND: none of this kind. */
typedef int inspect_look(struct cli *c, const char *ref, const struct inspect_options *o,
			 struct buf *json, struct err *e);

/* kind: for "no such KIND: REF"; each ref is looked up by the functions in turn. */
int inspect_run(struct cli *c, const struct inspect_options *o, struct option_args args,
		inspect_look *const *looks, size_t looks_n, const char *kind);

inspect_look inspect_container, inspect_image, inspect_volume, inspect_network;

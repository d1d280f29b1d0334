/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle as the command line names it: what create, run and restore begin with (create.c). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "engine/engine.h"
#include "runtime/runtime.h"

struct json;

struct loaded {
	int bundle_fd; /* owned */
	const char *bundle;
	const char *config_path; /* absolute; NULL: config.json of the bundle */
	struct buf text;	 /* config.json as it is */
	const struct json *json;
	struct spec *spec; /* in the runtime's arena: the instance refers to it to its end */
	struct spec_process *process;
};
#define LOADED_INIT ((struct loaded){ .bundle_fd = FD_NONE, .text = BUF_INIT(JSON_TEXT_MAX) })
void loaded_fini(struct loaded *l);
#define auto_loaded __attribute__((cleanup(loaded_fini)))

/* bundle: NULL is the current directory; file: NULL is its config.json. */
[[nodiscard]] int bundle_load(struct runtime *rt, const char *bundle, const char *file,
			      struct loaded *l, struct err *e);
[[nodiscard]] int engine_for(const struct runtime *rt, const struct spec *s,
			     const struct engine_ops **ret_ops, struct engine_caps *ret_caps,
			     struct err *e);

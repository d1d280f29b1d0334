/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks of an instance whose processes are another kernel's: all of them run here, some in a
 * later process than that which created it, by what was saved. And its pid file.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/json.h"
#include "fmt/spec.h"

struct bundle;

struct hooked {
	bool late;			     /* some come after start or stop */
	bool poststop_due;		     /* it was created */
	char *bundle_path;		     /* owned; NULL: not known */
	char *config_path;		     /* owned; NULL: config.json of the bundle */
	const char *state_head, *state_tail; /* for hooks, in the instance's arena */
};

/* Before the first of them. */
[[nodiscard]] int hooked_begin(struct hooked *h, struct arena *a, const char *id,
			       const struct bundle *b, struct err *e);
/* Those of a kind. spec: NULL, and there are none; cwd_fd: FD_NONE, the caller's. */
[[nodiscard]] int hooked_run(const struct hooked *h, const struct spec *spec,
			     enum spec_hook_kind kind, const char *status, pid_t pid, int cwd_fd,
			     struct err *e);
void hooked_fini(struct hooked *h);

/* Members of the instance's record, "bundle", "config" and "poststopDue", and back from them: */
void hooked_save(const struct hooked *h, struct json_writer *w);
[[nodiscard]] int hooked_take(struct hooked *h, const char *bundle, const char *config,
			      bool poststop_due, struct err *e);
/* The spec as it was, in the arena; NULL: no hook needs it. */
[[nodiscard]] int hooked_load(struct hooked *h, struct arena *a, const char *id,
			      const struct spec **ret_spec, struct err *e);

/* path: NULL, there is none. */
[[nodiscard]] int pid_file_write(const char *path, pid_t pid, struct err *e);

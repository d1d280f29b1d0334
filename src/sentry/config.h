/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a config.json a sandbox does. Nothing that would be asked for and not done is taken:
 * it is refused by its name, so that the engine leaves out what does not matter here, and knows.
 * Of linux.resources memory.limit (the frames of the guest) and pids.limit (its tasks) are this
 * program's own and cpu.quota is told inside; the rest is of the cgroups that the engine puts the
 * whole program into. Hooks but for startContainer are the engine's, and namespaces and id maps are
 * the sandbox by its nature.
 */
#pragma once

#include "base/arena.h"
#include "fmt/spec.h"

/* The whole file; what is given lives in the arena. INVALID, UNSUPPORTED, with words. */
[[nodiscard]] int config_read(int fd, struct arena *a, const struct spec **ret_s, struct err *e);
/* The same of a text. */
[[nodiscard]] int config_text(const char *json, struct arena *a, const struct spec **ret_s,
			      struct err *e);
/* The process object of an exec. */
[[nodiscard]] int config_process(const char *json, struct arena *a,
				 const struct spec_process **ret_p, struct err *e);
/* Bytes that the guest may use; 0: no limit is given. */
uint64_t config_memory(const struct spec *s);

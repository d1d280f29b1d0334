/* SPDX-License-Identifier: Apache-2.0 */
/* What a microVM cannot have, refused before anything is done. */
#pragma once

#include "base/err.h"

struct engine_caps;
struct spec;

[[nodiscard]] int microvm_check(const struct engine_caps *caps, const struct spec *s,
				struct err *e);
/* The same of what a container of a pod may have and one alone may not, where there are no pods. */
[[nodiscard]] int check_alone(const struct spec *s, struct err *e);
/* Whether the directory or file can be shown to a guest: no device, nothing of the host's kernel.
 */
[[nodiscard]] int check_source(int fd, const char *path, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: proto/sentry.h's requests are answered, by a fiber for each connection. */
#pragma once

#include "base/err.h"

struct sandbox;

/* From now on, and after the first process was made. In a fiber. */
[[nodiscard]] int control_begin(struct sandbox *s, struct err *e);

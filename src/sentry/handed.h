/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from the host without a message: signals that the process outside was sent, and the
 * end of whoever made the sandbox.
 */
#pragma once

#include "base/err.h"

struct sandbox;

/* From now on, after the first process was made. In a fiber. */
[[nodiscard]] int handed_begin(struct sandbox *s, struct err *e);

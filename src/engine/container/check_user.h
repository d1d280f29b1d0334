/* SPDX-License-Identifier: Apache-2.0 */
/* What a spec must say when its container gets a user namespace, or its creator is not root. */
#pragma once

#include "base/err.h"

struct spec;

[[nodiscard]] int check_user(const struct spec *s, struct err *e);

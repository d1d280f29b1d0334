/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What steps of builds gave before: the key of a step, and the image that came of it. An image that
 * goes takes its keys along.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/digest.h"

struct store;

/* Whose last step the image was the result of is nobody's business but the builder's: `inner`. */
[[nodiscard]] int store_build_add(struct store *s, const struct digest *key,
				  const struct digest *image, bool inner, struct err *e);
[[nodiscard]] int store_build_find(struct store *s, const struct digest *key,
				   struct digest *ret_image, bool *ret_found, struct err *e);
/* The images that have no name and are there for later builds alone, sorted. */
[[nodiscard]] int store_build_inner(struct store *s, struct arena *a, struct digest **ret_images,
				    size_t *ret_n, struct err *e);

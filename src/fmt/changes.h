/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instructions of `--change`: one line of a Containerfile's kind applied to the configuration
 * of an image. CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME
 * WORKDIR.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/oci_image.h"

/* Fails: INVALID, saying what the instruction wants. Everything new lives in the arena. */
[[nodiscard]] int changes_apply(struct arena *a, struct oci_run_config *c, struct str line,
				struct err *e);

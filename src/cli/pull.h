/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching an image with something to look at meanwhile: `pull`, and `run` and `create` of one that
 * is not here. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "cli/cli.h"

struct pull_request {
	const char *image;
	const char *platform; /* or NULL */
	const char *progress; /* "auto", "plain", "json"; NULL: auto */
	bool no_verify, quiet;
	int fd; /* where it is shown */
};
/* *ret_name: the whole reference that it has now, in c's arena. */
[[nodiscard]] int pull_image(struct cli *c, const struct pull_request *q, const char **ret_name,
			     struct err *e);

/* --pull of run and create, once the image was not found: 1 when it is here by now. */
[[nodiscard]] int pull_missing(struct cli *c, const char *image, const char *policy, bool quiet,
			       struct err *e);

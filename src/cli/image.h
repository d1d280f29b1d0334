/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs about images share. */
#pragma once

#include "cli/cli.h"
#include "svc/image.h"

/* --filter's values into *ret (zeroed by the caller). */
[[nodiscard]] int image_filter(struct cli *c, const struct option_list *given,
			       struct svc_image_filter *ret, struct err *e);

/*
 * Progress of something long on a terminal's last line; silent elsewhere. The line is gone when
 * the verb ends (image_progress_end).
 */
struct image_progress {
	struct svc_progress progress;
	int64_t shown; /* CLOCK_MONOTONIC ns of the last line */
	bool tty, open;
};
void image_progress_init(struct image_progress *p);
void image_progress_end(struct image_progress *p);

/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown while layers come or go: bars on a terminal, lines, or JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "svc/image_pull.h"

struct transfer {
	int fd; /* borrowed */
	enum { TRANSFER_NONE, TRANSFER_PLAIN, TRANSFER_BARS, TRANSFER_JSON } how;
	bool push;
	size_t lines; /* of bars: one a layer, above the cursor */
	nsec_t shown; /* when something went on was told the last time */
};

/* progress: "auto" (also NULL), "plain", "json" or "none". Fails: INVALID another word. */
[[nodiscard]] int transfer_init(struct transfer *v, int fd, const char *progress, bool push,
				struct err *e);
/* user: struct transfer */
void transfer_told(void *user, const struct svc_layer_step *step);

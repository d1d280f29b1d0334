/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry is given (distribution specification 1.1, "Push"): blobs, some at a time, and
 * documents. A blob is asked for first; where another repository is known to have it, it is mounted
 * from there; else it is sent as a whole, and begun anew where that fails.
 */
#pragma once

#include "registry/http.h"

#define UPLOAD_MOST 512 /* requests that were not answered yet */

struct uploader {
	struct registry *of; /* borrowed */
	CURLM *multi;
	struct upload *first, *last; /* as they were asked for */
	unsigned int n;
};

[[nodiscard]] int uploader_init(struct uploader *p, struct registry *g, struct err *e);
/* Takes the file, also where it fails. */
[[nodiscard]] int uploader_add(struct uploader *p, const struct registry_request *q, int file,
			       struct err *e);
/* Does what there is to do, and waits for more to come, there or on the socket. */
[[nodiscard]] int uploader_run(struct uploader *p, int sock, bool *ret_asked, struct err *e);

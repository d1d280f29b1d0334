/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry is given (distribution specification 1.1, "Push"): one thing after another. */
#pragma once

#include "registry/http.h"

/* A blob (what: "sha256:...") of so many bytes, from the file's start, unless it is there. */
[[nodiscard]] int upload_blob(struct registry *g, const char *what, int file, uint64_t bytes,
			      bool *ret_existed, struct err *e);
/* A document (what: "manifests/latest") of this media type. */
[[nodiscard]] int upload_document(struct registry *g, const char *what, const char *type, int file,
				  uint64_t bytes, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making one image: its layers are unpacked side by side in tmp, each upon those before it, and
 * verified; then, in one go, everything is synced, moved to its place and recorded. Until then
 * nothing of it is visible, whatever happens.
 *
 *	build_init, build_layer ..., build_finish (or not), build_fini
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "fmt/oci_image.h"
#include "image/content.h"
#include "image/worker.h"

/* Where a layer's bytes are, and what they are claimed to be. */
struct build_source {
	int fd; /* borrowed */
	bool range;
	uint64_t off, size;
	const struct digest *diff;   /* of the tar, or NULL: whatever it is */
	const struct digest *packed; /* of the bytes, or NULL */
	const char *tmp_name; /* the bytes are this file of tmp already, which is taken; or NULL */
};

struct build_layer {
	struct digest chain, diff, blob;
	enum unpack_format format;
	uint64_t blob_size, size;
	bool existed;
	int dir_fd; /* owned: of the stage, or of the layer that is there already */
	char stage[CONTENT_NAME_MAX], blob_tmp[CONTENT_NAME_MAX]; /* in tmp; "" when existed */
};

struct build {
	struct content *content; /* borrowed */
	struct build_layer layers[OCI_LAYERS_MAX];
	size_t n;
};

/* struct build is large: on the heap. Gives; NULL when out of memory. */
struct build *build_new(struct content *c);
void build_free(struct build *b); /* drops what was not finished; NULL is fine */

/* Lay an existing image's layers beneath. */
[[nodiscard]] int build_base(struct build *b, const struct digest *chains, size_t n, struct err *e);
/* Unpack the next layer, unless it is there. Fails as worker_unpack; INVALID on a wrong digest. */
[[nodiscard]] int build_layer(struct build *b, const struct build_source *src, struct err *e);

/* A layer that is a directory of tmp by now, and the tar of it, which is hashed. Both are taken. */
struct build_made {
	const char *stage, *blob; /* names in tmp */
	struct digest diff;
	uint64_t bytes, file_bytes; /* of the tar; of the files in it */
};
[[nodiscard]] int build_made(struct build *b, const struct build_made *m, struct err *e);

/*
 * The image of these layers with this configuration (whose diff ids are the layers'): synced,
 * visible, recorded, named. manifest: blob of the content or NULL. Gives the image's id.
 */
[[nodiscard]] int build_finish(struct build *b, struct str config, const struct digest *manifest,
			       const char *const *names, size_t names_n, struct digest *ret_id,
			       bool *ret_existed, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a user typed to an image that can be run: its id, its decoded configuration and its
 * layers as open directories. On the start path of every workload: one query, no hashing.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/digest.h"
#include "fmt/oci_image.h"
#include "fmt/reference.h"
#include "store/image.h"

struct store;

struct image {
	struct arena arena; /* holds all below */
	struct digest id;
	char id_text[DIGEST_TEXT_MAX];	 /* "sha256:HEX" */
	char name[REFERENCE_MAX];	 /* the stored reference it was found by, "" when by id */
	struct store_image row;		 /* names, size, chains */
	struct oci_image_config *config; /* decoded row.config */
};

/*
 * `text`: a reference ("debian" means debian:latest), an id or a prefix of one. A name wins over an
 * id, docker.io's over what registries.conf(5) says of a name without a registry. Gives an image to
 * be freed with image_free. Fails: NOT_FOUND (says how to get one), CONFLICT (ambiguous prefix),
 * INVALID (no reference).
 */
[[nodiscard]] int image_resolve(struct store *s, const char *text, struct image **ret_image,
				struct err *e);
void image_free(struct image *im);
static inline void image_freep(struct image **im)
{
	image_free(*im);
}
#define auto_image __attribute__((cleanup(image_freep)))

/*
 * The directories of its layers, in overlayfs order of lowerdir+: the topmost first. O_PATH
 * descriptors in ret_fds[0..image->row.chains_n), owned by the caller; room for OCI_LAYERS_MAX.
 * Fails: NOT_FOUND when a layer's directory is missing (says: system repair, or load again).
 */
[[nodiscard]] int image_layer_fds(struct store *s, const struct image *im, int *ret_fds,
				  size_t *ret_n, struct err *e);

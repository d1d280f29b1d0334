/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of images, their names, their layers and who holds them. An image is its
 * configuration: its id is the digest of those bytes. Layers are shared; the directory of a layer
 * (paths.h) exists, complete, before its row does, and its row is gone before the directory is.
 * Not the bytes themselves: image/store.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"

struct store;

struct store_image {
	struct digest id;
	struct str config;     /* the bytes whose digest is id */
	nsec_t created;	       /* as the configuration says; 0 when it does not */
	nsec_t added;	       /* when this store got it */
	uint64_t size;	       /* of all its layers on disk, bytes */
	struct digest *chains; /* bottom to top */
	size_t chains_n;
	bool has_manifest;
	struct digest manifest; /* the blob it came by, when it came with one */
	const char **names;	/* stored references, sorted; NULL-terminated */
	size_t names_n;
	uint64_t pins; /* workloads that hold it */
};

struct store_layer {
	struct digest chain, diff, blob;
	const char *media_type; /* of the blob */
	uint64_t blob_size, size;
	uint64_t images; /* how many use it */
};

/* By stored reference. NOT_FOUND without a message of its own: *ret_found tells. */
[[nodiscard]] int store_image_by_name(struct store *s, struct arena *a, const char *name,
				      struct store_image *ret_image, bool *ret_found,
				      struct err *e);
/* By a prefix of the hex id; CONFLICT when several images begin so. */
[[nodiscard]] int store_image_by_prefix(struct store *s, struct arena *a, struct str hex,
					struct store_image *ret_image, bool *ret_found,
					struct err *e);
/* All, newest first. */
[[nodiscard]] int store_image_list(struct store *s, struct arena *a,
				   struct store_image **ret_images, size_t *ret_n, struct err *e);

/*
 * Record an image and its names in one transaction; a name that meant another image moves.
 * Gives in *ret_new whether the image was unknown before. Layers must be recorded.
 */
[[nodiscard]] int store_image_add(struct store *s, const struct store_image *image, bool *ret_new,
				  struct err *e);
[[nodiscard]] int store_image_tag(struct store *s, const struct digest *id, const char *name,
				  struct err *e);
/* false in *ret_found when no such name. */
[[nodiscard]] int store_image_untag(struct store *s, const char *name, bool *ret_found,
				    struct err *e);
/*
 * Remove the record and its names; its layers stay until store_layer_sweep. CONFLICT while it is
 * pinned, naming who holds it.
 */
[[nodiscard]] int store_image_remove(struct store *s, const struct digest *id, struct err *e);

#define STORE_PIN_SNAPSHOT "snapshot:"
/* owner: a workload's id, or STORE_PIN_SNAPSHOT and a snapshot's name. Idempotent. NOT_FOUND when
 * the image has gone meanwhile. */
[[nodiscard]] int store_image_pin(struct store *s, const struct digest *id, const char *owner,
				  struct err *e);
/* All pins of an owner. */
[[nodiscard]] int store_image_unpin(struct store *s, const char *owner, struct err *e);
/* Who holds it, NULL-terminated. */
[[nodiscard]] int store_image_pins(struct store *s, struct arena *a, const struct digest *id,
				   const char ***ret_owners, size_t *ret_n, struct err *e);

[[nodiscard]] int store_layer_get(struct store *s, struct arena *a, const struct digest *chain,
				  struct store_layer *ret_layer, bool *ret_found, struct err *e);
[[nodiscard]] int store_layer_add(struct store *s, const struct store_layer *layer, struct err *e);
/* The same layer in another blob: blob, media_type and blob_size of *layer count. */
[[nodiscard]] int store_layer_repack(struct store *s, const struct store_layer *layer,
				     struct err *e);
[[nodiscard]] int store_layer_list(struct store *s, struct arena *a,
				   struct store_layer **ret_layers, size_t *ret_n, struct err *e);
/* Remove the rows no image uses. */
[[nodiscard]] int store_layer_sweep(struct store *s, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of images on disk: blobs and layers by digest, and what is being made in ROOT/tmp. Who
 * adds holds the content shared, who sweeps holds it alone, both by an flock on ROOT/layers that a
 * crash releases: so whatever no record names is rubbish to a sweeper, and nothing to an adder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "store/store.h"

struct content {
	struct store *store;		 /* borrowed */
	int layers_fd, blobs_fd, tmp_fd; /* owned; the lock is on layers_fd */
	unsigned count;			 /* of temporary names given out */
};

enum content_use { CONTENT_READ, CONTENT_ADD, CONTENT_SWEEP };
#define CONTENT_NAME_MAX 80

/* Fails: DENIED where the state directory cannot be written (ADD); CONFLICT in use (SWEEP). */
[[nodiscard]] int content_open(struct content *c, struct store *s, enum content_use use,
			       struct err *e);
void content_close(struct content *c);
#define auto_content __attribute__((cleanup(content_close)))

/* A name in tmp nobody has: "image-PID-N-what". */
void content_tmp_name(struct content *c, const char *what, char ret_name[static CONTENT_NAME_MAX]);
/* A new file in tmp, open for reading and writing; gives the descriptor. */
[[nodiscard]] int content_tmp_file(struct content *c, char ret_name[static CONTENT_NAME_MAX],
				   struct err *e);
/* Remove from tmp, whatever it is; nothing to say if it fails, the sweeper tries again. */
void content_tmp_drop(struct content *c, const char *name);

/*
 * The file of tmp in which a blob of this digest is being fetched, as far as it came when that was
 * last tried; nobody else has it while the descriptor is open. Gives the descriptor.
 */
[[nodiscard]] int content_part_open(struct content *c, const struct digest *d,
				    char ret_name[static CONTENT_NAME_MAX], uint64_t *ret_bytes,
				    struct err *e);
/* One more name in tmp for it, that nobody has. */
[[nodiscard]] int content_tmp_link(struct content *c, const char *name,
				   char ret_name[static CONTENT_NAME_MAX], struct err *e);

/* A file of tmp becomes the blob of this digest (the caller has hashed it). */
[[nodiscard]] int content_blob_keep(struct content *c, const char *tmp_name, const struct digest *d,
				    struct err *e);
[[nodiscard]] int content_blob_put(struct content *c, struct str text, struct digest *ret_d,
				   struct err *e);
/* Gives a descriptor to read from. NOT_FOUND. */
[[nodiscard]] int content_blob_open(struct content *c, const struct digest *d, uint64_t *ret_size,
				    struct err *e);

/* The disk of the image whose topmost layer has this chain id, for reading: gives; -ENOENT. */
[[nodiscard]] int content_disk_open(struct content *c, const struct digest *chain);
/* A file of tmp becomes it, synced. */
[[nodiscard]] int content_disk_keep(struct content *c, int fd, const char *tmp_name,
				    const struct digest *chain, struct err *e);

/*
 * Wait for, and hold, the making of one thing (an image), so that others who want the same wait and
 * then find it. One at a time per process. Gives a descriptor to close.
 */
[[nodiscard]] int content_lock(struct content *c, const struct digest *what, struct err *e);

/*
 * Everything no record names goes: rows of layers, their directories, blobs, disks, tmp. Needs
 * SWEEP.
 */
[[nodiscard]] int content_sweep(struct content *c, uint64_t *ret_bytes, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of svc/image: results, names, events. Not for callers of svc. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "fmt/oci_image.h"
#include "svc/image.h"

void image_result_init(struct svc_image_result *r);
[[nodiscard]] int image_result_add(struct svc_image_result *r, const struct digest *id,
				   const char *const *stored_names, size_t n, bool existed,
				   struct err *e);

/* This machine's architecture as images call it: "amd64". */
const char *image_architecture(void);

/* A record that something was done to an image; name (stored) may be NULL. */
[[nodiscard]] int image_event(struct store *s, const char *action, const struct digest *id,
			      const char *name, struct err *e);

/* "name" or "name:tag" into the stored form, the tag defaulted; INVALID with a digest. */
[[nodiscard]] int image_stored_name(const char *text, char ret_name[static REFERENCE_MAX],
				    struct err *e);

/* Records of these images, but of those in use, and what they alone need. */
struct svc_image_removed;
[[nodiscard]] int image_remove_all(struct svc *s, const struct digest *ids, size_t n,
				   struct svc_image_removed *out, struct err *e);

/*
 * Its files as a mount of their own, read-only, for programs that read them. empty_fd: an empty
 * directory beneath an only layer, FD_NONE: that layer as it is. Gives.
 */
struct image;
[[nodiscard]] int image_tree(struct svc *s, const struct image *im, int empty_fd, int *ret_fd,
			     struct err *e);

/* SOURCE_DATE_EPOCH in seconds where it is set; else the default. */
[[nodiscard]] int image_epoch(int64_t otherwise, int64_t *ret_epoch, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a user calls an image to the registry that has it, by registries.conf(5): short names,
 * mirrors, other locations, what is blocked. For svc's files on registries, not for its callers.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "fmt/reference.h"
#include "image/registry.h"
#include "svc/image_pull.h"

struct image_trust;

/* That of a whole name, as who the user is there, whatever options say of that. Gives. */
[[nodiscard]] int image_registry_open(const char *name, const struct registry_options *options,
				      struct registry **ret_g, struct err *e);
/*
 * The same of a name that something is sent to, or only a host's: no mirrors. Fails: DENIED where
 * it is blocked.
 */
[[nodiscard]] int image_registry_may(const char *name, bool *no_verify, struct err *e);

struct image_found {
	struct reference ref;	   /* what is meant */
	struct reference at;	   /* where it is */
	struct registry *registry; /* gives */
	char type[REGISTRY_TYPE_MAX];
	bool chosen; /* of several, by the user */
};
/*
 * The first place that has the manifest (or index) of req->image: gives that in `text`, checked
 * where a digest was asked for. Names that trust refuses are not asked for. Fails as that place
 * which was tried the last; the message names each.
 */
[[nodiscard]] int image_find(const struct svc_image_pull *req, const struct image_trust *trust,
			     struct buf *text, struct image_found *ret, struct err *e);

/* Whether the bytes are those of the digest. Fails: INVALID. */
[[nodiscard]] int image_check(const char *what, struct str text, const struct digest *want,
			      uint64_t size, struct err *e);

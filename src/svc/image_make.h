/* SPDX-License-Identifier: Apache-2.0 */
/* An image of one layer from a root file system's tar: what import and bootstrap share. */
#pragma once

#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "image/content.h"
#include "svc/image.h"

struct image_tree {
	struct content *content; /* borrowed, open to add */
	int fd;			 /* borrowed: the tar, read from its position */
	const char *name;	 /* stored reference, or NULL */
	const char *comment, *created_by;
	const char *platform; /* or NULL: this machine's */
	const char *const *changes;
	size_t changes_n;
	nsec_t created;
};
[[nodiscard]] int image_from_tree(struct svc *s, const struct image_tree *t,
				  struct svc_image_result *ret_result, struct err *e);

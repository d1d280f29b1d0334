/* SPDX-License-Identifier: Apache-2.0 */
/* Making images: what import and bootstrap share, and what commit and build do. */
#pragma once

#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "fmt/oci_image.h"
#include "image/content.h"
#include "svc/image.h"

/* An image of one layer from a root file system's tar. */
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

/* An image of the layers of another one, and one more. */
struct image_step {
	struct content *content; /* borrowed, open to add */
	const struct digest *chains;
	size_t chains_n;
	int upper_fd;	       /* borrowed: an overlay's upper directory; FD_NONE: no more layer */
	const char *upper_tmp; /* its name in the content's tmp, where it may be taken; or NULL */
	int64_t mtime_max; /* seconds: later times of files become this; INT64_MAX: as they are */
	const struct oci_image_config *config; /* but for the layers */
	const char *const *names;	       /* stored references to give */
	size_t names_n;
};
[[nodiscard]] int image_step(const struct image_step *t, struct digest *ret_id, bool *ret_existed,
			     struct err *e);

/* One more line of its history, in the arena. */
[[nodiscard]] int image_history_add(struct arena *a, struct oci_image_config *c,
				    const struct oci_history *h, struct err *e);

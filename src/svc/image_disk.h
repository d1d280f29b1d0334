/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All files of an image as one disk: a read-only EROFS image, uncompressed, for machines that mount
 * it as the bottom of their root file system. Made once per image, by mkfs.erofs, when first asked
 * for; removed with the image.
 */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "svc/svc.h"

struct image;	       /* image/resolve.h */
struct svc_image_save; /* svc/image.h */

/*
 * Owners, modes, times, extended attributes, hard links and device nodes are the image's; whiteouts
 * are resolved. Gives the file for reading: a multiple of 4096 bytes. UNSUPPORTED: mkfs.erofs is
 * not installed, or the image has no layers; TIMEOUT: the deadline passed while it was made.
 */
[[nodiscard]] int image_disk(struct svc *s, const struct image *im, nsec_t deadline, int *ret_fd,
			     struct err *e);

/* Written to req->out_fd: of exactly one image. */
[[nodiscard]] int image_disk_save(struct svc *s, const struct svc_image_save *req, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's state on its way through a descriptor that the other side has chosen: written until
 * all of it is gone, or read until the end of the stream, by a loop, never waited for.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/loop.h"

struct vhost_transfer {
	struct loop_source source;
	int fd;		/* owned; FD_NONE: none under way */
	bool writes;	/* bytes go out; else they come in */
	size_t written; /* of bytes */
	struct buf bytes;
	/* fd is closed after it. error: 0, or -errno (-EFBIG: more than VHOST_STATE_MAX). */
	void (*ended)(struct vhost_transfer *t, int error);
};

void vhost_transfer_init(struct vhost_transfer *t,
			 void (*ended)(struct vhost_transfer *t, int error));
/*
 * Takes fd. What is in t->bytes goes out, or bytes come in there. `ended` may be called before it
 * returns. 0, or -errno: it has not begun.
 */
[[nodiscard]] int vhost_transfer_begin(struct vhost_transfer *t, struct loop *l, int fd,
				       bool writes);
void vhost_transfer_fini(struct vhost_transfer *t); /* stopped, if it is under way */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of the guest's memory a back end has changed: memory that both sides have mapped, in
 * which it sets a bit per page (guest_memory.changed) and the front end takes them away. The front
 * end makes it, so that nobody can cut it, and believes no bit outside of the guest's memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/memory.h"

struct vhost_log { /* {}: none */
	void *map; /* owned, map_n bytes */
	size_t map_n;
	uint8_t *bits;
	uint64_t bytes; /* of bits */
};

/* One for all of that memory; *ret_fd is given, for the other side. 0 or -errno. */
[[nodiscard]] int vhost_log_make(struct vhost_log *l, const struct guest_memory *m, int *ret_fd);
/* The other side's: `size` bytes at `offset` of fd (borrowed). 0; -EINVAL it is no such; -errno. */
[[nodiscard]] int vhost_log_map(struct vhost_log *l, int fd, uint64_t size, uint64_t offset);
/* Whether there is a bit for each page of that memory. */
bool vhost_log_covers(const struct vhost_log *l, const struct guest_memory *m);
/* The bits that are set become changes of that memory, and are set no more. */
void vhost_log_collect(struct vhost_log *l, const struct guest_memory *m);
void vhost_log_fini(struct vhost_log *l);

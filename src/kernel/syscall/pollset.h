/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for one of many files: what poll(2) and select(2) share. Of syscall/ alone. */
#pragma once

#include "kernel/vfs/file.h"

struct poll_one {
	struct file *file; /* owned; NULL: nothing is asked */
	struct waiter waiter;
	unsigned int wanted; /* POLL* */
	unsigned int ready;  /* POLL* there is of it, and POLLERR, POLLHUP, POLLNVAL */
};

/* NULL: no memory. */
[[nodiscard]] struct poll_one *pollset_new(size_t n);
void pollset_free(struct poll_one *p, size_t n);
/* How many are ready, 0 at the deadline; 0: it does not wait. -ERESTARTSYS. Those whose `ready` is
 * set before count. */
[[nodiscard]] int64_t pollset_wait(struct poll_one *p, size_t n, nsec_t deadline);

/* SPDX-License-Identifier: Apache-2.0 */
/* Code of the guest's that the platform makes quicker: plat_patch(). */
#pragma once

#include "kernel/core/types.h"

struct space;

/* From before `behind` a call has come; if it is in code of one's own that is not written to, and
 * the platform has something for it, that is there from now on. May park. */
void space_patch(struct space *s, uint64_t behind, unsigned int nr);
/* What was patched of [from, to) is as the guest has it, and may be patched again. With its lock.
 * -ENOMEM: not all. */
[[nodiscard]] int space_unpatch(struct space *s, uint64_t from, uint64_t to);

enum space_patched {
	PATCHED_NOTHING,
	PATCHED_CALL,	 /* a call's, before it was patched */
	PATCHED_NO_MORE, /* it was so a moment ago: what was there is there by now */
};
/* What was no instruction at `at`. May park. */
enum space_patched space_patched(struct space *s, uint64_t at);

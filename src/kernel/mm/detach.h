/* SPDX-License-Identifier: Apache-2.0 */
/* shmdt(2): a mapping goes by what it maps, in whatever pieces it is by now. */
#pragma once

#include "kernel/core/types.h"

struct pager_ops;
struct space;

/*
 * What was mapped at `at` of a pager of this kind, from its first page on, is unmapped. What
 * stands between its pieces stays. -EINVAL: none of it is there.
 */
[[nodiscard]] int space_detach(struct space *s, uint64_t at, const struct pager_ops *kind);

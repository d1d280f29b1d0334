/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a machine's generation ("Virtual Machine Generation ID", Microsoft, 2012):
 * sixteen random bytes in the guest's memory that are others after each restore of a snapshot, so
 * that a guest knows that what it drew by lot, another may have too.
 */
#pragma once

#include "base/err.h"
#include "virtio/memory.h"

/* At LAYOUT_GENERATION. */
[[nodiscard]] int generation_renew(const struct guest_memory *m, struct err *e);

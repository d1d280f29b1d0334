/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process gives up before the guest runs: namespaces, its root directory, its user, all
 * capabilities. Filters of system calls come after it, by thread (vmm/filter.h). While there is
 * one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct jail {
	bool set_ids;
	uint32_t uid, gid;
};

/* DENIED says what to do about it. */
[[nodiscard]] int jail_enter(const struct jail *j, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process gives up before the guest runs: descriptors that are not its, namespaces, its
 * root directory, its user, all capabilities. Filters of system calls come after it, by thread
 * (vmm/filter.h). While there is one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* At the very start: close all from 3 on but these. Sorts them. */
void jail_close_others(int *keep, size_t keep_n);

struct jail {
	bool set_ids;
	uint32_t uid, gid;
};

/* DENIED says what to do about it. */
[[nodiscard]] int jail_enter(const struct jail *j, struct err *e);

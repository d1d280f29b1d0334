/* SPDX-License-Identifier: Apache-2.0 */
/* What the process gives up before anything of the guest's is looked at. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct jail {
	bool set_ids;
	bool own_ids; /* those of nobody, by the process' number */
	uint32_t uid, gid;
	/* Who stands for it (below) stays in the network namespace of the caller, where others look
	 * for what is the sandbox's. */
	bool network_stays;
};

/*
 * Namespaces of its own (user, mounts, network, ipc, host name, cgroups), an empty root, no
 * capability, no core files, Landlock, no_new_privs. While there is one thread.
 *
 * Unless the caller is number 1 of its pid namespace already the rest of the program goes on in a
 * child that is: this process gives everything up, waits for that one and ends as it does, and
 * either dies with the other. Signals that it gets are handed on: a byte each, from
 * *ret_signals (gives; FD_NONE: there is no such process). DENIED says what to do about it.
 */
[[nodiscard]] int jail_enter(const struct jail *j, int *ret_signals, struct err *e);

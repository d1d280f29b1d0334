/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of containers-policy.json(5), as podman looks for it: $ATOLL_POLICY, or
 * ~/.config/containers/policy.json, or /etc/containers/policy.json. Only the first that is there.
 */
#pragma once

#include "base/err.h"
#include "fmt/policy.h"

/*
 * p as POLICY_INIT; to be ended also where it fails. Without a file (p->file is NULL) anything is
 * accepted. Fails: INVALID; one that is there and cannot be read is not passed over.
 */
[[nodiscard]] int policy_read(struct policy *p, struct err *e);

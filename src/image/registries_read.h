/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of containers-registries.conf(5), as podman reads them: $CONTAINERS_REGISTRIES_CONF,
 * or ~/.config/containers/registries.conf, or /etc/containers/registries.conf; upon it
 * /etc/containers/registries.conf.d/X.conf, then those of ~/.config/containers, by their names; and
 * the aliases that were chosen, which podman and we keep in one file.
 */
#pragma once

#include "base/err.h"
#include "fmt/registries.h"

/* c as REGISTRIES_INIT; to be ended also where it fails. Files that are not there say nothing. */
[[nodiscard]] int registries_read(struct registries *c, struct err *e);
/* Which registry a short name was chosen of. */
[[nodiscard]] int registries_keep_alias(const char *name, const char *value, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* What prune verbs print. */
#pragma once

#include "cli/cli.h"
#include "svc/workload.h"

void prune_print(struct cli *c, const char *title, const struct prune_result *gone);
void prune_print_total(struct cli *c, uint64_t bytes);

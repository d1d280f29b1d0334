/* SPDX-License-Identifier: Apache-2.0 */
/* What prune verbs have in common: options, a question, what they print. */
#pragma once

#include "cli/cli.h"
#include "svc/workload.h"

struct prune_options { /* a verb's table offers what it has of them */
	bool all, force;
	struct option_list filter;
};

#define PRUNE_ALL OPTION_ITEM_(struct prune_options, all, OPTION_BOOL, "all", 'a')
#define PRUNE_FORCE                                                                                \
	OPTION_ITEM_(struct prune_options, force, OPTION_BOOL, "force", 'f'),                      \
		.help = "Do not prompt for confirmation"
#define PRUNE_FILTER                                                                               \
	OPTION_ITEM_(struct prune_options, filter, OPTION_LIST, "filter", 0), .value = "filter"

struct prune_kind {
	const char *of_all, *of_unused; /* "WARNING! This will remove ..." */
	const char *title;		/* "Deleted Volumes:" */
	int (*prune)(struct cli *c, const struct prune_options *o, struct prune_result *ret,
		     struct err *e);
};

/* Asks, has it done, says what it was; gives the verb's exit status. */
[[nodiscard]] int prune_run(struct cli *c, const struct prune_kind *kind,
			    const struct prune_options *o);

void prune_print(struct cli *c, const char *title, const struct prune_result *gone);
void prune_print_total(struct cli *c, uint64_t bytes);

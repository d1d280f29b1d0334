/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/user.h"

#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/user.h"

/* Say what they say from the program alone. */
static const struct verb *const of_the_program[] = { &verb_version, &verb_completion, &verb_man };

/* Tools of theirs want to be root of the machine. */
static const struct verb *const of_root[] = { &verb_compare, &verb_image_bootstrap,
					      &verb_checkpoint_create, &verb_restore };

static bool listed(const struct verb *v, const struct verb *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v == list[i])
			return true;
	}
	return false;
}

int cli_user(struct cli *c)
{
	/* As docker: of these a 1 would be the workload's own. */
	bool runs = c->verb == &verb_run || c->verb == &verb_create || c->verb == &verb_exec;
	int failed = CLI_OK;
	struct err e;

	if (geteuid() == 0 || listed(c->verb, of_the_program, ARRAY_SIZE(of_the_program)))
		return CLI_OK;
	if (listed(c->verb, of_root, ARRAY_SIZE(of_root)))
		failed = cli_failf(c, "'%s' needs root; for ordinary users it is not supported",
				   c->path);
	else if (user_enter(&c->svc.paths, &c->user_fd, &e) < 0)
		failed = cli_fail(c, &e);
	return failed != CLI_OK && runs ? CLI_USAGE : failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine fits: by name, by what the machine offers, by what the spec asks. Pure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/engine.h"

const struct engine_ops *engine_find(const char *name)
{
	for (size_t i = 0; engine_table[i]; i++) {
		if (streq(engine_table[i]->name, name))
			return engine_table[i];
	}
	return NULL;
}

static void list_names(char *text, size_t max)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; engine_table[i] && n < max; i++)
		n += (size_t) snprintf(text + n, max - n, "%s%s", i ? ", " : "",
				       engine_table[i]->name);
}

static int fits(const struct engine_ops *ops, const struct host *h, const struct spec *s,
		struct engine_caps *ret_caps, struct err *e)
{
	struct engine_caps caps = {};
	int r = ops->probe(h, &caps, e);

	if (r < 0)
		return r;
	if (!caps.usable)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "isolation '%s' does not work on this machine: %s", ops->name,
			       caps.why);
	r = ops->check(&caps, s, e);
	if (r == 0)
		*ret_caps = caps;
	return r;
}

int engine_pick(const char *name, const struct host *h, const struct spec *s,
		const struct engine_ops **ret_ops, struct engine_caps *ret_caps, struct err *e)
{
	const struct engine_ops *ops = engine_find(name && name[0] ? name : "container");
	int r;

	if (!ops) {
		char names[128];

		list_names(names, sizeof(names));
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "no isolation '%.60s' in this build; there is: %s", name, names);
	}
	r = fits(ops, h, s, ret_caps, e);
	if (r == 0) {
		*ret_ops = ops;
		return 0;
	}
	/* Say which would serve, where another one would. */
	for (size_t i = 0; engine_table[i] && e->kind == ERR_UNSUPPORTED; i++) {
		struct engine_caps caps = {};
		struct err other = {};

		if (engine_table[i] != ops && fits(engine_table[i], h, s, &caps, &other) == 0)
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "%s; --isolation=%s would serve", e->msg,
				       engine_table[i]->name);
	}
	return r;
}

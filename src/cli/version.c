/* SPDX-License-Identifier: Apache-2.0 */
/* version: of this program. It opens nothing, so that it tells how quick a start can be. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"

struct options {
	const char *format;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 'f'), .value = "string",
	  .help = "Format output: json or a Go template", .words = "json" },
};

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "unknown"
#endif

/* Docker's shape: there is no server, so that scripts asking for one get the same answer. */
static struct json *describe(struct arena *a)
{
	struct json *root = row_new(a), *me = row_new(a);

	row_text(a, me, "Version", ATOLL_VERSION);
	row_text(a, me, "Os", "linux");
	row_text(a, me, "Arch", ARCH);
	row_text(a, me, "OciVersion", "1.2.0");
	if (!root || !me)
		return NULL;
	row_value(a, root, "Client", *me);
	row_value(a, root, "Server", *me);
	return root;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	auto_format struct format f = { 0 };
	const struct json *row;
	struct err e;
	int r;

	(void) args;
	if (!o->format) {
		buf_adds(&c->out, "atoll " ATOLL_VERSION " linux/" ARCH "\n");
		return CLI_OK;
	}
	row = describe(&c->arena);
	r = format_init(&f, &c->arena, o->format, "{{json .}}", NULL, 0, &e);
	if (r == 0 && row)
		r = format_row(&f, row, NULL, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_version = {
	.usage = "[OPTIONS]",
	.summary = "Show the version",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.run = run,
};

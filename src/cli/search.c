/* SPDX-License-Identifier: Apache-2.0 */
/* search: images of registries. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/image_search.h"

#define DESCRIPTION_MAX 45 /* characters, as docker has it */

struct options {
	bool no_trunc, tls_verify;
	const char *format;
	int64_t limit;
	struct option_list filter;
};

static const struct options defaults = { .tls_verify = true, .limit = 25 };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Filter output based on conditions provided (is-official=, is-automated=, "
		  "stars=)",
	  .words = "is-official=true is-official=false is-automated=true is-automated=false "
		   "stars=" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct options, limit, OPTION_INT, "limit", 0), .value = "int", .min = 1,
	  .max = SVC_SEARCH_MOST, .help = "Max number of search results (default 25)" },
	{ OPTION_ITEM_(struct options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Don't truncate output" },
	{ OPTION_ITEM_(struct options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Ask for TLS and a certificate that can be verified (default true)" },
};

static const struct format_column columns[] = {
	{ "Description", "DESCRIPTION" }, { "Index", "INDEX" }, { "IsAutomated", "AUTOMATED" },
	{ "IsOfficial", "OFFICIAL" },	  { "Name", "NAME" },	{ "StarCount", "STARS" },
};

static struct json *make_row(struct arena *a, const struct svc_search_hit *h, bool trunc)
{
	struct json *row = row_new(a);

	row_text(a, row, "Description",
		 trunc ? human_ellipsis(a, h->description, DESCRIPTION_MAX) : h->description);
	row_text(a, row, "Index", h->index);
	row_text(a, row, "IsAutomated", h->automated ? "[OK]" : "");
	row_text(a, row, "IsOfficial", h->official ? "[OK]" : "");
	row_text(a, row, "Name", h->name);
	row_textf(a, row, "StarCount", "%llu", (unsigned long long) h->stars);
	return row;
}

static bool take_want(const char *value, enum svc_search_want *to)
{
	bool yes = streq(value, "true") || streq(value, "1");

	*to = yes ? SVC_SEARCH_ONLY : SVC_SEARCH_NOT;
	return yes || streq(value, "false") || streq(value, "0");
}

static int take_filter(const char *text, struct svc_search *q, struct err *e)
{
	const char *value = strchr(text, '=');
	bool good = false;

	if (!value)
		return err_set(e, ERR_INVALID, EINVAL, "--filter '%.60s': write NAME=VALUE", text);
	value++;
	if (str_starts(str_of(text), "is-official="))
		good = take_want(value, &q->official);
	else if (str_starts(str_of(text), "is-automated="))
		good = take_want(value, &q->automated);
	else if (str_starts(str_of(text), "stars="))
		good = num_parse_u64(str_of(value), 0, UINT64_MAX, &q->stars) == 0;
	else
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid filter '%.60s': is-official, is-automated and stars are "
			       "known",
			       text);
	return good ? 0
		    : err_set(e, ERR_INVALID, EINVAL,
			      "--filter '%.60s': true or false is wanted, or of stars a number",
			      text);
}

static int print(struct cli *c, const struct options *o, const struct svc_searched *found,
		 struct err *e)
{
	auto_format struct format f = { 0 };
	int r = format_init(&f, &c->arena, o->format,
			    "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
			    columns, ARRAY_SIZE(columns), e);

	for (size_t i = 0; r == 0 && i < found->n; i++)
		r = format_row(&f, make_row(&c->arena, &found->items[i], !o->no_trunc), NULL,
			       &c->out, e);
	return r < 0 ? r : format_end(&f, &c->out, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct svc_search q = { .term = args.argv[0],
				.limit = (uint64_t) o->limit,
				.no_verify = !o->tls_verify };
	struct svc_searched found;
	struct err e;
	int r = 0;

	for (size_t i = 0; i < o->filter.n && r == 0; i++)
		r = take_filter(o->filter.items[i], &q, &e);
	if (r == 0)
		r = svc_image_search(&c->svc, &q, &found, &e);
	if (r < 0)
		return cli_fail(c, &e);
	r = print(c, o, &found, &e);
	svc_searched_fini(&found);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_search = {
	.usage = "[OPTIONS] [HOST[:PORT]/]TERM",
	.summary = "Search registries for images",
	.about = "Of the registry that the term begins with; without one of those that "
		 "registries.conf(5) has as unqualified-search-registries, or of docker.io. A "
		 "registry that has no search of its own (/v1/search) is asked for the list of its "
		 "repositories, if it gives that, and those are shown that have the term in their "
		 "names; HOST/ alone shows all. The names are those that 'atoll pull' takes.",
	.example = "atoll search --filter is-official=true debian\n"
		   "atoll search registry.example.com:5000/team",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = 1,
	.run = run,
};

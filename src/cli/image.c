/* SPDX-License-Identifier: Apache-2.0 */
/* images, and the small verbs of `image`: rm, tag, history, inspect, prune, bootstrap. */
#include "cli/image.h"

#include <errno.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/times.h"
#include "cli/verbs.h"

int image_filter(struct cli *c, const struct option_list *given, struct svc_image_filter *ret,
		 struct err *e)
{
	struct option_list references = { 0 }, labels = { 0 };

	for (size_t i = 0; i < given->n; i++) {
		const char *text = given->items[i], *value = strchr(text, '=');
		struct option_list *to = NULL;
		const char **slot;

		if (!value)
			return err_set(e, ERR_INVALID, EINVAL, "--filter '%.60s': write NAME=VALUE",
				       text);
		value++;
		if (str_starts(str_of(text), "reference=")) {
			to = &references;
		} else if (str_starts(str_of(text), "label=")) {
			to = &labels;
		} else if (str_starts(str_of(text), "before=")) {
			ret->before = value;
		} else if (str_starts(str_of(text), "since=")) {
			ret->since = value;
		} else if (str_starts(str_of(text), "until=")) {
			if (time_parse("--filter until=", value, clock_wall(), &ret->until, e) < 0)
				return -1;
		} else if (streq(text, "dangling=true") || streq(text, "dangling=1")) {
			ret->dangling = SVC_DANGLING_ONLY;
		} else if (streq(text, "dangling=false") || streq(text, "dangling=0")) {
			ret->dangling = SVC_DANGLING_NOT;
		} else {
			return err_set(
				e, ERR_INVALID, EINVAL,
				"invalid filter '%.60s': before, dangling, label, reference, "
				"since and until are known",
				text);
		}
		slot = to ? arena_push(&c->arena, &to->items, &to->n, sizeof(*slot)) : NULL;
		if (to && !slot)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many filters");
		if (slot)
			*slot = value;
	}
	ret->references = references.items;
	ret->references_n = references.n;
	ret->labels = labels.items;
	ret->labels_n = labels.n;
	return 0;
}

/* ---- images ---- */

struct ls_options {
	bool all, digests, no_trunc, quiet;
	const char *format;
	struct option_list filter;
};

static const struct option ls_table[] = {
	{ OPTION_ITEM_(struct ls_options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Show all images (default hides intermediate images)" },
	{ OPTION_ITEM_(struct ls_options, digests, OPTION_BOOL, "digests", 0),
	  .help = "Show digests" },
	{ OPTION_ITEM_(struct ls_options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Filter output based on conditions provided",
	  .words = "reference= label= dangling=true dangling=false before= since= until=" },
	{ OPTION_ITEM_(struct ls_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct ls_options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Don't truncate output" },
	{ OPTION_ITEM_(struct ls_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only show image IDs" },
};

static const struct format_column ls_columns[] = {
	{ "Containers", "CONTAINERS" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedSince", "CREATED" },
	{ "Digest", "DIGEST" },
	{ "ID", "IMAGE ID" },
	{ "Repository", "REPOSITORY" },
	{ "SharedSize", "SHARED SIZE" },
	{ "Size", "SIZE" },
	{ "Tag", "TAG" },
	{ "UniqueSize", "UNIQUE SIZE" },
	{ "VirtualSize", "VIRTUAL SIZE" },
};

static struct json *ls_row(struct arena *a, const struct svc_image_summary *s, const char *name,
			   bool trunc, nsec_t now)
{
	const char *at = name ? strchr(name, '@') : NULL; /* by its digest alone */
	const char *colon = name && !at ? strrchr(name, ':') : NULL;
	struct json *row = row_new(a);

	if (colon && strchr(colon, '/')) /* the port of a registry, no tag */
		colon = NULL;
	row_textf(a, row, "Containers", "%llu", (unsigned long long) s->containers);
	row_text(a, row, "CreatedAt", arena_strdup(a, human_time(s->created).z));
	row_text(a, row, "CreatedSince", arena_strdup(a, human_ago(s->created, now).z));
	row_text(a, row, "Digest", at ? at + 1 : "<none>");
	row_text(a, row, "ID", human_id(a, s->id, trunc));
	if (colon || at)
		row_text(a, row, "Repository",
			 arena_dup(a, (struct str){ name, (size_t) ((at ? at : colon) - name) }));
	else
		row_text(a, row, "Repository", name ? name : "<none>");
	row_text(a, row, "SharedSize", arena_strdup(a, human_size(s->shared_size).z));
	row_text(a, row, "Size", arena_strdup(a, human_size(s->size).z));
	row_text(a, row, "Tag", colon ? colon + 1 : "<none>");
	row_text(a, row, "UniqueSize", arena_strdup(a, human_size(s->unique_size).z));
	row_text(a, row, "VirtualSize", arena_strdup(a, human_size(s->size).z));
	return row;
}

static int ls_print(struct cli *c, const struct ls_options *o, const struct svc_image_list *l,
		    struct err *e)
{
	const char *standard =
		o->quiet     ? "{{.ID}}"
		: o->digests ? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t"
			       "{{.CreatedSince}}\t{{.Size}}"
			     : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t"
			       "{{.Size}}";
	auto_format struct format f = { 0 };
	nsec_t now = clock_wall();
	int r = format_init(&f, &c->arena, o->format, standard, ls_columns, ARRAY_SIZE(ls_columns),
			    e);

	for (size_t i = 0; i < l->n && r == 0; i++) {
		const struct svc_image_summary *s = &l->items[i];
		/* One row a name; ids are wanted once, and so are images without a name. */
		size_t rows = s->names_n && !o->quiet ? s->names_n : 1;

		for (size_t k = 0; k < rows && r == 0; k++)
			r = format_row(&f,
				       ls_row(&c->arena, s, k < s->names_n ? s->names[k] : NULL,
					      !o->no_trunc, now),
				       NULL, &c->out, e);
	}
	return r < 0 ? r : format_end(&f, &c->out, e);
}

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	struct svc_image_filter filter = { 0 };
	const struct ls_options *o = options;
	struct svc_image_list list;
	struct err e;
	int r;

	r = image_filter(c, &o->filter, &filter, &e);
	filter.all = o->all;
	if (args.n) { /* `images debian*`: as one more reference filter */
		filter.references = args.argv;
		filter.references_n = 1;
	}
	if (r == 0)
		r = svc_image_list(&c->svc, &filter, &list, &e);
	if (r < 0)
		return cli_fail(c, &e);
	r = ls_print(c, o, &list, &e);
	svc_image_list_fini(&list);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_images = {
	.usage = "[OPTIONS] [REPOSITORY[:TAG]]",
	.summary = "List images",
	.options = ls_table,
	.options_n = ARRAY_SIZE(ls_table),
	.size = sizeof(struct ls_options),
	.args_max = 1,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = ls_run,
};

/* ---- rm, prune ---- */

struct rm_options {
	bool force, no_prune;
};

static const struct option rm_table[] = {
	{ OPTION_ITEM_(struct rm_options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Force removal of the image" },
	{ OPTION_ITEM_(struct rm_options, no_prune, OPTION_BOOL, "no-prune", 0), .hidden = true,
	  .help = "Accepted for docker's sake: there are no untagged parents" },
};

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct rm_options *o = options;
	struct svc_image_removed gone;
	int r;

	r = svc_image_remove(&c->svc, ref, o->force, &gone, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < gone.n; i++)
		buf_addf(&c->out, "%s: %s\n", gone.items[i].deleted ? "Deleted" : "Untagged",
			 gone.items[i].what);
	svc_image_removed_fini(&gone);
	return 0;
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, false, options, rm_one);
}

const struct verb verb_image_rm = {
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Remove one or more images",
	.options = rm_table,
	.options_n = ARRAY_SIZE(rm_table),
	.size = sizeof(struct rm_options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = rm_run,
};

struct prune_options {
	bool all, force;
	struct option_list filter;
};

static const struct option prune_table[] = {
	{ OPTION_ITEM_(struct prune_options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Remove all unused images, not just dangling ones" },
	{ OPTION_ITEM_(struct prune_options, filter, OPTION_LIST, "filter", 0), .value = "filter",
	  .help = "Provide filter values (e.g. until=<timestamp>)", .words = "until= label=" },
	{ OPTION_ITEM_(struct prune_options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Do not prompt for confirmation" },
};

static int prune_run(struct cli *c, const void *options, struct option_args args)
{
	struct svc_image_filter filter = { 0 };
	const struct prune_options *o = options;
	struct svc_image_removed gone;
	struct err e;
	int r;

	(void) args;
	if (!o->force &&
	    !cli_confirm(c, o->all ? "WARNING! This will remove all images without at least one "
				     "container associated to them."
				   : "WARNING! This will remove all dangling images."))
		return CLI_OK;
	r = image_filter(c, &o->filter, &filter, &e);
	if (r == 0)
		r = svc_image_prune(&c->svc, o->all, &filter, &gone, &e);
	if (r < 0)
		return cli_fail(c, &e);
	if (gone.n)
		buf_adds(&c->out, "Deleted Images:\n");
	for (size_t i = 0; i < gone.n; i++)
		buf_addf(&c->out, "%s: %s\n", gone.items[i].deleted ? "deleted" : "untagged",
			 gone.items[i].what);
	buf_addf(&c->out, "%sTotal reclaimed space: %s\n", gone.n ? "\n" : "",
		 human_size4(gone.reclaimed).z);
	svc_image_removed_fini(&gone);
	return CLI_OK;
}

const struct verb verb_image_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove unused images",
	.options = prune_table,
	.options_n = ARRAY_SIZE(prune_table),
	.size = sizeof(struct prune_options),
	.run = prune_run,
};

/* ---- tag ---- */

static int tag_run(struct cli *c, const void *options, struct option_args args)
{
	struct err e;
	int r;

	(void) options;
	r = svc_image_tag(&c->svc, args.argv[0], args.argv[1], &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_image_tag = {
	.usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = tag_run,
};

/* ---- history ---- */

struct history_options {
	bool human, no_trunc, quiet;
	const char *format;
};

static const struct history_options history_defaults = { .human = true };

static const struct option history_table[] = {
	{ OPTION_ITEM_(struct history_options, format, OPTION_STRING, "format", 0),
	  .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct history_options, human, OPTION_BOOL, "human", 'H'),
	  .help = "Print sizes and dates in human readable format (default true)" },
	{ OPTION_ITEM_(struct history_options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Don't truncate output" },
	{ OPTION_ITEM_(struct history_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only show image IDs" },
};

static const struct format_column history_columns[] = {
	{ "Comment", "COMMENT" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedBy", "CREATED BY" },
	{ "CreatedSince", "CREATED" },
	{ "ID", "IMAGE" },
	{ "Size", "SIZE" },
};

static struct json *history_row(struct arena *a, const struct svc_image_step *s,
				const struct history_options *o, nsec_t now)
{
	const char *by = human_clean(a, s->created_by ? s->created_by : "");
	struct json *row = row_new(a);
	char at[CLOCK_RFC3339_MAX];

	clock_rfc3339(s->created, at);
	row_text(a, row, "Comment", s->comment);
	row_text(a, row, "CreatedAt", arena_strdup(a, at));
	row_text(a, row, "CreatedBy", o->no_trunc ? by : human_ellipsis(a, by, 45));
	row_text(a, row, "CreatedSince",
		 arena_strdup(a, o->human ? human_ago(s->created, now).z : at));
	row_text(a, row, "ID", human_id(a, s->id, !o->no_trunc));
	if (o->human)
		row_text(a, row, "Size", arena_strdup(a, human_size(s->size).z));
	else
		row_textf(a, row, "Size", "%llu", (unsigned long long) s->size);
	return row;
}

static int history_run(struct cli *c, const void *options, struct option_args args)
{
	const struct history_options *o = options;
	auto_format struct format f = { 0 };
	struct svc_image_history h;
	nsec_t now = clock_wall();
	struct err e;
	int r;

	r = svc_image_history(&c->svc, args.argv[0], &h, &e);
	if (r < 0)
		return cli_fail(c, &e);
	r = format_init(&f, &c->arena, o->format,
			o->quiet ? "{{.ID}}"
				 : "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t"
				   "{{.Comment}}",
			history_columns, ARRAY_SIZE(history_columns), &e);
	for (size_t i = 0; i < h.n && r == 0; i++)
		r = format_row(&f, history_row(&c->arena, &h.items[i], o, now), NULL, &c->out, &e);
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	svc_image_history_fini(&h);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_image_history = {
	.usage = "[OPTIONS] IMAGE",
	.summary = "Show the history of an image",
	.options = history_table,
	.options_n = ARRAY_SIZE(history_table),
	.size = sizeof(struct history_options),
	.defaults = &history_defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = history_run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* image scan-db: import, ls, rm of data bases of advisories. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/image_scan.h"

/* ---- import ---- */

struct import_options {
	const char *release;
};

static const struct option import_table[] = {
	{ OPTION_ITEM_(struct import_options, release, OPTION_STRING, "release", 0),
	  .value = "codename",
	  .help = "Release that debsecan's feed is of (default: the file's name, or NAME)" },
};

static int import_run(struct cli *c, const void *options, struct option_args args)
{
	const struct import_options *o = options;
	const struct scan_base_import req = { .name = args.argv[0],
					      .path = args.argv[1],
					      .release = o->release };
	uint64_t n = 0;
	struct err e;

	if (scan_base_import(&c->svc, &req, &n, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s: %llu advisories\n", req.name, (unsigned long long) n);
	return CLI_OK;
}

const struct verb verb_scan_base_import = {
	.usage = "[OPTIONS] NAME FILE|DIRECTORY|-",
	.summary = "Make a data base of advisories from what is published",
	.about = "Read, also packed by gzip, zstd or zlib: the data of Debian's security tracker "
		 "(https://security-tracker.debian.org/tracker/data/json), a feed of debsecan "
		 "(https://security-tracker.debian.org/tracker/debsecan/release/1/bookworm), and "
		 "OSV's "
		 "JSON: single files, or archives such as "
		 "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip, or a directory "
		 "of these. Of OSV's ecosystems Debian, Ubuntu, Alpine, PyPI and npm are kept.\n\n"
		 "A data base of this name is replaced once the new one is whole. It is kept "
		 "sorted, so that a scan reads little of it.",
	.example = "atoll image scan-db import debian tracker.json\n"
		   "atoll image scan-db import pypi PyPI/all.zip\n"
		   "curl -s https://example.com/bookworm | atoll image scan-db import --release "
		   "bookworm debsecan -",
	.options = import_table,
	.options_n = ARRAY_SIZE(import_table),
	.size = sizeof(struct import_options),
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_FILE,
	.run = import_run,
};

/* ---- ls ---- */

struct ls_options {
	bool quiet;
	const char *format;
};

static const struct option ls_table[] = {
	{ OPTION_ITEM_(struct ls_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct ls_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only show names" },
};

static const struct format_column columns[] = {
	{ "Advisories", "ADVISORIES" },
	{ "Imported", "IMPORTED" },
	{ "ImportedAt", "IMPORTED AT" },
	{ "Name", "NAME" },
	{ "Size", "SIZE" },
};

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	const struct ls_options *o = options;
	auto_format struct format f = { 0 };
	struct scan_base_info *v = NULL;
	nsec_t now = clock_wall();
	size_t n = 0;
	struct err e;
	int r;

	(void) args;
	r = scan_base_list(&c->svc, &c->arena, &v, &n, &e);
	r = r < 0 ? r
		  : format_init(&f, &c->arena, o->format,
				o->quiet ? "{{.Name}}"
					 : "table {{.Name}}\t{{.Advisories}}\t{{.Imported}}\t"
					   "{{.Size}}",
				columns, ARRAY_SIZE(columns), &e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct json *row = row_new(&c->arena);

		row_textf(&c->arena, row, "Advisories", "%llu",
			  (unsigned long long) v[i].advisories);
		row_text(&c->arena, row, "Imported",
			 arena_strdup(&c->arena, human_ago(v[i].imported, now).z));
		row_text(&c->arena, row, "ImportedAt",
			 arena_strdup(&c->arena, human_time(v[i].imported).z));
		row_text(&c->arena, row, "Name", v[i].name);
		row_text(&c->arena, row, "Size", arena_strdup(&c->arena, human_size(v[i].size).z));
		r = format_row(&f, row, NULL, &c->out, &e);
	}
	r = r < 0 ? r : format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_scan_base_ls = {
	.usage = "[OPTIONS]",
	.summary = "List data bases of advisories",
	.options = ls_table,
	.options_n = ARRAY_SIZE(ls_table),
	.size = sizeof(struct ls_options),
	.run = ls_run,
};

/* ---- rm ---- */

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	(void) options;
	return scan_base_remove(&c->svc, ref, e);
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, rm_one);
}

const struct verb verb_scan_base_rm = {
	.usage = "NAME [NAME...]",
	.summary = "Remove data bases of advisories",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.run = rm_run,
};

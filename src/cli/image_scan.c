/* SPDX-License-Identifier: Apache-2.0 */
/* image scan: known faults of what is installed in images and workloads. */
#include "cli/image_scan.h"

#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/image.h"

#define SUMMARY_SHOWN 60 /* characters */
#define SCAN_ARENA    ((size_t) 1 << 30)

struct scan_options {
	bool all, ignore_unfixed;
	int64_t exit_code;
	const char *format, *severity, *release;
	struct option_list db;
};

static const struct option scan_table[] = {
	{ OPTION_ITEM_(struct scan_options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Scan every image that is here" },
	{ OPTION_ITEM_(struct scan_options, db, OPTION_LIST, "db", 0), .value = "path",
	  .complete = OPTION_COMPLETE_FILE,
	  .help = "Look things up in this feed, archive or directory of feeds, not in what was "
		  "imported" },
	{ OPTION_ITEM_(struct scan_options, exit_code, OPTION_INT, "exit-code", 0), .value = "int",
	  .help = "Exit status when something was found (default 0)", .min = 0, .max = 255 },
	{ OPTION_ITEM_(struct scan_options, format, OPTION_STRING, "format", 'f'),
	  .value = "string",
	  .help = "Format output: table, json, sarif, 'table TEMPLATE' or a Go template",
	  .words = "table json sarif" },
	{ OPTION_ITEM_(struct scan_options, ignore_unfixed, OPTION_BOOL, "ignore-unfixed", 0),
	  .help = "Leave out what no newer version has fixed" },
	{ OPTION_ITEM_(struct scan_options, release, OPTION_STRING, "release", 0),
	  .value = "codename",
	  .help = "Release that debsecan's feeds of --db are of (default: their file's name)" },
	{ OPTION_ITEM_(struct scan_options, severity, OPTION_STRING, "severity", 's'),
	  .value = "list",
	  .help = "Show these alone, as in high,critical: unknown, negligible, low, medium, high, "
		  "critical",
	  .words = "critical high medium low negligible unknown" },
};

static const struct format_column columns[] = {
	{ "Fixed", "FIXED IN" },    { "ID", "ID" },
	{ "Package", "PACKAGE" },   { "Path", "PATH" },
	{ "Severity", "SEVERITY" }, { "Summary", "SUMMARY" },
	{ "Target", "TARGET" },	    { "Type", "TYPE" },
	{ "Version", "VERSION" },
};

/* ---- which are shown ---- */

static int wanted_severities(const char *list, unsigned *ret, struct err *e)
{
	struct str rest = str_of(list ? list : "");
	unsigned wanted = 0;

	if (!list) {
		*ret = (1u << SEVERITIES) - 1;
		return 0;
	}
	while (rest.p) {
		struct str word = str_trim(str_cut(rest, ',', &rest));
		enum severity s;

		if (severity_parse(word, &s) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--severity '%.60s': unknown, negligible, low, medium, high "
				       "and critical are known",
				       list);
		wanted |= 1u << s;
	}
	*ret = wanted;
	return 0;
}

static void keep_wanted(struct scan_report *r, unsigned wanted, bool fixed_alone)
{
	size_t n = 0;

	for (size_t i = 0; i < r->findings_n; i++)
		if (wanted & 1u << r->findings[i].severity &&
		    (!fixed_alone || *r->findings[i].fixed))
			r->findings[n++] = r->findings[i];
	r->findings_n = n;
}

/* ---- for people ---- */

static void print_head(struct cli *c, const struct scan_target *t, nsec_t now)
{
	const struct scan_report *r = &t->report;
	struct scan_support support = scan_support(&r->os, now);
	size_t packages = 0, fixed = 0, of[SEVERITIES] = { 0 };

	for (size_t k = 0; k < PACKAGE_KINDS; k++)
		packages += r->packages[k];
	for (size_t i = 0; i < r->findings_n; i++) {
		fixed += *r->findings[i].fixed != '\0';
		of[r->findings[i].severity]++;
	}
	buf_addf(&c->out, "%s: %s", t->name,
		 *r->os.name ? human_clean(&c->arena, r->os.name) : "no known distribution");
	if (support.end)
		buf_addf(&c->out, ", %s %s", support.over ? "end of life since" : "supported until",
			 support.end);
	if (t->created)
		buf_addf(&c->out, ", made %s", human_ago(t->created, now).z);
	buf_addf(&c->out, "\n%zu package%s, %zu finding%s", packages, packages == 1 ? "" : "s",
		 r->findings_n, r->findings_n == 1 ? "" : "s");
	for (size_t s = SEVERITIES, first = 1; s-- > 0;) {
		if (of[s])
			buf_addf(&c->out, "%s %zu %s", first ? ":" : ",", of[s],
				 severity_name((enum severity) s));
		first = first && !of[s];
	}
	if (r->findings_n)
		buf_addf(&c->out, "; %zu fixed in a newer version", fixed);
	buf_addc(&c->out, '\n');
}

/* What a clean result does not mean. */
static void warn_about(struct cli *c, const struct scan_target *t)
{
	const struct scan_report *r = &t->report;

	for (size_t k = 0; k < PACKAGE_KINDS; k++)
		if (r->unchecked[k])
			cli_warn(c,
				 "%s: its %llu %s packages were not checked: no data base of "
				 "advisories knows this ecosystem",
				 t->name, (unsigned long long) r->packages[k],
				 package_kind_name((enum package_kind) k));
	if (r->rpm)
		cli_warn(c, "%s: rpm data base found: unsupported, its packages were not checked",
			 t->name);
	if (r->unread)
		cli_warn(c, "%s: %llu lists of packages could not be read", t->name,
			 (unsigned long long) r->unread);
}

static struct json *row(struct cli *c, const struct scan_target *t, const struct scan_finding *f,
			bool cut)
{
	const char *summary = human_clean(&c->arena, f->summary);
	struct json *v = row_new(&c->arena);

	row_text(&c->arena, v, "Fixed", f->fixed);
	row_text(&c->arena, v, "ID", f->id);
	row_text(&c->arena, v, "Package", f->package);
	row_text(&c->arena, v, "Path", human_clean(&c->arena, f->path));
	row_text(&c->arena, v, "Severity", severity_name((enum severity) f->severity));
	row_text(&c->arena, v, "Summary",
		 cut ? human_ellipsis(&c->arena, summary, SUMMARY_SHOWN) : summary);
	row_text(&c->arena, v, "Target", t->name);
	row_text(&c->arena, v, "Type", f->type);
	row_text(&c->arena, v, "Version", f->version);
	return v;
}

static int print_rows(struct cli *c, const char *format, const struct scan_target *v, size_t n,
		      bool cut, struct err *e)
{
	auto_format struct format f = { 0 };
	int r = format_init(&f, &c->arena, format,
			    "table {{.Package}}\t{{.Version}}\t{{.Fixed}}\t{{.Severity}}\t{{.ID}}\t"
			    "{{.Summary}}",
			    columns, ARRAY_SIZE(columns), e);

	for (size_t i = 0; i < n && r == 0; i++)
		for (size_t k = 0; k < v[i].report.findings_n && r == 0; k++)
			r = format_row(&f, row(c, &v[i], &v[i].report.findings[k], cut), NULL,
				       &c->out, e);
	return r < 0 ? r : format_end(&f, &c->out, e);
}

static int print_table(struct cli *c, const struct scan_target *v, size_t n, nsec_t now,
		       struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (i)
			buf_addc(&c->out, '\n');
		print_head(c, &v[i], now);
		if (v[i].report.findings_n)
			buf_addc(&c->out, '\n');
		if (v[i].report.findings_n)
			r = print_rows(c, NULL, &v[i], 1, true, e);
	}
	return r;
}

/* ---- the verb ---- */

/* What is to be scanned, by one name each. */
static int choose(struct cli *c, const struct scan_options *o, struct option_args args,
		  const char ***ret_refs, size_t *ret_n, struct err *e)
{
	const struct svc_image_filter everything = { .all = true };
	struct svc_image_list list;
	const char **refs = NULL, **slot;
	size_t n = 0;
	int r;

	if (o->all == (args.n > 0))
		return err_set(e, ERR_INVALID, EINVAL,
			       o->all ? "--all is of every image: name none beside it"
				      : "name an image or a workload, or give --all");
	if (!o->all) {
		*ret_refs = (const char **) (uintptr_t) args.argv;
		*ret_n = args.n;
		return 0;
	}
	r = svc_image_list(&c->svc, &everything, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n && r == 0; i++) {
		const struct svc_image_summary *s = &list.items[i];

		slot = arena_push(&c->arena, &refs, &n, sizeof(*slot));
		if (slot)
			*slot = arena_strdup(&c->arena, s->names_n ? s->names[0] : s->id);
		if (!slot || !*slot)
			r = err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	svc_image_list_fini(&list);
	*ret_refs = refs;
	*ret_n = n;
	return r;
}

static int print(struct cli *c, const struct scan_options *o, const struct scan_target *v, size_t n,
		 struct err *e)
{
	const char *format = o->format ? o->format : "table";
	nsec_t now = clock_wall();

	for (size_t i = 0; i < n; i++)
		warn_about(c, &v[i]);
	if (streq(format, "json"))
		scan_print_json(&c->out, v, n, now);
	else if (streq(format, "sarif"))
		scan_print_sarif(&c->out, v, n);
	else if (streq(format, "table"))
		return print_table(c, v, n, now, e);
	else
		return print_rows(c, format, v, n, false, e);
	return 0;
}

static int scan_run(struct cli *c, const void *options, struct option_args args)
{
	auto_scan_bases struct scan_bases bases = { .n = 0 };
	auto_arena struct arena a = ARENA_INIT(SCAN_ARENA);
	const struct scan_options *o = options;
	struct scan_target *v = NULL;
	const char **refs = NULL;
	size_t n = 0, found = 0;
	unsigned wanted;
	struct err e;
	int r = wanted_severities(o->severity, &wanted, &e);

	r = r < 0 ? r : choose(c, o, args, &refs, &n, &e);
	if (r < 0)
		return cli_usage(c, &e);
	r = scan_bases_open(&c->svc, o->db.items, o->db.n, o->release, &bases, &e);
	v = arena_array(&a, n + 1, sizeof(*v));
	if (r == 0 && !v)
		r = err_set(&e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < n && r == 0; i++) {
		r = svc_scan(&c->svc, &bases, refs[i], &a, &v[i], &e);
		if (r < 0)
			break;
		keep_wanted(&v[i].report, wanted, o->ignore_unfixed);
		found += v[i].report.findings_n;
	}
	if (r == 0 && bases.oldest && clock_wall() - bases.oldest > SCAN_BASE_OLD)
		cli_warn(c, "a data base of advisories was imported %s: import a newer one",
			 human_ago(bases.oldest, clock_wall()).z);
	r = r < 0 ? r : print(c, o, v, n, &e);
	if (r < 0)
		return cli_fail(c, &e);
	return found ? (int) o->exit_code : CLI_OK;
}

const struct verb verb_image_scan = {
	.usage = "[OPTIONS] IMAGE|WORKLOAD [IMAGE|WORKLOAD...]",
	.summary = "Find known faults in the packages of images and workloads",
	.about = "Packages of dpkg and apk, of Python (dist-info, egg-info) and of Node "
		 "(node_modules) are looked up in data bases of advisories, which 'atoll image "
		 "scan-db import' keeps, or in the feeds that --db names. Nothing is fetched. What "
		 "a newer version has fixed comes first, then what is worst.\n\n"
		 "Packages of a distribution are compared by their source, in its own order of "
		 "versions. Python's and Node's that Debian's packages have brought are Debian's. "
		 "A rpm data base is found, and not read. A kind of package that no data base "
		 "knows is told on standard error, as it was not checked.\n\n"
		 "--exit-code makes a finding the verb's exit status, after --severity and "
		 "--ignore-unfixed: for CI. A scan that failed ends with 1, or 125 for a wrong "
		 "command line.",
	.example = "atoll image scan debian:bookworm\n"
		   "atoll image scan --severity high,critical --ignore-unfixed --exit-code 3 app\n"
		   "atoll image scan --all --format sarif >findings.sarif\n"
		   "atoll image scan --db osv/PyPI/all.zip --format '{{.ID}} {{.Package}}' app",
	.options = scan_table,
	.options_n = ARRAY_SIZE(scan_table),
	.size = sizeof(struct scan_options),
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = scan_run,
};

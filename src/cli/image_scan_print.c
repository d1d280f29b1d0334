/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "cli/image_scan.h"
#include "fmt/json.h"

/* ---- JSON ---- */

static void print_finding(struct json_writer *w, const struct scan_finding *f)
{
	json_w_object(w, NULL);
	json_w_string(w, "ID", f->id);
	json_w_string(w, "Severity", severity_name((enum severity) f->severity));
	json_w_string(w, "Package", f->package);
	json_w_string(w, "Version", f->version);
	json_w_string(w, "Fixed", *f->fixed ? f->fixed : NULL);
	json_w_string(w, "Type", f->type);
	json_w_string(w, "Path", f->path);
	json_w_string(w, "Summary", f->summary);
	json_w_end(w);
}

static void print_os(struct json_writer *w, const struct os_release *o, nsec_t now)
{
	struct scan_support support = scan_support(o, now);

	json_w_object(w, "OS");
	json_w_string(w, "ID", o->id);
	json_w_string(w, "Version", o->version);
	json_w_string(w, "Codename", o->codename);
	json_w_string(w, "Name", o->name);
	json_w_string(w, "EndOfSupport", support.end);
	json_w_bool(w, "EndOfLife", support.over);
	json_w_end(w);
}

static void print_target(struct json_writer *w, const struct scan_target *t, nsec_t now)
{
	const struct scan_report *r = &t->report;
	char created[CLOCK_RFC3339_MAX];

	clock_rfc3339(t->created, created);
	json_w_object(w, NULL);
	json_w_string(w, "Target", t->name);
	json_w_string(w, "Type", t->workload ? "workload" : "image");
	json_w_string(w, "Created", t->created ? created : NULL);
	print_os(w, &r->os, now);
	json_w_object(w, "Packages");
	for (size_t k = 0; k < PACKAGE_KINDS; k++)
		json_w_u64(w, package_kind_name((enum package_kind) k), r->packages[k]);
	json_w_end(w);
	json_w_array(w, "Unchecked"); /* no data base knows anything of these */
	for (size_t k = 0; k < PACKAGE_KINDS; k++)
		if (r->unchecked[k])
			json_w_string(w, NULL, package_kind_name((enum package_kind) k));
	if (r->rpm)
		json_w_string(w, NULL, "rpm");
	json_w_end(w);
	json_w_u64(w, "Unread", r->unread);
	json_w_array(w, "Findings");
	for (size_t i = 0; i < r->findings_n; i++)
		print_finding(w, &r->findings[i]);
	json_w_end(w);
	json_w_end(w);
}

void scan_print_json(struct buf *out, const struct scan_target *v, size_t n, nsec_t now)
{
	struct json_writer w = JSON_WRITER_PRETTY(out, 2);

	json_w_object(&w, NULL);
	json_w_array(&w, "Targets");
	for (size_t i = 0; i < n; i++)
		print_target(&w, &v[i], now);
	json_w_end(&w);
	json_w_end(&w);
	buf_addc(out, '\n');
}

/* ---- SARIF 2.1.0 ---- */

static int by_id(const void *a, const void *b)
{
	return strcmp((*(const struct scan_finding *const *) a)->id,
		      (*(const struct scan_finding *const *) b)->id);
}

/* A rule for each id, once. */
static void print_rules(struct json_writer *w, const struct scan_target *v, size_t n)
{
	size_t all = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		all += v[i].report.findings_n;
	auto_free const struct scan_finding **f = calloc(all + 1, sizeof(struct scan_finding *));
	if (!f) {
		w->out->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].report.findings_n; k++)
			f[at++] = &v[i].report.findings[k];
	qsort((void *) f, all, sizeof(*f), by_id);
	json_w_array(w, "rules");
	for (size_t i = 0; i < all; i++) {
		if (i && streq(f[i]->id, f[i - 1]->id))
			continue;
		json_w_object(w, NULL);
		json_w_string(w, "id", f[i]->id);
		json_w_object(w, "shortDescription");
		json_w_string(w, "text", *f[i]->summary ? f[i]->summary : f[i]->id);
		json_w_end(w);
		json_w_end(w);
	}
	json_w_end(w);
}

/* SARIF 2.1.0, 3.27.10 */
static const char *level_of(uint32_t severity)
{
	return severity >= SEVERITY_HIGH     ? "error"
	       : severity == SEVERITY_MEDIUM ? "warning"
					     : "note";
}

/* RFC 3986: a path of bytes that may be any. */
static void add_uri(struct buf *out, const char *path)
{
	for (; *path; path++) {
		unsigned char c = (unsigned char) *path;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("/-._~@+", c))
			buf_addc(out, *path);
		else
			buf_addf(out, "%%%02X", c);
	}
}

static void print_result(struct json_writer *w, const struct scan_target *t,
			 const struct scan_finding *f)
{
	auto_buf struct buf text = BUF_INIT(4000), uri = BUF_INIT(16000);

	add_uri(&uri, f->path);
	buf_addf(&text, "%s %s in %s: %s, %s %s", f->package, f->version, t->name, f->id,
		 severity_name((enum severity) f->severity),
		 *f->fixed ? "and fixed in " : "and not fixed");
	buf_adds(&text, f->fixed);
	json_w_object(w, NULL);
	json_w_string(w, "ruleId", f->id);
	json_w_string(w, "level", level_of(f->severity));
	json_w_object(w, "message");
	json_w_string(w, "text", buf_z(&text));
	json_w_end(w);
	json_w_array(w, "locations");
	json_w_object(w, NULL);
	json_w_object(w, "physicalLocation");
	json_w_object(w, "artifactLocation");
	json_w_string(w, "uri", buf_z(&uri));
	json_w_end(w);
	json_w_end(w);
	json_w_array(w, "logicalLocations");
	json_w_object(w, NULL);
	json_w_string(w, "fullyQualifiedName", t->name);
	json_w_string(w, "kind", "module");
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
}

void scan_print_sarif(struct buf *out, const struct scan_target *v, size_t n)
{
	struct json_writer w = JSON_WRITER_PRETTY(out, 2);

	json_w_object(&w, NULL);
	json_w_string(&w, "$schema",
		      "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/"
		      "sarif-schema-2.1.0.json");
	json_w_string(&w, "version", "2.1.0");
	json_w_array(&w, "runs");
	json_w_object(&w, NULL);
	json_w_object(&w, "tool");
	json_w_object(&w, "driver");
	json_w_string(&w, "name", "atoll");
	json_w_string(&w, "version", ATOLL_VERSION);
	print_rules(&w, v, n);
	json_w_end(&w);
	json_w_end(&w);
	json_w_array(&w, "results");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].report.findings_n; k++)
			print_result(&w, &v[i], &v[i].report.findings[k]);
	json_w_end(&w);
	json_w_end(&w);
	json_w_end(&w);
	json_w_end(&w);
	buf_addc(out, '\n');
}

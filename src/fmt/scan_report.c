/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/scan_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "fmt/json.h"

static void write_end(struct buf *out, struct json_writer *w)
{
	json_w_end(w);
	buf_addc(out, '\n');
}

void scan_report_write_head(struct buf *out, const struct scan_report *r)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "id", r->os.id);
	json_w_string(&w, "version", r->os.version);
	json_w_string(&w, "codename", r->os.codename);
	json_w_string(&w, "name", r->os.name);
	for (size_t i = 0; i < PACKAGE_KINDS; i++) {
		json_w_u64(&w, package_kind_name((enum package_kind) i), r->packages[i]);
		if (r->unchecked[i])
			json_w_bool(&w,
				    i == PACKAGE_DEB	  ? "no-deb"
				    : i == PACKAGE_APK	  ? "no-apk"
				    : i == PACKAGE_PYTHON ? "no-pypi"
							  : "no-npm",
				    true);
	}
	json_w_u64(&w, "unread", r->unread);
	json_w_bool(&w, "rpm", r->rpm);
	write_end(out, &w);
}

void scan_report_write_finding(struct buf *out, const struct scan_finding *f)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "package", f->package);
	json_w_string(&w, "version", f->version);
	json_w_string(&w, "type", f->type);
	json_w_string(&w, "id", f->id);
	json_w_string(&w, "fixed", f->fixed);
	json_w_string(&w, "summary", f->summary);
	json_w_string(&w, "path", f->path);
	json_w_u64(&w, "severity", f->severity);
	write_end(out, &w);
}

static const struct json_field head_fields[] = {
	JSON_STRING_FIELD(struct scan_report, os.id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_report, os.version, "version", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_report, os.codename, "codename", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_report, os.name, "name", JSON_REQUIRED),
	JSON_U64_FIELD(struct scan_report, packages[PACKAGE_DEB], "deb", 0, UINT32_MAX, 0),
	JSON_U64_FIELD(struct scan_report, packages[PACKAGE_APK], "apk", 0, UINT32_MAX, 0),
	JSON_U64_FIELD(struct scan_report, packages[PACKAGE_PYTHON], "pypi", 0, UINT32_MAX, 0),
	JSON_U64_FIELD(struct scan_report, packages[PACKAGE_NODE], "npm", 0, UINT32_MAX, 0),
	JSON_BOOL_FIELD(struct scan_report, unchecked[PACKAGE_DEB], "no-deb", 0),
	JSON_BOOL_FIELD(struct scan_report, unchecked[PACKAGE_APK], "no-apk", 0),
	JSON_BOOL_FIELD(struct scan_report, unchecked[PACKAGE_PYTHON], "no-pypi", 0),
	JSON_BOOL_FIELD(struct scan_report, unchecked[PACKAGE_NODE], "no-npm", 0),
	JSON_U64_FIELD(struct scan_report, unread, "unread", 0, UINT32_MAX, 0),
	JSON_BOOL_FIELD(struct scan_report, rpm, "rpm", 0),
};
static const struct json_table head_table = JSON_TABLE(struct scan_report, head_fields,
						       JSON_UNKNOWN_REFUSE);

static const struct json_field finding_fields[] = {
	JSON_STRING_FIELD(struct scan_finding, package, "package", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, version, "version", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, type, "type", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, id, "id", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, fixed, "fixed", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, summary, "summary", JSON_REQUIRED),
	JSON_STRING_FIELD(struct scan_finding, path, "path", JSON_REQUIRED),
	JSON_U32_FIELD(struct scan_finding, severity, "severity", 0, SEVERITIES - 1, 0),
};
static const struct json_table finding_table = JSON_TABLE(struct scan_finding, finding_fields,
							  JSON_UNKNOWN_REFUSE);

static int read_line(struct arena *a, struct str line, const struct json_table *table, void *to,
		     struct err *e)
{
	const struct json *v;
	int r = json_parse(a, line, &v, e);

	return r < 0 ? r : json_decode(a, v, table, to, "", e);
}

int scan_report_read(struct arena *a, struct str text, struct scan_report *ret, struct err *e)
{
	struct scan_report report = { 0 };
	struct str line = str_cut(text, '\n', &text);
	int r = read_line(a, line, &head_table, &report, e);

	while (r == 0 && text.n) {
		struct scan_finding *f = report.findings_n < SCAN_FINDINGS_MAX
						 ? arena_push(a, &report.findings,
							      &report.findings_n, sizeof(*f))
						 : NULL;

		if (!f)
			return err_set(e, ERR_EXHAUSTED, E2BIG, "too many findings");
		line = str_cut(text, '\n', &text);
		r = read_line(a, line, &finding_table, f, e);
	}
	if (r == 0)
		*ret = report;
	return r;
}

static int by_need(const void *va, const void *vb)
{
	const struct scan_finding *a = va, *b = vb;
	int r = (*a->fixed == '\0') - (*b->fixed == '\0');

	r = r ? r : (b->severity > a->severity) - (b->severity < a->severity);
	r = r ? r : strcmp(a->package, b->package);
	r = r ? r : strcmp(a->path, b->path);
	return r ? r : strcmp(a->id, b->id);
}

void scan_report_sort(struct scan_finding *v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(*v), by_need);
}

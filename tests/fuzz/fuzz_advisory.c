/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text as a feed: what it says can be written, read again and looked up. As a data base: its
 * lines are looked up and matched. As a zip archive, and as a report of a scan.
 */
#include <stdlib.h>

#include "fmt/advisory_feed.h"
#include "fmt/cvss.h"
#include "fmt/scan_report.h"
#include "fmt/zip.h"
#include "fuzz.h"

static int check(void *user, const struct advisory *a)
{
	struct buf *out = user;
	struct advisory again;
	struct str fixed;

	buf_clear(out);
	if (advisory_write(out, a) < 0)
		return 0;
	if (!buf_ok(out) || !advisory_parse((struct str){ out->p, out->n - 1 }, &again) ||
	    !str_eq(again.id, a->id) || !str_eq(again.when, a->when))
		abort();
	if (!advisory_find(buf_str(out), a->ecosystem, a->package).n)
		abort();
	for (int s = VERSION_DEBIAN; s <= VERSION_SEMVER; s++)
		(void) advisory_hits(&again, (enum version_scheme) s, a->id, &fixed);
	return 0;
}

static void look_up(struct str text)
{
	struct str lines, found, fixed;
	struct advisory a;

	if (advisory_base(text, &lines) < 0)
		return;
	found = advisory_find(lines, STR("Debian:12"), STR("glibc"));
	while (found.n) {
		struct str line = str_cut(found, '\n', &found);

		if (advisory_parse(line, &a))
			(void) advisory_hits(&a, VERSION_DEBIAN, STR("1.2-3"), &fixed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *) data, size };
	struct arena arena = ARENA_INIT(1u << 20);
	struct buf out = BUF_INIT(1u << 20);
	struct advisory_feed f = { .release = "bookworm", .told = check, .user = &out };
	struct scan_report report;
	struct zip_member m;
	struct zip z;
	struct err e;

	(void) advisory_feed_read(&f, text, &e); /* refusing is fine */
	look_up(text);
	if (cvss_score(text) > 100)
		abort();
	if (zip_open(&z, text) == 0)
		while (zip_next(&z, &m) > 0)
			if (m.data.n && (m.data.p < text.p || m.data.p + m.data.n > text.p + size))
				abort();
	if (scan_report_read(&arena, text, &report, &e) == 0)
		scan_report_sort(report.findings, report.findings_n);
	buf_fini(&out);
	arena_fini(&arena);
	return 0;
}

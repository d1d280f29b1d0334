/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/scan_report.h"

#include "base/auto.h"
#include "base/test.h"

int main(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf b = BUF_INIT(1u << 20);
	struct scan_report r = { .os = { "debian", "12", "bookworm", "Debian \"12\"" },
				 .packages = { 3, 0, 1, 2 },
				 .unchecked = { [PACKAGE_NODE] = true },
				 .rpm = true },
			   got;
	struct scan_finding f = { "p", "1", "deb", "CVE-1", "", "words", "var", SEVERITY_HIGH };
	struct err e;

	scan_report_write_head(&b, &r);
	scan_report_write_finding(&b, &f);
	f.fixed = "2";
	f.severity = SEVERITY_LOW;
	scan_report_write_finding(&b, &f);
	f.package = "a";
	scan_report_write_finding(&b, &f);
	CHECK(scan_report_read(&a, buf_str(&b), &got, &e) == 0);
	CHECK(got.findings_n == 3 && got.packages[PACKAGE_NODE] == 2 && got.rpm);
	CHECK(got.unchecked[PACKAGE_NODE] && !got.unchecked[PACKAGE_DEB]);
	CHECK_STR(got.os.name, "Debian \"12\"");
	scan_report_sort(got.findings, got.findings_n);
	CHECK_STR(got.findings[0].package, "a");
	CHECK_STR(got.findings[1].fixed, "2");
	CHECK(got.findings[2].severity == SEVERITY_HIGH);
	CHECK(scan_report_read(&a, STR("{}\n"), &got, &e) < 0);
	CHECK(scan_report_read(&a, STR(""), &got, &e) < 0);
	CHECK(scan_report_read(&a, (struct str){ b.p, b.n - 3 }, &got, &e) < 0);
	return test_done();
}

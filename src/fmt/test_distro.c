/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/distro.h"

#include "base/auto.h"
#include "base/test.h"

static const char *ecosystem(const char *id, const char *version, const char *codename)
{
	static struct buf b;
	const struct os_release o = { .id = id, .version = version, .codename = codename };

	buf_fini(&b);
	b = BUF_INIT(100);
	distro_ecosystem(&o, &b);
	return buf_z(&b);
}

int main(void)
{
	const struct os_release alpine = { .id = "alpine", .version = "3.22.1", .codename = "" };
	auto_buf struct buf b = BUF_INIT(100);

	CHECK_STR(ecosystem("debian", "12", "bookworm"), "Debian:12");
	CHECK_STR(ecosystem("debian", "", "forky"), "Debian:14");
	CHECK_STR(ecosystem("debian", "99", ""), "Debian:99");
	CHECK_STR(ecosystem("debian", "", ""), "");
	CHECK_STR(ecosystem("ubuntu", "24.04", "noble"), "Ubuntu:24.04");
	CHECK_STR(ecosystem("alpine", "3.18.4", ""), "Alpine:v3.18");
	CHECK_STR(ecosystem("fedora", "40", ""), "");
	CHECK_STR(distro_release(&alpine)->end, "2027-05-01");
	CHECK_STR(distro_by_codename("debian", STR("bookworm"))->version, "12");
	CHECK(!distro_by_codename("debian", STR("jammy")));
	distro_ecosystem_of(STR("Ubuntu:22.04:LTS"), &b);
	CHECK_STR(buf_z(&b), "Ubuntu:22.04");
	buf_clear(&b);
	distro_ecosystem_of(STR("Ubuntu:Pro:22.04:LTS"), &b);
	CHECK_STR(buf_z(&b), "Ubuntu:Pro:22.04:LTS");
	return test_done();
}

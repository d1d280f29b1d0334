/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/cvss.h"

#include <errno.h>

#include "base/test.h"

int main(void)
{
	/* The examples of FIRST's document "Common Vulnerability Scoring System v3.1: Examples". */
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:L/I:L/A:N")) == 54);
	CHECK(cvss_score(STR("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N")) == 61);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H")) == 99);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H/E:P")) == 100);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")) == 98);
	CHECK(cvss_score(STR("CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N")) == 47);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N")) == 0);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N")) == -EINVAL);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N")) == -EINVAL);
	CHECK(cvss_score(STR("CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N")) == -EINVAL);
	CHECK(cvss_score(STR("CVSS:3.1/AV:N/AC")) == -EINVAL);
	CHECK(cvss_score(STR("CVSS:4.0/AV:N")) == -EINVAL);
	CHECK(cvss_score(STR("")) == -EINVAL);
	return test_done();
}

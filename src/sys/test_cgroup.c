/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroup.h"

#include <errno.h>

#include "base/test.h"
#include "sys/cgroup_device.h"

static void test_path(void)
{
	char p[CGROUP_PATH_MAX] = "kept";

	CHECK(cgroup_path_clean(STR("/a//b/"), p) == 0);
	CHECK_STR(p, "a/b");
	CHECK(cgroup_path_clean(STR("a/../b"), p) == -EINVAL);
	CHECK(cgroup_path_clean(STR("a/./b"), p) == -EINVAL);
	CHECK(cgroup_path_clean(STR("/"), p) == -EINVAL);
	CHECK(cgroup_path_clean(STR(""), p) == -EINVAL);
	CHECK(cgroup_path_clean(STR("a\nb"), p) == -EINVAL);
	CHECK_STR(p, "a/b");
	CHECK(cgroup_path_clean(STR("system.slice:x:y"), p) == 0);

	char big[CGROUP_PATH_MAX + 8];

	memset(big, 'x', sizeof(big));
	CHECK(cgroup_path_clean((struct str){ big, sizeof(big) }, p) == -ENAMETOOLONG);
	for (size_t i = 9; i < sizeof(big); i += 10)
		big[i] = '/';
	CHECK(cgroup_path_clean((struct str){ big, sizeof(big) }, p) == -ENAMETOOLONG);
	CHECK(cgroup_path_clean((struct str){ big, 300 }, p) == 0);
}

static void test_names(void)
{
	CHECK(cgroup_controller_of(STR("io")) == CGROUP_IO);
	CHECK(cgroup_controller_of(STR("blkio")) == CGROUP_IO);
	CHECK(cgroup_controller_of(STR("name=systemd")) == 0);
	CHECK_STR(cgroup_controller_name(CGROUP_IO, false), "blkio");
	CHECK_STR(cgroup_controller_name(CGROUP_IO, true), "io");
}

static void test_stat(void)
{
	uint64_t v = 7;
	const char *text = "cache 12\ninactive_file 5\ntotal_inactive_file 99\nbad x\n";

	CHECK(cgroup_stat_get(text, "inactive_file", &v) == 0 && v == 5);
	CHECK(cgroup_stat_get(text, "total_inactive_file", &v) == 0 && v == 99);
	CHECK(cgroup_stat_get(text, "active", &v) == -ENOENT);
	CHECK(cgroup_stat_get(text, "bad", &v) == -EINVAL);
	CHECK(cgroup_stat_get("", "bad", &v) == -ENOENT);
}

static void test_devices(void)
{
	struct cgroup_device_rule r[] = {
		{ true, 'c', CGROUP_DEVICE_ALL, 1, 3 },
		{ false, 'a', CGROUP_DEVICE_ALL, -1, -1 },
		{ true, 'c', CGROUP_DEVICE_READ, 1, 5 },
		{ true, 'c', CGROUP_DEVICE_WRITE, 1, 5 },
		{ false, 'c', CGROUP_DEVICE_WRITE, 1, 5 },
		{ true, 'c', CGROUP_DEVICE_MKNOD, 1, 5 },
	};

	CHECK(cgroup_device_normalise(r, 6) == 4);
	CHECK(!r[0].allow && r[0].type == 'a');
	CHECK(r[1].allow && r[1].access == (CGROUP_DEVICE_READ | CGROUP_DEVICE_WRITE));
	CHECK(!r[2].allow && r[2].access == CGROUP_DEVICE_WRITE);
	CHECK(r[3].allow && r[3].access == CGROUP_DEVICE_MKNOD);
	CHECK(!cgroup_device_all_allowed(r, 4));

	struct cgroup_device_rule all[] = {
		{ false, 'a', CGROUP_DEVICE_ALL, -1, -1 },
		{ true, 'a', CGROUP_DEVICE_ALL, -1, -1 },
		{ true, 'c', CGROUP_DEVICE_MKNOD, -1, -1 },
	};

	CHECK(cgroup_device_normalise(all, 3) == 1);
	CHECK(cgroup_device_all_allowed(all, 1));
}

static void test_layout(void)
{
	struct cgroup_layout l = CGROUP_LAYOUT_INIT;

	CHECK(cgroup_layout_open(&l) == 0);
	for (size_t i = 0; i < l.n; i++) {
		CHECK(l.at[i].root_fd >= 0);
		CHECK(l.at[i].unified == (l.at[i].name[0] == 0));
		CHECK(l.at[i].own[0] != '/');
	}
	cgroup_layout_fini(&l);
	cgroup_layout_fini(&l);
}

int main(void)
{
	test_path();
	test_names();
	test_stat();
	test_devices();
	test_layout();
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* On the real control groups of this machine, as root; otherwise only what needs none. */
#include "engine/container/groups.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/test.h"
#include "engine/container/groups_limits.h"
#include "engine/engine.h"
#include "fmt/spec.h"

#define SEC NSEC_PER_SEC

static char id[64];

static nsec_t soon(void)
{
	return clock_deadline(30 * SEC);
}

static pid_t sleeper(const struct groups *g)
{
	pid_t pid = fork();

	if (pid == 0) {
		size_t place;

		if (groups_enter(g, false, &place) < 0)
			_exit(1);
		for (;;)
			(void) pause();
	}
	return pid;
}

static size_t wait_for_pids(const struct groups *g, size_t want)
{
	nsec_t deadline = soon();
	size_t n = SIZE_MAX;
	struct err e;

	while (n != want && clock_mono() < deadline)
		CHECK(groups_pids(g, NULL, 0, &n, &e) == 0);
	return n;
}

static void check_text(const struct groups *g, enum cgroup_controller c, const char *v1,
		       const char *v1_text, const char *v2, const char *v2_text)
{
	const struct groups_place *p = groups_place_of(g, c);
	char text[256] = "";

	if (!p)
		return;
	CHECK(cgroup_read(p->dir_fd, p->unified ? v2 : v1, text, sizeof(text)) >= 0);
	text[strcspn(text, "\n")] = 0;
	CHECK_STR(text, p->unified ? v2_text : v1_text);
}

static void test_limits(const char *path)
{
	struct spec_memory m = {
		.limit = 64 << 20, .limit_set = true, .swap = 96 << 20, .swap_set = true
	};
	struct spec_cpu c = { .shares = 512,
			      .shares_set = true,
			      .quota = 50000,
			      .quota_set = true,
			      .period = 200000,
			      .period_set = true };
	struct spec_pids pids = { .limit = 7, .limit_set = true };
	struct spec_device_rule dev[] = {
		{ .allow = false, .type = 'a', .major = -1, .minor = -1 },
		{ .allow = true, .type = 'c', .major = 10, .minor = 229, .read = true },
	};
	struct spec_resources r = {
		.memory = &m, .cpu = &c, .pids = &pids, .devices = dev, .devices_n = 2
	};
	struct groups_options o = { .id = id, .path = path, .resources = &r };
	auto_groups struct groups *g = NULL, *twin = NULL;
	struct usage u;
	struct err e = { 0 };
	size_t n = 0;

	CHECK(groups_make(&o, &g, &e) == 0);
	if (!g) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return;
	}
	check_text(g, CGROUP_MEMORY, "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
	check_text(g, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "100663296", "memory.swap.max",
		   "33554432");
	check_text(g, CGROUP_CPU, "cpu.shares", "512", "cpu.weight", "59");
	check_text(g, CGROUP_CPU, "cpu.cfs_quota_us", "50000", "cpu.max", "50000 200000");
	check_text(g, CGROUP_PIDS, "pids.max", "7", "pids.max", "7");

	/* Below the old sum and above it: both orders of writing. */
	m.limit = 32 << 20;
	m.swap = 48 << 20;
	CHECK(groups_update(g, &(struct spec_resources){ .memory = &m }, &e) == 0);
	m.limit = 256 << 20;
	m.swap = 300 << 20;
	CHECK(groups_update(g, &(struct spec_resources){ .memory = &m }, &e) == 0);
	check_text(g, CGROUP_MEMORY, "memory.limit_in_bytes", "268435456", "memory.max",
		   "268435456");
	check_text(g, CGROUP_PIDS, "pids.max", "7", "pids.max", "7");
	m.swap = 1 << 20;
	CHECK(groups_update(g, &(struct spec_resources){ .memory = &m }, &e) < 0 &&
	      e.kind == ERR_INVALID);

	pid_t pid = sleeper(g);

	CHECK(wait_for_pids(g, 1) == 1);
	CHECK(groups_make(&o, &twin, &e) < 0 && e.kind == ERR_CONFLICT && !twin);
	CHECK(strstr(e.msg, "not empty"));
	groups_usage(g, &u);
	CHECK(u.pids == 1 && u.pids_limit == 7 && u.memory_limit_bytes == 256 << 20);

	CHECK(groups_freeze(g, true, soon(), &e) == 0 && groups_frozen(g));
	CHECK(groups_remove(g, clock_mono(), &e) < 0 && e.kind == ERR_CONFLICT);
	CHECK(groups_kill(g, soon(), &e) == 0); /* frozen, too */
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(groups_pids(g, NULL, 0, &n, &e) == 0 && n == 0);
	CHECK(groups_remove(g, soon(), &e) == 0);
	CHECK(groups_remove(g, soon(), &e) == 0);
}

static void test_saved(void)
{
	char dir[] = "/tmp/test_groups.XXXXXX", path[128];
	auto_groups struct groups *g = NULL, *again = NULL, *found = NULL;
	struct err e = { 0 };

	(void) snprintf(path, sizeof(path), "/%s-a/b/c", id);
	struct groups_options o = { .id = id, .path = path };

	CHECK(mkdtemp(dir) != NULL);
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(groups_make(&o, &g, &e) == 0);
	if (!g)
		return;
	CHECK(groups_save(g, fd, &e) == 0);
	CHECK(groups_load(fd, &again, &e) == 0);
	CHECK(groups_find(&o, &found, &e) == 0);
	for (size_t i = 0; again && found && i < g->n; i++) {
		CHECK(g->at[i].made == again->at[i].made);
		CHECK_STR(again->at[i].path, g->at[i].path);
		CHECK_STR(found->at[i].path, g->at[i].path);
	}
	if (again)
		CHECK(groups_remove(again, soon(), &e) == 0);
	/* Nothing of the path is left, the parents that were made for it neither. */
	for (size_t i = 0; i < g->n; i++) {
		char parent[80];

		(void) snprintf(parent, sizeof(parent), "%s-a", id);
		CHECK(faccessat(g->layout.at[i].root_fd, parent, F_OK, 0) < 0);
	}
	CHECK(unlinkat(fd, "cgroups", 0) == 0);
	CHECK(rmdir(dir) == 0);
}

static void test_refused(void)
{
	struct spec_cpu c = { .shares = 1, .shares_set = true };
	struct spec_resources r = { .cpu = &c };
	struct groups_options o = { .id = id, .resources = &r };
	struct json_pair pair = { "memory.max", "1" };
	struct groups *g = NULL;
	struct err e = { 0 };

	o.path = "/a/../b";
	CHECK(groups_make(&o, &g, &e) < 0 && e.kind == ERR_INVALID && !g);
	o.path = "";
	o.systemd = true;
	CHECK(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1) == 0);
	CHECK(groups_make(&o, &g, &e) < 0 && strstr(e.msg, "/nonexistent/bus") && !g);
	o.systemd = false;
	c.shares_set = false;
	c.cpus = "77-66";
	CHECK(groups_make(&o, &g, &e) < 0 && !g);
	CHECK(strstr(e.msg, "77-66") && strstr(e.msg, "cpuset.cpus"));
	r = (struct spec_resources){ .unified = &pair, .unified_n = 1 };
	pair.key = "../x";
	CHECK(groups_make(&o, &g, &e) < 0 && !g);
}

int main(void)
{
	struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	char path[96];

	(void) snprintf(id, sizeof(id), "test-groups-%d", getpid());
	(void) snprintf(path, sizeof(path), "/%s/x", id);
	if (geteuid() != 0 || cgroup_layout_open(&l) < 0 || l.n == 0 ||
	    faccessat(l.at[0].root_fd, ".", W_OK, 0) < 0) {
		(void) printf("no cgroups to write to here: skipped\n");
		return 77;
	}
	cgroup_layout_fini(&l);
	test_limits(NULL);
	test_limits(path);
	test_saved();
	test_refused();
	return test_done();
}

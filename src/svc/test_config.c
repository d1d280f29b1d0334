/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/config.h"

#include <signal.h>

#include "base/auto.h"
#include "base/test.h"

static struct err e;

static void test_json(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf one = BUF_INIT(1u << 20), two = BUF_INIT(1u << 20);
	struct mount_config mounts[] = {
		{ .kind = MOUNT_TMPFS, .target = "/t", .tmpfs_size = 42, .tmpfs_mode_set = true },
		{ .kind = MOUNT_BIND, .source = "/s", .target = "/b", .read_only = true },
	};
	struct ulimit_config ulimits[] = { { "nofile", 10, -1 } };
	struct json_pair labels[] = { { "k", "v\n\"" }, { "", "" } };
	const char *command[] = { "sh", "-c", "" };
	struct workload_config c = {
		.name = "n",
		.image = "i",
		.command = command,
		.command_n = 3,
		.entrypoint_set = true,
		.mounts = mounts,
		.mounts_n = 2,
		.ulimits = ulimits,
		.ulimits_n = 1,
		.labels = labels,
		.labels_n = 2,
		.resources = { .memory = UINT64_MAX, .memory_swap = -1 },
		.stop_timeout_s = -1,
		.restart = RESTART_ALWAYS,
	};
	struct workload_config back;

	workload_config_write(&c, &one);
	CHECK(buf_ok(&one));
	CHECK(workload_config_read(&a, buf_str(&one), &back, &e) == 0);
	CHECK(back.command_n == 3 && back.mounts_n == 2 && back.ulimits_n == 1);
	CHECK_STR(back.command[1], "-c");
	CHECK(back.mounts[0].tmpfs_size == 42 && back.mounts[1].read_only);
	CHECK(back.ulimits[0].hard == -1 && back.resources.memory == UINT64_MAX);
	CHECK(back.entrypoint_set && back.stop_timeout_s == -1 && back.restart == RESTART_ALWAYS);
	CHECK_STR(back.labels[0].value, "v\n\"");
	workload_config_write(&back, &two);
	CHECK_STR(buf_z(&two), buf_z(&one));
	CHECK(workload_config_read(&a, STR("{\"memory\":-1}"), &back, &e) < 0);
	CHECK(workload_config_read(&a, STR("{\"new-in-the-future\":[1]}"), &back, &e) == 0);
}

static void test_volumes(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct mount_config m;

	CHECK(config_parse_volume(&a, "name:/data:ro,nocopy", &m, &e) == 0);
	CHECK(m.kind == MOUNT_VOLUME && m.read_only && m.no_copy);
	CHECK_STR(m.source, "name");
	CHECK_STR(m.target, "/data");
	CHECK(config_parse_volume(&a, "/host:/a//b/../c/", &m, &e) == 0);
	CHECK(m.kind == MOUNT_BIND && m.create_source);
	CHECK_STR(m.target, "/a/c");
	CHECK(config_parse_volume(&a, "/anonymous", &m, &e) == 0 && !m.source);
	CHECK(config_parse_volume(&a, "./rel:/x:rshared", &m, &e) == 0 && m.source[0] == '/');
	CHECK_STR(m.propagation, "rshared");
	static const char *const bad[] = {
		"",    ":/x",	      "name:rel", "a b:/x", "name:/x:what",
		"x:/", "name:/../..", "n:",	  "n",	    "../etc"
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(config_parse_volume(&a, bad[i], &m, &e) < 0 && e.kind == ERR_INVALID);

	CHECK(config_parse_mount(&a, "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", &m, &e) ==
	      0);
	CHECK(m.kind == MOUNT_TMPFS && m.tmpfs_size == 1u << 20 && m.tmpfs_mode == 01770);
	CHECK(config_parse_mount(&a, "type=bind,src=/s,target=/t,readonly", &m, &e) == 0);
	CHECK(m.read_only && !m.create_source);
	CHECK(config_parse_mount(&a, "target=/v", &m, &e) == 0 && m.kind == MOUNT_VOLUME);
	static const char *const worse[] = { "",
					     "type=bind,target=/t",
					     "type=nfs,target=/t",
					     "src=/s",
					     "target=/t,readonly=maybe",
					     "type=tmpfs,src=x,target=/t",
					     "target=/t,unknown=1",
					     "target=/t,tmpfs-mode=9" };
	for (size_t i = 0; i < ARRAY_SIZE(worse); i++)
		CHECK(config_parse_mount(&a, worse[i], &m, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(config_parse_tmpfs(&a, "/run:size=1m,mode=755", &m, &e) == 0);
	CHECK_STR(m.tmpfs_options, "size=1m,mode=755");
}

static void test_words(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct ulimit_config u;
	uint32_t kind, max;
	int signo;

	CHECK(config_parse_ulimit(&a, "nofile=1024:2048", &u, &e) == 0 && u.hard == 2048);
	CHECK(config_parse_ulimit(&a, "core=-1", &u, &e) == 0 && u.soft == -1 && u.hard == -1);
	CHECK(config_parse_ulimit(&a, "nofle=1", &u, &e) < 0 && strstr(e.msg, "'nofile'"));
	CHECK(config_parse_ulimit(&a, "nofile=2:1", &u, &e) < 0);
	CHECK(config_parse_ulimit(&a, "nofile", &u, &e) < 0);
	CHECK(config_parse_restart("on-failure:3", &kind, &max, &e) == 0);
	CHECK(kind == RESTART_ON_FAILURE && max == 3);
	CHECK(config_parse_restart("always:3", &kind, &max, &e) < 0);
	CHECK(config_parse_restart("never", &kind, &max, &e) < 0);
	CHECK(config_parse_signal("term", &signo, &e) == 0 && signo == SIGTERM);
	CHECK(config_parse_signal("SIGUSR1", &signo, &e) == 0 && signo == SIGUSR1);
	CHECK(config_parse_signal("9", &signo, &e) == 0 && signo == SIGKILL);
	CHECK(config_parse_signal("RTMIN+3", &signo, &e) == 0 && signo == 37);
	CHECK(config_parse_signal("SIGRTMAX", &signo, &e) == 0 && signo == 64);
	CHECK(config_parse_signal("0", &signo, &e) < 0 && config_parse_signal("", &signo, &e) < 0);
	CHECK(config_parse_signal("65", &signo, &e) < 0 &&
	      config_parse_signal("SIG", &signo, &e) < 0);
	CHECK(config_name_ok("a") && config_name_ok("A_b.c-d"));
	CHECK(!config_name_ok("") && !config_name_ok("-a"));
	CHECK(!config_name_ok("a/b") && !config_name_ok("a b"));
}

static void test_check(void)
{
	struct mount_config twice[] = { { .target = "/a" }, { .target = "/a" } };
	const char *caps[] = { "NO_SUCH" };
	struct workload_config ok = { .image = "i", .stop_timeout_s = -1 };
	struct workload_config bad[] = { ok, ok, ok, ok, ok, ok, ok, ok, ok, ok, ok };

	CHECK(workload_config_check(&ok, &e) == 0);
	bad[0].image = NULL;
	bad[1].resources.memory = 4096;
	bad[2].auto_remove = true;
	bad[2].restart = RESTART_ALWAYS;
	bad[3].mounts = twice;
	bad[3].mounts_n = 2;
	bad[4].cap_add = caps;
	bad[4].cap_add_n = 1;
	bad[5].pid_mode = "nonsense";
	bad[6].network = "bridge";
	bad[7].resources.nano_cpus = 1000000000;
	bad[7].resources.cpu_quota = 5000;
	bad[8].workdir = "relative";
	bad[9].name = "../x";
	bad[10].resources.nano_cpus = UINT64_C(1000000000) << 20;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK(workload_config_check(&bad[i], &e) < 0);
		CHECK(e.kind == (i == 6 ? ERR_UNSUPPORTED : ERR_INVALID));
	}
}

int main(void)
{
	test_json();
	test_volumes();
	test_words();
	test_check();
	return test_done();
}

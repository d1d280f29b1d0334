/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "engine/engine.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/sandbox.h"
#include "fmt/json.h"
#include "fmt/spec.h"

#define PROCESS                                                                                    \
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"env\":[\"A=b\"],\"user\":{\"uid\":7}%s}"
#define OWN                                                                                        \
	"{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"           \
	"{\"type\":\"network\"}"

static const char whole[] =
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/w\",\"user\":{\"uid\":7,\"username\":\"x\"},"
	"\"apparmorProfile\":\"docker-default\",\"selinuxLabel\":\"a:b:c\",\"noNewPrivileges\":"
	"true},\"hostname\":\"h\",\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/f\",\"source\":\"f\",\"options\":[\"bind\",\"ro\"]}],"
	"\"hooks\":{\"poststop\":[{\"path\":\"/bin/x\"}]},\"annotations\":{\"k\":\"v\"},"
	"\"linux\":{\"namespaces\":[" OWN "],\"cgroupsPath\":\"/a/b\",\"mountLabel\":\"l\","
	"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"maskedPaths\":[\"/proc/kcore\"],"
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"},"
	"\"resources\":{\"memory\":{\"limit\":268435456,\"swap\":536870912},"
	"\"cpu\":{\"quota\":150000,\"period\":100000,\"shares\":512},\"pids\":{\"limit\":9},"
	"\"blockIO\":{\"weight\":20},\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}}}";

static int decode(struct arena *a, const char *text, const struct json **ret_root,
		  const struct spec **ret_s)
{
	struct err e = {};
	int r = json_parse(a, str_of(text), ret_root, &e);

	r = r < 0 ? r : spec_decode(a, *ret_root, ret_s, &e);
	CHECK(r == 0);
	return r;
}

static void test_config(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf text = BUF_INIT(1 << 16);
	const struct json *root = NULL, *again = NULL;
	const struct spec *s = NULL, *in = NULL;

	if (decode(&a, whole, &root, &s) < 0)
		return;
	inside_config(&text, s, root, POD_NONE, inside_memory(s));
	CHECK(buf_ok(&text));
	if (decode(&a, buf_z(&text), &again, &in) < 0)
		return;
	CHECK(in->root->readonly && in->mounts_n == 2 && in->process->user.uid == 7);
	CHECK(in->process->no_new_privileges && !in->process->user.username);
	CHECK(!in->process->apparmor_profile && !in->process->selinux_label);
	CHECK_STR(in->process->cwd, "/w");
	CHECK_STR(in->hostname, "h");
	CHECK_STR(in->mounts[0].type, "proc");
	CHECK_STR(in->mounts[1].type, "bind");
	CHECK(in->mounts[1].options_n == 2);
	CHECK(in->linux_.masked_paths_n == 1 && in->linux_.sysctl_n == 1);
	/* The host's, or given in another way. */
	CHECK(!in->linux_.cgroups_path && !in->linux_.mount_label && !in->linux_.seccomp);
	CHECK(!in->hooks[SPEC_HOOK_POSTSTOP].n && !in->annotations_n);
	CHECK(in->linux_.resources->memory->limit == 268435456);
	CHECK(!in->linux_.resources->memory->swap_set && !in->linux_.resources->block_io);
	CHECK(in->linux_.resources->cpu->quota == 150000);
	CHECK(in->linux_.resources->pids->limit == 9 && !in->linux_.resources->devices_n);
}

static void test_host_part(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct json *root = NULL;
	const struct spec *s = NULL;
	struct spec_resources *host;

	if (decode(&a, whole, &root, &s) < 0)
		return;
	host = inside_host_part(&a, s);
	CHECK(host && !host->pids && !host->devices_n && host->cpu->shares == 512);
	CHECK(host->block_io && host->block_io->weight == 20);
	/* 256 MiB, a quarter of it for the kernel, and 64 MiB. */
	CHECK(host->memory->limit == (INT64_C(256) + 64 + 64) << 20);
	CHECK(host->memory->swap == (INT64_C(512) + 64 + 64) << 20);
	CHECK(inside_memory(s) == 268435456);
	if (decode(&a, "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"}}", &root, &s) < 0)
		return;
	host = inside_host_part(&a, s);
	CHECK(host && !host->memory && !host->cpu);
	CHECK(inside_memory(s) == 0);
}

static void test_check(void)
{
	/* Beside `linux`, in its process, in it; and what is said. */
	static const struct {
		const char *top, *process, *namespaces, *in, *says;
	} all[] = {
		{ "", "", OWN, "", "" },
		{ "", "", OWN ",{\"type\":\"cgroup\"}", "", "" },
		{ "", "", "{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}", "",
		  "share the host's pid namespace" },
		{ "", "",
		  "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}",
		  "", "" },
		{ "", "",
		  "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
		  "{\"type\":\"network\",\"path\":\"/run/netns/x\"}",
		  "", "" },
		{ "", "", OWN ",{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}", "",
		  "join the user namespace '/proc/1/ns/user'" },
		{ "", "", OWN ",{\"type\":\"user\"}",
		  ",\"uidMappings\":[{\"containerID\":0,\"hostID\":5,\"size\":99}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":5,\"size\":99}]",
		  "map its ids" },
		{ "", "", OWN,
		  ",\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":8,\"minor\":0}]",
		  "have the host's device '/dev/sda'" },
		{ "", "", OWN,
		  ",\"devices\":[{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3}]",
		  "" },
		{ "\"mounts\":[{\"destination\":\"/p\",\"type\":\"ext4\",\"source\":\"/dev/x\"}],",
		  "", OWN, "", "mount a 'ext4' at '/p'" },
		{ "\"mounts\":[{\"destination\":\"/p\",\"type\":\"bind\",\"source\":\"/tmp\","
		  "\"options\":[\"rbind\",\"rshared\"]}],",
		  "", OWN, "", "come through '/p' (rshared)" },
		{ "\"mounts\":[{\"destination\":\"/p\",\"type\":\"bind\",\"source\":\"/tmp\","
		  "\"options\":[\"rbind\",\"idmap\"]}],",
		  "", OWN, "", "idmapped mount at '/p'" },
		{ "\"mounts\":[{\"destination\":\"/p\",\"type\":\"tmpfs\","
		  "\"options\":[\"copy-symlink\"]}],",
		  "", OWN, "", "'copy-symlink' at '/p'" },
		{ "\"hooks\":{\"createContainer\":[{\"path\":\"/x\"}]},", "", OWN, "",
		  "createContainer" },
		{ "\"hooks\":{\"startContainer\":[{\"path\":\"/x\"}]},", "", OWN, "",
		  "startContainer" },
		{ "\"hooks\":{\"poststop\":[{\"path\":\"/x\"}]},", "", OWN, "", "" },
		{ "", "", OWN,
		  ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/l\","
		  "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
		  "listener" },
		{ "", "", OWN, ",\"personality\":{\"domain\":\"LINUX32\"}", "personality" },
		{ "", ",\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":1}", OWN, "",
		  "process.ioPriority" },
		{ "", ",\"scheduler\":{\"policy\":\"SCHED_BATCH\"}", OWN, "", "process.scheduler" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct engine_caps caps = { .usable = true };
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct json *root = NULL;
		const struct spec *s = NULL;
		struct err e = {};
		const char *text = arena_printf(
			&a,
			"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},%s" PROCESS
			",\"linux\":{\"namespaces\":[%s]%s}}",
			all[i].top, all[i].process, all[i].namespaces, all[i].in);

		if (decode(&a, text, &root, &s) < 0)
			continue;
		CHECK((sandbox_check(&caps, s, &e) < 0) == (all[i].says[0] != '\0'));
		CHECK(strstr(e.msg, all[i].says));
		CHECK(!all[i].says[0] || e.kind == ERR_UNSUPPORTED);
	}
}

int main(void)
{
	test_config();
	test_host_part();
	test_check();
	return test_done();
}

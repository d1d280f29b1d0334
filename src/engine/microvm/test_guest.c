/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "engine/container/groups.h"
#include "engine/engine.h"
#include "engine/microvm/check.h"
#include "engine/microvm/guest.h"
#include "fmt/spec.h"

#define PROCESS                                                                                    \
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"env\":[\"A=b\"],\"apparmorProfile\":"      \
	"\"\",\"user\":{\"uid\":7}}"
#define OWN                                                                                        \
	"{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"           \
	"{\"type\":\"network\"}"

static const char whole[] =
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true}," PROCESS
	",\"hostname\":\"h\",\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/srv/data\","
	"\"options\":[\"rbind\",\"rprivate\",\"ro\"]},"
	"{\"destination\":\"/f\",\"source\":\"f\",\"options\":[\"bind\",\"src-nofollow\"]}],"
	"\"hooks\":{\"poststop\":[{\"path\":\"/bin/x\"}],"
	"\"startContainer\":[{\"path\":\"/bin/y\",\"args\":[\"y\",\"1\"]}]},"
	"\"annotations\":{\"k\":\"v\",\"run.oci.hooks.stdout\":\"/log\"},"
	"\"linux\":{\"namespaces\":[" OWN "],\"cgroupsPath\":\"/a/b\","
	"\"rootfsPropagation\":\"slave\",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},"
	"\"maskedPaths\":[\"/proc/kcore\"],\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"},"
	"\"resources\":{\"memory\":{\"limit\":268435457,\"swap\":536870912},"
	"\"cpu\":{\"quota\":150000,\"period\":100000,\"shares\":512},\"pids\":{\"limit\":9},"
	"\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}}}";

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
	struct guest g = {};
	struct err e = {};

	if (decode(&a, whole, &root, &s) < 0)
		return;
	CHECK(guest_plan(&a, s, POD_NONE, &g, &e) == 0);
	CHECK(g.shares_n == 3 && !g.shares[0].source && !g.shares[0].read_only);
	CHECK_STR(g.shares[1].source, "/srv/data");
	CHECK(g.shares[1].read_only && g.shares[1].recursive && !g.shares[2].read_only);
	CHECK(g.shares[2].nofollow && !g.shares[2].recursive);
	CHECK(g.memory == UINT64_C(258) << 20 && g.cpus == 2);
	CHECK(g.host->memory && (uint64_t) g.host->memory->limit == g.memory + GUEST_OVERHEAD);
	CHECK(g.host->cpu && g.host->cpu->shares == 512 && !g.host->pids && !g.host->devices_n);

	guest_config(&text, &g, s, root);
	CHECK(buf_ok(&text));
	if (decode(&a, buf_z(&text), &again, &in) < 0)
		return;
	CHECK_STR(in->root->path, "/run/atoll/shares/root");
	CHECK(in->root->readonly && in->mounts_n == 3 && in->process->user.uid == 7);
	CHECK_STR(in->mounts[0].source, "proc");
	CHECK_STR(in->mounts[1].source, "/run/atoll/shares/mount1");
	CHECK_STR(in->mounts[2].source, "/run/atoll/shares/mount2");
	CHECK(in->mounts[1].options_n == 3 && in->mounts[2].options_n == 1);
	CHECK_STR(in->hostname, "h");
	CHECK(!in->process->apparmor_profile && !in->linux_.cgroups_path);
	CHECK(!in->linux_.rootfs_propagation && !in->hooks[SPEC_HOOK_POSTSTOP].n);
	CHECK(in->hooks[SPEC_HOOK_START_CONTAINER].n == 1);
	CHECK_STR(in->hooks[SPEC_HOOK_START_CONTAINER].v[0].path, "/bin/y");
	CHECK(in->annotations_n == 1 && in->linux_.sysctl_n == 1 && in->linux_.seccomp);
	CHECK(in->linux_.ns[SPEC_NS_CGROUP].present && !in->linux_.ns[SPEC_NS_USER].present);
	CHECK(in->linux_.masked_paths_n == 1 && in->linux_.resources->devices_n == 1);
	CHECK(in->linux_.resources->memory->limit == 268435457);
	CHECK(!in->linux_.resources->memory->swap_set && !in->linux_.resources->cpu);
	CHECK(in->linux_.resources->pids->limit == 9);
}

/* The message of the refusal, "" when there is none. */
static const char *refusal(const char *parts, const char *namespaces)
{
	static struct err e;
	const struct engine_caps caps = { .usable = true };
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct json *root = NULL;
	const struct spec *s = NULL;
	char text[2048];

	e = (struct err){};
	(void) snprintf(text, sizeof(text),
			"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"}," PROCESS
			"%s,\"linux\":{\"namespaces\":[%s]%s}}",
			parts[0] == ',' ? "" : parts, namespaces, parts[0] == ',' ? parts : "");
	if (decode(&a, text, &root, &s) < 0)
		return "undecodable";
	if (microvm_check(&caps, s, &e) < 0)
		CHECK(e.kind == ERR_UNSUPPORTED);
	return e.msg;
}

static void test_check(void)
{
	static const struct {
		const char *parts, *namespaces, *says;
	} all[] = {
		{ "", "{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}",
		  "share the host's pid namespace" },
		{ "", OWN ",{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}",
		  "join the user namespace '/proc/1/ns/user'" },
		{ ",\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":8,\"minor\":0}]",
		  OWN, "host's device '/dev/sda'" },
	};

	CHECK_STR(refusal("", OWN), "");
	CHECK_STR(refusal(",\"devices\":[{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,"
			  "\"minor\":229}]",
			  OWN),
		  "");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		CHECK(strstr(refusal(all[i].parts, all[i].namespaces), all[i].says));
	/* Here the rest of `linux` is over, and another member takes its end. */
	CHECK(strstr(
		refusal(",\"x\":0},\"mounts\":[{\"destination\":\"/p\",\"source\":\"/proc/sys\","
			"\"options\":[\"bind\"]}],\"y\":{\"z\":0",
			OWN),
		"that is the host's kernel's"));
	CHECK(strstr(refusal(",\"x\":0},\"mounts\":[{\"destination\":\"/p\",\"source\":"
			     "\"/dev/null\",\"options\":[\"bind\"]}],\"y\":{\"z\":0",
			     OWN),
		     "the host's device '/dev/null'"));
	CHECK(strstr(refusal(",\"x\":0},\"mounts\":[{\"destination\":\"/p\",\"type\":\"ext4\","
			     "\"source\":\"/dev/x\"}],\"y\":{\"z\":0",
			     OWN),
		     "mount a 'ext4'"));
	CHECK(strstr(refusal(",\"x\":0},\"mounts\":[{\"destination\":\"/p\",\"source\":\"/tmp\","
			     "\"options\":[\"rbind\",\"rshared\"]}],\"y\":{\"z\":0",
			     OWN),
		     "come through '/p' (rshared)"));
	CHECK(strstr(refusal(",\"x\":0},\"hooks\":{\"createContainer\":[{\"path\":\"/x\"}]},"
			     "\"y\":{\"z\":0",
			     OWN),
		     "createContainer"));
	CHECK_STR(refusal(",\"x\":0},\"hooks\":{\"startContainer\":[{\"path\":\"/x\"}]},"
			  "\"y\":{\"z\":0",
			  OWN),
		  "");
	CHECK(strstr(
		refusal(",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			"\"listenerPath\":\"/run/"
			"l\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
			OWN),
		"listener"));
}

static void test_sizes(void)
{
	struct spec_cpu c = { .quota = 150000, .quota_set = true };

	CHECK(guest_cpus_of(NULL, 3) == 3 && guest_cpus_of(&c, 1) == 2);
	c.cpus = "0,2-4";
	CHECK(guest_cpus_of(&c, 1) == 2); /* as much as it may use at once */
	c.quota = -1;
	CHECK(guest_cpus_of(&c, 1) == 4);
	c.cpus = "nonsense";
	CHECK(guest_cpus_of(&c, 5) == 5);
	CHECK(guest_memory_of(1) == GUEST_MEMORY_LEAST);
	CHECK(guest_memory_of((200 << 20) + 1) == 202u << 20);
}

/* A pod's machine within what the host's cgroups leave it. */
static void test_fit(void)
{
	const uint64_t least = GUEST_MEMORY_LEAST + GUEST_POD_OWN;
	struct groups_bounds b = {};
	struct guest g = { .memory = 7, .memory_max = 7, .cpus = 3 };
	struct err e = {};

	CHECK(guest_fit(&g, &b, GUEST_POD_OWN, &e) == 0 && g.memory == 7 && g.cpus == 3);
	b = (struct groups_bounds){ .memory = least, .quota = 50000, .period = 100000 };
	CHECK(guest_fit(&g, &b, GUEST_POD_OWN, &e) == 0 && g.memory == GUEST_MEMORY_LEAST &&
	      g.cpus == 1);
	CHECK(g.memory_max == g.memory);
	b = (struct groups_bounds){ .memory = least + (3 << 20), .quota = 9, .period = 4 };
	CHECK(guest_fit(&g, &b, GUEST_POD_OWN, &e) == 0 && g.cpus == 3);
	CHECK(g.memory == GUEST_MEMORY_LEAST + (2 << 20)); /* in large pages */
	b.memory = least - 1;
	CHECK(guest_fit(&g, &b, GUEST_POD_OWN, &e) < 0 && strstr(e.msg, "too small"));
	b = (struct groups_bounds){ .quota = UINT64_C(1) << 60, .period = 1 };
	CHECK(guest_fit(&g, &b, GUEST_POD_OWN, &e) == 0 && g.cpus == GUEST_CPUS_MAX);
}

/* What is said of a device of the host is said of the disks there; by number, of one. */
static void test_rates(void)
{
	struct spec_throttle_device read = { .major = 8, .minor = 1, .rate = 100 };
	struct spec_block_io block = { .read_bps = &read, .read_bps_n = 1 };
	struct spec_disk_rate disk = { .index = 1, .rate = { .write_ops = 7 } };
	struct spec_rate network = { .read_bytes = 9 };
	struct spec_machine machine = { .disks = &disk, .disks_n = 1, .network = &network };
	struct spec_resources r = { .block_io = &block };
	struct rates s = { .disks_n = 2 };

	s.disks[0] = s.disks[1] = (struct rates_disk){ .major = 8, .minor = 1 };
	s.disks[1].minor = 77;
	CHECK(rates_apply(&s, &r) == 1 && s.disks[0].rate.read_bytes == 100);
	CHECK(!rates_limit(&s.disks[1].rate) && rates_limit(&s.disks[0].rate));
	r.machine = &machine;
	CHECK(rates_missing(&s, &r) < 0);
	CHECK(rates_apply(&s, &r) == (3 | RATES_NETWORK));
	CHECK(s.disks[1].rate.write_ops == 7 && s.network.read_bytes == 9);
	disk.index = 2;
	CHECK(rates_missing(&s, &r) == 2);
}

int main(void)
{
	test_sizes();
	test_fit();
	test_rates();
	test_config();
	test_check();
	return test_done();
}

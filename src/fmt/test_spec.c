/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/resource.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/spec.h"

static int decode(struct arena *a, const char *text, const struct spec **ret_s, struct err *e)
{
	const struct json *root = NULL;
	int r = json_parse(a, str_of(text), &root, e);

	return r < 0 ? r : spec_decode(a, root, ret_s, e);
}

static const char whole[] =
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"process\":{\"args\":[\"sh\",\"-c\",\"x\"],\"cwd\":\"/\",\"env\":[\"A=b\"],"
	"\"user\":{\"uid\":1,\"gid\":2,\"additionalGids\":[3,4],\"umask\":63},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":2}],"
	"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_NEW\"],\"effective\":[\"CAP_KILL\"]},"
	"\"oomScoreAdj\":-5,\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":3,"
	"\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]}},"
	"\"hooks\":{\"poststop\":[{\"path\":\"/bin/x\",\"timeout\":3}]},"
	"\"annotations\":{\"k\":\"v\"},"
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/n\"}],"
	"\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,"
	"\"type\":\"c\",\"major\":1,\"minor\":-1,\"access\":\"r\"}],\"memory\":{\"limit\":-1},"
	"\"pids\":{\"limit\":7},\"unified\":{\"memory.high\":\"5\"},"
	"\"rdma\":{\"mlx\":{\"hcaHandles\":3}}},"
	"\"timeOffsets\":{\"boottime\":{\"secs\":-3,\"nanosecs\":4}},"
	"\"personality\":{\"domain\":\"LINUX32\"},"
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
	"\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
	"\"args\":[{\"index\":0,\"value\":18446744073709551615,\"op\":\"SCMP_CMP_EQ\"}]}]}}}";

/* What was decoded, written and decoded again says the same. */
static void test_process_write(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf first = BUF_INIT(1 << 16), again = BUF_INIT(1 << 16);
	struct json_writer w = JSON_WRITER(&first), v = JSON_WRITER(&again);
	const struct spec_process *p = NULL;
	const struct json *root = NULL;
	const struct spec *s = NULL;
	struct err e = {};

	CHECK(decode(&a, whole, &s, &e) == 0);
	if (!s)
		return;
	spec_process_write(&w, NULL, s->process);
	CHECK(json_parse(&a, buf_str(&first), &root, &e) == 0);
	CHECK(spec_process_decode(&a, root, &p, &e) == 0);
	if (!p)
		return;
	CHECK(p->rlimits_n == 1 && p->rlimits[0].resource == RLIMIT_NOFILE);
	CHECK(p->caps->bounding == 1 && p->caps->effective == 32 && p->caps->ambient == 0);
	CHECK(p->user.umask_set && p->user.umask == 077 && p->user.additional_gids.n == 2);
	CHECK(p->scheduler->policy == 1 && p->scheduler->flags == 1);
	CHECK(p->oom_score_adj_set && p->oom_score_adj == -5);
	spec_process_write(&v, NULL, p);
	CHECK(buf_ok(&first) && str_eq(buf_str(&first), buf_str(&again)));
}

static void test_whole(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct spec *s = NULL;
	struct err e = {};

	CHECK(decode(&a, whole, &s, &e) == 0);
	if (!s)
		return;
	CHECK(s->root->readonly && s->process->args_n == 3 && s->process->user.umask == 077);
	CHECK(s->process->user.additional_gids.n == 2 &&
	      s->process->user.additional_gids.v[1] == 4);
	CHECK(s->process->rlimits[0].resource == RLIMIT_NOFILE);
	CHECK(s->process->caps->bounding == 1 && s->process->caps->effective == 32);
	CHECK_STR(s->process->caps->unknown, "CAP_NEW");
	CHECK(s->process->oom_score_adj_set && s->process->oom_score_adj == -5);
	CHECK(s->process->scheduler->policy == 1 && s->process->scheduler->flags == 1);
	CHECK(s->hooks[SPEC_HOOK_POSTSTOP].n == 1 &&
	      s->hooks[SPEC_HOOK_POSTSTOP].v[0].timeout == 3);
	CHECK_STR(spec_annotation(s, "k"), "v");
	CHECK(!spec_annotation(s, "none"));
	CHECK(s->linux_.ns[SPEC_NS_PID].present && !s->linux_.ns[SPEC_NS_PID].path);
	CHECK_STR(s->linux_.ns[SPEC_NS_NETWORK].path, "/n");
	CHECK(!s->linux_.ns[SPEC_NS_USER].present);
	CHECK(s->linux_.resources->devices_n == 2 && s->linux_.resources->devices[0].major == -1);
	CHECK(s->linux_.resources->devices[0].type == 'a');
	CHECK(s->linux_.resources->devices[1].read && !s->linux_.resources->devices[1].write);
	CHECK(s->linux_.resources->memory->limit_set && s->linux_.resources->memory->limit == -1);
	CHECK(!s->linux_.resources->memory->swap_set && !s->linux_.resources->cpu);
	CHECK(s->linux_.resources->unified_n == 1 && s->linux_.resources->rdma[0].hca_handles == 3);
	CHECK(s->linux_.boottime.set && s->linux_.boottime.secs == -3 && !s->linux_.monotonic.set);
	CHECK(s->linux_.personality_set && s->linux_.personality == 8);
	CHECK(s->linux_.seccomp->rules[0].args[0].value == UINT64_MAX);
}

static void test_refused(void)
{
#define PROCESS "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\""
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "{}", "ociVersion: missing" },
		{ "{\"ociVersion\":\"2.0.0\"}",
		  "ociVersion: '2.0.0' is not 1.x, the version served here" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"cwd\":\"/\"}}",
		  "process.args: must not be empty" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[\"a\"]}}",
		  "process.cwd: Cwd property must not be empty" },
		{ PROCESS ",\"user\":{\"uid\":4294967295}}}",
		  "process.user.uid: 4294967295 is not an integer from 0 to 4294967294" },
		{ PROCESS ",\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]}}",
		  "process.rlimits[0].type: 'RLIMIT_X' is none of those known here" },
		{ PROCESS ",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},"
			  "{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]}}",
		  "process.rlimits[1]: the same limit twice" },
		{ PROCESS "},\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}}",
		  "linux.namespaces: 'pid' twice" },
		{ PROCESS "},\"linux\":{\"namespaces\":[{\"type\":\"net\"}]}}",
		  "linux.namespaces[0].type: 'net' is none of those known here" },
		{ PROCESS "},\"linux\":{\"resources\":{\"unified\":{\"../x\":\"1\"}}}}",
		  "unified resource \"../x\" must be a file name without /" },
		{ PROCESS "},\"linux\":{\"resources\":{\"devices\":[{\"access\":\"x\"}]}}}",
		  "linux.resources.devices[0].access: must be of the letters r, w, m" },
		{ PROCESS "},\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}}",
		  "hooks.prestart[0].path: must be absolute, not 'x'" },
		{ PROCESS "},\"linux\":{\"timeOffsets\":{\"monotonic\":{\"nanosecs\":-1}}}}",
		  "linux.timeOffsets.monotonic: must be { secs: integer, nanosecs: 0 to "
		  "999999999 }" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct spec *s = NULL;
		struct err e = {};

		CHECK(decode(&a, bad[i].text, &s, &e) < 0);
		CHECK_STR(e.msg, bad[i].message);
	}
}

int main(void)
{
	CHECK(spec_cap_number("CAP_SYS_ADMIN") == 21 && spec_cap_number("sys_admin") == 21);
	CHECK(spec_cap_number("CAP_NONE") < 0 && !spec_cap_name(SPEC_CAP_N));
	CHECK_STR(spec_ns_name(SPEC_NS_TIME), "time");
	test_whole();
	test_process_write();
	test_refused();
	return test_done();
}

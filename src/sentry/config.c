/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/config.h"

#include <errno.h>
#include <linux/sched.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"

#define CONFIG_MAX (8u << 20)

static int refuse(struct err *e, const char *what)
{
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "config.json: a sandbox has no %s", what);
}

struct refusal {
	bool asked;
	const char *what;
};

static int refuse_first(const struct refusal *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].asked)
			return refuse(e, v[i].what);
	return 0;
}

static int check_process(const struct spec_process *p, struct err *e)
{
	const struct refusal list[] = {
		{ p->apparmor_profile && *p->apparmor_profile, "process.apparmorProfile" },
		{ p->selinux_label && *p->selinux_label, "process.selinuxLabel" },
		{ p->scheduler && p->scheduler->policy == SCHED_DEADLINE,
		  "process.scheduler.policy SCHED_DEADLINE" },
		{ p->scheduler && p->scheduler->flags, "process.scheduler.flags" },
		{ p->io_priority, "process.ioPriority" },
		{ p->exec_cpu_affinity, "process.execCPUAffinity" },
	};

	if (!p->args_n || !p->args[0][0])
		return err_set(e, ERR_INVALID, EINVAL,
			       "config.json: process.args names no program");
	if (!p->cwd || p->cwd[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "config.json: process.cwd is no absolute path");
	if (p->caps && p->caps->unknown)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: '%s' is no capability of a sandbox", p->caps->unknown);
	return refuse_first(list, ARRAY_SIZE(list), e);
}

static int check(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	const struct refusal list[] = {
		{ s->has_vm, "section 'vm'" },
		{ s->hooks[SPEC_HOOK_START_CONTAINER].n > 0, "hooks.startContainer" },
		{ l->net_devices_n > 0, "linux.netDevices" },
		{ l->mount_label && *l->mount_label, "linux.mountLabel" },
		{ l->intel_rdt, "linux.intelRdt" },
		{ l->memory_policy, "linux.memoryPolicy" },
		{ l->monotonic.set || l->boottime.set, "linux.timeOffsets" },
	};

	if (!s->process)
		return err_set(e, ERR_INVALID, EINVAL, "config.json: there is no process");
	for (size_t i = 0; i < SPEC_NS_N_; i++)
		if (l->ns[i].present && l->ns[i].path)
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "config.json: a sandbox joins no namespace: '%s'",
				       spec_ns_name((enum spec_ns_type) i));
	return refuse_first(list, ARRAY_SIZE(list), e);
}

int config_read(int fd, struct arena *a, const struct spec **ret_s, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX);
	int r = fd_read_all(fd, &text);

	return r < 0 ? err_sys(e, -r, "read config.json") : config_text(buf_z(&text), a, ret_s, e);
}

int config_text(const char *json, struct arena *a, const struct spec **ret_s, struct err *e)
{
	const struct json *root;
	int r;

	if (json_parse(a, str_of(json), &root, e) < 0 || spec_decode(a, root, ret_s, e) < 0)
		return err_ctx(e, "config.json");
	r = check(*ret_s, e);
	return r < 0 ? r : check_process((*ret_s)->process, e);
}

int config_process(const char *json, struct arena *a, const struct spec_process **ret_p,
		   struct err *e)
{
	const struct json *root;

	if (json_parse(a, str_of(json), &root, e) < 0 || spec_process_decode(a, root, ret_p, e) < 0)
		return err_ctx(e, "process");
	return check_process(*ret_p, e);
}

uint64_t config_memory(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;

	return r && r->memory && r->memory->limit_set && r->memory->limit > 0
		       ? (uint64_t) r->memory->limit
		       : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other limits while it runs. How much memory the guest may use and how many tasks it may have is
 * its kernel's, which shows them, too; shares of the host, and what its memory takes there, are the
 * cgroups'. The host's limit is never below what the guest may use.
 */
#include <errno.h>

#include "base/auto.h"
#include "base/log.h"
#include "engine/container/groups.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/sandbox.h"

#define WITHIN (10 * NSEC_PER_SEC)

static bool has_groups(const struct sandbox *s)
{
	return s->groups && groups_any(s->groups);
}

/* 0: not given. */
static uint64_t wanted_memory(const struct spec_resources *r)
{
	const struct spec_memory *m = r->memory;

	if (!m || !m->limit_set)
		return 0;
	return m->limit < 0 ? SENTRY_NO_LIMIT : (uint64_t) m->limit;
}

/* 0: not given; no task at all cannot be: as few as can be is meant. */
static uint64_t wanted_tasks(const struct spec_resources *r)
{
	if (!r->pids || !r->pids->limit_set)
		return 0;
	if (r->pids->limit < 0)
		return SENTRY_NO_LIMIT;
	return r->pids->limit ? (uint64_t) r->pids->limit : 1;
}

/* As the guest's /sys/fs/cgroup is to show them. */
static struct sentry_request told_cpu(const struct sandbox *s, const struct spec_cpu *c)
{
	struct sentry_request q = sandbox_request(s, SENTRY_UPDATE);

	if (c && c->quota_set)
		q.cpu_quota = c->quota > 0 ? (uint64_t) c->quota : SENTRY_NO_LIMIT;
	if (c && c->period_set)
		q.cpu_period = c->period;
	return q;
}

static int ask(const struct sandbox *s, const struct sentry_request *q, struct sentry_reply *ret,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	int r = control_ask(s, q, clock_deadline(WITHIN), &a, ret, e);

	ret->reason = ""; /* it was in the arena */
	return r;
}

static int update_inside(const struct sandbox *s, const struct sentry_request *q, struct err *e)
{
	struct sentry_reply answer;

	return q->memory || q->tasks || q->cpu_quota || q->cpu_period ? ask(s, q, &answer, e) : 0;
}

/* Of one of a pod's containers, which has only what stands for it on the host. */
static int check_in_pod(const struct spec_resources *r, struct err *e)
{
	const struct spec_resources disks = { .block_io = r->block_io };

	if (groups_needed(&disks) ||
	    (r->cpu && ((r->cpu->cpus && *r->cpu->cpus) || (r->cpu->mems && *r->cpu->mems))))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container of a sandbox's pod can change its memory and number of "
			       "processes alone: disks and processors are the whole pod's");
	return 0;
}

static int update_host(const struct sandbox *s, const struct spec_resources *r, uint64_t memory,
		       struct err *e)
{
	struct spec_resources host = *r;
	struct spec_memory m = r->memory ? *r->memory : (struct spec_memory){};

	if (s->joins)
		return check_in_pod(r, e);
	/* As with runc devices are no part of an update. */
	host.devices = NULL;
	host.devices_n = 0;
	host.pids = NULL;
	inside_host_memory(&m, memory == SENTRY_NO_LIMIT ? 0 : memory);
	host.memory = r->memory ? &m : NULL;
	if (has_groups(s))
		return groups_update(s->groups, &host, e);
	/* How much the guest may use is kept without one, as when it was made. */
	if (m.limit_set)
		host.memory = NULL;
	return groups_needed(&host)
		       ? err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				 "limits of the host need a cgroup, and this sandbox has none")
		       : 0;
}

/* Up first on the host, down first inside; the host refuses first what it refuses. */
static int update_both(struct sandbox *s, const struct spec_resources *r,
		       const struct sentry_request *q, struct err *e)
{
	struct sentry_request undo = sandbox_request(s, SENTRY_UPDATE);
	const struct sentry_request look = sandbox_request(s, SENTRY_STATS);
	struct sentry_reply before, ignored;
	struct err other;
	uint64_t memory;
	int res = ask(s, &look, &before, e);

	if (res < 0)
		return res;
	memory = q->memory ? q->memory : before.memory_limit;
	if (q->memory > before.memory_most) {
		res = update_host(s, r, memory, e);
		return res < 0 ? res : update_inside(s, q, e);
	}
	res = update_inside(s, q, e);
	if (res < 0)
		return res;
	res = update_host(s, r, memory, e);
	if (res == 0)
		return 0;
	undo.memory = q->memory ? before.memory_limit ? before.memory_limit : SENTRY_NO_LIMIT : 0;
	undo.tasks = q->tasks ? before.tasks_limit ? before.tasks_limit : SENTRY_NO_LIMIT : 0;
	if (ask(s, &undo, &ignored, &other) < 0)
		log_warn("a sandbox has new limits inside, and not on the host: %s", other.msg);
	return res;
}

int sandbox_update(struct instance *in, const struct spec_resources *r, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct sentry_request q = sandbox_request(s, SENTRY_UPDATE);
	const struct sentry_request cpu = told_cpu(s, r->cpu);
	int res;

	q.memory = wanted_memory(r);
	q.tasks = wanted_tasks(r);
	if (q.memory != SENTRY_NO_LIMIT && sandbox_check_memory(q.memory, e) < 0)
		return -1;
	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "the limits of a paused sandbox cannot change: nothing in it runs");
	res = update_both(s, r, &q, e);
	res = res < 0 ? res : update_inside(s, &cpu, e);
	if (res < 0 || !q.memory)
		return res;
	s->memory = q.memory == SENTRY_NO_LIMIT ? 0 : q.memory;
	return sandbox_save(in, s->state_fd, e);
}

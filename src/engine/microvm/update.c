/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a running machine: its share of the host's processors and disks is the host's cgroups',
 * the workload's own memory and number of processes are the guest's. What a machine was made with,
 * its processors and memory, is not changed while it runs.
 */
#include <errno.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/microvm/agent.h"
#include "engine/microvm/microvm.h"
#include "fmt/json.h"

#define WITHIN (60 * NSEC_PER_SEC)

static int check(const struct microvm *m, const struct spec_resources *r, struct err *e)
{
	const struct spec_cpu *c = r->cpu;
	uint64_t period = c && c->period_set && c->period ? c->period : 100000;

	if (r->devices_n || r->hugepages_n || r->network || r->rdma_n || r->unified_n ||
	    r->intel_rdt)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a running microvm can change its memory, number of processes, "
			       "processors and disks alone");
	if (c && c->quota_set && c->quota > 0 && (uint64_t) c->quota > period * m->cpus)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the machine has %u processor%s while it runs: more come with a new "
			       "start",
			       m->cpus, m->cpus == 1 ? "" : "s");
	if (r->memory && r->memory->limit_set &&
	    (r->memory->limit < 0 || (uint64_t) r->memory->limit > m->memory))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the machine has %llu MiB of memory while it runs: more comes with "
			       "a new start",
			       (unsigned long long) (m->memory >> 20));
	if (r->memory && (r->memory->reservation_set || r->memory->kernel_set ||
			  r->memory->kernel_tcp_set || r->memory->swappiness_set))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "of a microvm's memory only the limit can be changed");
	return 0;
}

static int update_guest(struct microvm *m, const struct spec_resources *r, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf text = BUF_INIT(1u << 12);
	struct json_writer w = JSON_WRITER(&text);
	struct agent_msg q = agent_msg_of(AGENT_UPDATE), answer;

	json_w_object(&w, NULL);
	if (r->memory && r->memory->limit_set) {
		json_w_object(&w, "memory");
		json_w_i64(&w, "limit", r->memory->limit);
		json_w_end(&w);
	}
	if (r->pids && r->pids->limit_set) {
		json_w_object(&w, "pids");
		json_w_i64(&w, "limit", r->pids->limit);
		json_w_end(&w);
	}
	json_w_end(&w);
	if (!buf_ok(&text))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	q.update.id = m->id;
	q.update.resources = buf_z(&text);
	return agent_request(m->state_fd, &q, AGENT_OK, clock_deadline(WITHIN), &a, &answer, e);
}

int microvm_update(struct instance *in, const struct spec_resources *r, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct spec_resources host = { .cpu = r->cpu, .block_io = r->block_io };
	int res = check(m, r, e);

	if (res < 0)
		return res;
	if (r->cpu || r->block_io) {
		if (!m->groups || !groups_any(m->groups))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "limits need a cgroup, and this machine has none");
		res = groups_update(m->groups, &host, e);
		if (res < 0)
			return res;
	}
	if ((r->memory && r->memory->limit_set) || (r->pids && r->pids->limit_set)) {
		if (in->state == ENGINE_PAUSED)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "a paused microvm cannot change its memory and number of "
				       "processes: nothing in it runs");
		return update_guest(m, r, e);
	}
	return 0;
}

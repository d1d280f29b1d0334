/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a running machine: its share of the host's processors and disks is the host's cgroups',
 * the workload's own memory and number of processes are the guest's. The guest sees what it has: of
 * the machine's processors the agent switches off what is not to be used, memory goes into the
 * balloon. Neither grows past what the machine was made with.
 */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/microvm/agent.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/microvm.h"
#include "engine/microvm/monitor.h"
#include "fmt/json.h"

#define WITHIN	       (60 * NSEC_PER_SEC)
#define BALLOON_WITHIN (100 * NSEC_PER_SEC)
#define BALLOON_LEAVES (UINT64_C(16) << 20) /* to a guest that gives all it can */

static int check_memory(const struct microvm *m, const struct spec_memory *r, struct err *e)
{
	if (r->limit_set && (r->limit <= 0 || guest_memory_of(r->limit) > m->memory))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the machine has at most %llu MiB of memory while it runs; one that "
			       "was started with --memory-max can be given more",
			       (unsigned long long) (m->memory >> 20));
	if (r->reservation_set || r->kernel_set || r->kernel_tcp_set || r->swappiness_set)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "of a microvm's memory only the limit can be changed");
	return 0;
}

/* The limits of one of the machine's containers: all of them the guest's. */
static int check_in_pod(const struct spec_resources *r, struct err *e)
{
	const struct spec_resources disks = { .block_io = r->block_io };

	if (groups_needed(&disks) ||
	    (r->cpu && ((r->cpu->cpus && *r->cpu->cpus) || (r->cpu->mems && *r->cpu->mems))))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container of a microvm's pod can change its memory, number of "
			       "processes and share of the processors alone: disks and which "
			       "processors are the whole pod's");
	return 0;
}

static int check(const struct microvm *m, const struct spec_resources *r, struct err *e)
{
	/* Devices, which callers give as they were, are no part of an update: as with runc. */
	if (r->hugepages_n || r->network || r->rdma_n || r->unified_n || r->intel_rdt)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a running microvm can change its memory, number of processes, "
			       "processors, disks and cards alone");
	if (m->pod_path)
		return check_in_pod(r, e);
	if (guest_cpus_of(r->cpu, m->cpus) > m->cpus_max)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the machine has at most %u processor%s while it runs; one that was "
			       "started with --cpus-max can be given more",
			       m->cpus_max, m->cpus_max == 1 ? "" : "s");
	if (rates_missing(&m->rates, r) >= 0)
		return err_set(e, ERR_INVALID, ENODEV,
			       "the machine has no disk vd%c to limit: it has %zu",
			       'a' + rates_missing(&m->rates, r) % 26, m->rates.disks_n);
	return r->memory ? check_memory(m, r->memory, e) : 0;
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
	if (r->cpu && m->pod_path)
		guest_cpu(&w, r->cpu);
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
	return agent_request(m->machine_fd, &q, AGENT_OK, clock_deadline(WITHIN), &a, &answer, e);
}

/* ---- processors -------------------------------------------------------------------------- */

static int update_cpus(struct microvm *m, const struct spec_cpu *c, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 16);
	struct agent_msg q = agent_msg_of(AGENT_PROCESSORS), answer;
	uint32_t n = guest_cpus_of(c, m->cpus);
	int r;

	if (n == m->cpus)
		return 0;
	q.processors.online = n;
	r = agent_request(m->machine_fd, &q, AGENT_OK, clock_deadline(WITHIN), &a, &answer, e);
	if (r < 0)
		return err_ctx(e, "processors of the guest");
	m->cpus = n;
	return 0;
}

/* ---- memory ------------------------------------------------------------------------------ */

/* The cgroup of the machine's processes: what the guest has, and what they need beside. */
static int update_host_memory(struct microvm *m, uint64_t bytes, struct err *e)
{
	struct spec_memory limit = { .limit = (int64_t) (bytes + GUEST_OVERHEAD),
				     .limit_set = true };
	const struct spec_resources host = { .memory = &limit };

	return m->groups && groups_any(m->groups) ? groups_update(m->groups, &host, e) : 0;
}

/* A guest that has no more to give would kill for memory; it is asked before. */
static int check_needed(struct microvm *m, uint64_t bytes, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 16);
	struct agent_msg q = agent_msg_of(AGENT_MACHINE_USAGE), answer;
	uint64_t wanted = bytes < m->memory_now ? m->memory_now - bytes : 0, free;
	int r = wanted ? agent_request(m->machine_fd, &q, AGENT_MACHINE_USAGE_IS,
				       clock_deadline(WITHIN), &a, &answer, e)
		       : 0;

	if (r < 0 || !wanted)
		return r;
	free = answer.machine_usage.memory_available_bytes;
	return wanted + BALLOON_LEAVES <= free
		       ? 0
		       : err_set(e, ERR_CONFLICT, EBUSY,
				 "the guest needs its memory: %llu MiB less is not possible while "
				 "%llu MiB are free",
				 (unsigned long long) (wanted >> 20),
				 (unsigned long long) (free >> 20));
}

/* What does not come by then is not asked for any more: all is as it was. */
static int inflate(struct microvm *m, uint64_t bytes, struct err *e)
{
	uint64_t given, ignored;
	struct err other;
	int r = monitor_balloon(m, m->memory - bytes, true, clock_deadline(BALLOON_WITHIN), &given,
				e);

	if (r < 0 && e->kind == ERR_TIMEOUT) {
		(void) monitor_balloon(m, m->memory - m->memory_now, false, clock_deadline(WITHIN),
				       &ignored, &other);
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "the guest needs its memory: of %llu MiB it gave %llu MiB up",
			       (unsigned long long) ((m->memory_now - bytes) >> 20),
			       (unsigned long long) ((given + m->memory_now > m->memory
							      ? given + m->memory_now - m->memory
							      : 0) >>
						     20));
	}
	return r;
}

/* The host's limit is never below what the guest may touch. */
static int update_memory(struct microvm *m, int64_t limit, struct err *e)
{
	uint64_t bytes = guest_memory_of(limit);
	int r = bytes > m->memory_now ? update_host_memory(m, bytes, e) : check_needed(m, bytes, e);

	if (r == 0 && bytes != m->memory_now)
		r = inflate(m, bytes, e);
	if (r == 0 && bytes < m->memory_now)
		r = update_host_memory(m, bytes, e);
	if (r == 0)
		m->memory_now = bytes;
	return r;
}

/* ---- disks and cards --------------------------------------------------------------------- */

static int update_rates(struct microvm *m, const struct spec_resources *r, struct err *e)
{
	struct rates now = m->rates;
	uint32_t said = rates_apply(&now, r);
	nsec_t deadline = clock_deadline(WITHIN);
	int res = 0;

	for (size_t i = 0; res == 0 && i < now.disks_n; i++)
		if ((said & 1u << i) && memcmp(&now.disks[i].rate, &m->rates.disks[i].rate,
					       sizeof(now.disks[i].rate)) != 0)
			res = monitor_limit_disk(m, i, &now.disks[i].rate, deadline, e);
	if (res == 0 && (said & RATES_NETWORK) &&
	    memcmp(&now.network, &m->rates.network, sizeof(now.network)) != 0)
		res = monitor_limit_cards(m, &now.network, deadline, e);
	if (res == 0)
		m->rates = now;
	return res;
}

int microvm_update(struct instance *in, const struct spec_resources *r, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct spec_resources host = { .cpu = r->cpu, .block_io = r->block_io };
	bool memory = r->memory && r->memory->limit_set;
	bool inside = memory || (r->pids && r->pids->limit_set) ||
		      guest_cpus_of(r->cpu, m->cpus) != m->cpus;
	int res = check(m, r, e);

	if (res < 0)
		return res;
	if (inside && in->state == ENGINE_PAUSED)
		return err_set(
			e, ERR_CONFLICT, EBUSY,
			"a paused microvm cannot change its memory, processors and number of "
			"processes: nothing in it runs");
	if (m->pod_path)
		return inside || r->cpu ? update_guest(m, r, e) : 0;
	if (r->cpu || r->block_io) {
		if (!m->groups || !groups_any(m->groups))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "limits need a cgroup, and this machine has none");
		res = groups_update(m->groups, &host, e);
	}
	res = res < 0 ? res : update_rates(m, r, e);
	res = res < 0 ? res : update_cpus(m, r->cpu, e);
	res = res < 0 || !memory ? res : update_memory(m, r->memory->limit, e);
	if (res == 0 && (memory || (r->pids && r->pids->limit_set)))
		res = update_guest(m, r, e);
	return res;
}

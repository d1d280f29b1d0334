/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources.memory: limits that bound one another, so the order of writing matters. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/container/groups_limits.h"
#include "fmt/spec.h"

#define WHAT_LIMIT "linux.resources.memory.limit"
#define WHAT_SWAP  "linux.resources.memory.swap"

static void text_of(int64_t v, bool unified, char ret_text[static 24])
{
	if (v < 0)
		(void) snprintf(ret_text, 24, "%s", unified ? "max" : "-1");
	else
		(void) snprintf(ret_text, 24, "%lld", (long long) v);
}

static int put_bytes(const struct groups_place *p, const char *file, int64_t v, const char *what,
		     struct err *e)
{
	char text[24];

	text_of(v, p->unified, text);
	return groups_put(p, file, text, what, e);
}

static int check_usage(const struct groups_place *p, int64_t limit, struct err *e)
{
	uint64_t usage = 0;

	if (limit <= 0 ||
	    cgroup_read_u64(p->dir_fd, p->unified ? "memory.current" : "memory.usage_in_bytes",
			    &usage) < 0)
		return 0;
	if (usage <= (uint64_t) limit)
		return 0;
	return err_set(e, ERR_CONFLICT, EBUSY,
		       WHAT_LIMIT ": rejecting memory limit %lld <= usage %llu (checkBeforeUpdate)",
		       (long long) limit, (unsigned long long) usage);
}

/* EBUSY of the limit: what is in use cannot be pushed out. Say how much that is. */
static int put_limit_v1(const struct groups_place *p, int64_t v, struct err *e)
{
	char text[24];
	uint64_t usage = 0, peak = 0;

	text_of(v, false, text);
	int r = cgroup_write(p->dir_fd, "memory.limit_in_bytes", text);

	if (r != -EBUSY)
		return r == 0 ? 0 : groups_put(p, "memory.limit_in_bytes", text, WHAT_LIMIT, e);
	(void) cgroup_read_u64(p->dir_fd, "memory.usage_in_bytes", &usage);
	(void) cgroup_read_u64(p->dir_fd, "memory.max_usage_in_bytes", &peak);
	return err_set(e, ERR_CONFLICT, EBUSY,
		       WHAT_LIMIT ": unable to set memory limit to %lld (current usage: %llu, peak "
				  "usage: %llu)",
		       (long long) v, (unsigned long long) usage, (unsigned long long) peak);
}

static int limits_v1(const struct groups_place *p, const struct spec_memory *m, struct err *e)
{
	bool limit = m->limit_set && m->limit != 0, swap = m->swap_set && m->swap != 0;
	int64_t swap_v = m->swap;
	uint64_t now = UINT64_MAX;
	int r = 0;

	if (limit && m->limit < 0 && !swap) { /* no memory limit: one on the sum makes no sense */
		swap = faccessat(p->dir_fd, "memory.memsw.limit_in_bytes", F_OK, 0) == 0;
		swap_v = -1;
	}
	if (limit && swap && m->limit > 0 && swap_v > 0 && swap_v < m->limit)
		return err_set(e, ERR_INVALID, EINVAL,
			       WHAT_SWAP ": memory+swap limit %lld should be >= memory limit %lld",
			       (long long) swap_v, (long long) m->limit);
	/* The sum may never be below the memory limit: raise it first, lower it last. */
	if (swap)
		(void) cgroup_read_u64(p->dir_fd, "memory.memsw.limit_in_bytes", &now);
	bool swap_first = swap && (swap_v < 0 || (uint64_t) swap_v > now);

	if (swap_first)
		r = put_bytes(p, "memory.memsw.limit_in_bytes", swap_v, WHAT_SWAP, e);
	if (r == 0 && limit)
		r = put_limit_v1(p, m->limit, e);
	if (r == 0 && swap && !swap_first)
		r = put_bytes(p, "memory.memsw.limit_in_bytes", swap_v, WHAT_SWAP, e);
	return r;
}

static int memory_v1(const struct groups_place *p, const struct spec_memory *m, struct err *e)
{
	int r = limits_v1(p, m, e);

	if (r == 0 && m->reservation_set && m->reservation)
		r = put_bytes(p, "memory.soft_limit_in_bytes", m->reservation,
			      "linux.resources.memory.reservation", e);
	if (r == 0 && m->kernel_tcp_set && m->kernel_tcp)
		r = put_bytes(p, "memory.kmem.tcp.limit_in_bytes", m->kernel_tcp,
			      "linux.resources.memory.kernelTCP", e);
	if (r == 0 && m->swappiness_set) {
		if (m->swappiness > 100)
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.resources.memory.swappiness: invalid memory "
				       "swappiness value: %llu (valid range is 0-100)",
				       (unsigned long long) m->swappiness);
		r = put_bytes(p, "memory.swappiness", (int64_t) m->swappiness,
			      "linux.resources.memory.swappiness", e);
	}
	if (r == 0 && m->disable_oom_killer_set && m->disable_oom_killer)
		r = groups_put(p, "memory.oom_control", "1",
			       "linux.resources.memory.disableOOMKiller", e);
	if (r == 0 && m->use_hierarchy_set && m->use_hierarchy)
		(void) cgroup_write(p->dir_fd, "memory.use_hierarchy", "1"); /* always so by now */
	return r;
}

/* v1 speaks of memory and swap together, v2 of swap alone. */
static int swap_v2(const struct groups_place *p, const struct spec_memory *m, struct err *e)
{
	int64_t limit = m->limit_set ? m->limit : 0;
	uint64_t now;
	char text[24];

	if (limit == 0 && cgroup_read_u64(p->dir_fd, "memory.max", &now) == 0)
		limit = now == UINT64_MAX || now > INT64_MAX ? -1 : (int64_t) now;
	if (m->swap > 0 && limit <= 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       WHAT_SWAP ": unable to set swap limit without memory limit");
	if (m->swap > 0 && m->swap < limit)
		return err_set(e, ERR_INVALID, EINVAL,
			       WHAT_SWAP ": memory+swap limit %lld should be >= memory limit %lld",
			       (long long) m->swap, (long long) limit);
	text_of(m->swap < 0 ? -1 : m->swap - limit, true, text);
	int r = cgroup_write(p->dir_fd, "memory.swap.max", text);

	/* Without swap in the kernel there is none to use: what asks for none, or any, is met. */
	if (r == -ENOENT && (m->swap < 0 || m->swap == limit))
		return 0;
	return r == 0 ? 0 : groups_put(p, "memory.swap.max", text, WHAT_SWAP, e);
}

/* 0 beside a memory limit is what callers leave there that mean nothing by it. */
static bool no_swap(const struct spec_memory *m)
{
	return m->swap_set && m->swap == 0 && !(m->limit_set && m->limit);
}

static int memory_v2(const struct groups_place *p, const struct spec_memory *m, struct err *e)
{
	int r = 0;

	if (m->swappiness_set)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "linux.resources.memory.swappiness: cgroup v2 has no such setting");
	if (m->disable_oom_killer_set && m->disable_oom_killer)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "linux.resources.memory.disableOOMKiller: cgroup v2 has no such "
			       "setting");
	if (m->kernel_tcp_set && m->kernel_tcp > 0)
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "linux.resources.memory.kernelTCP: cgroup v2 has no such setting");
	if (m->swap_set && m->swap)
		r = swap_v2(p, m, e);
	else if (no_swap(m))
		(void) cgroup_write(p->dir_fd, "memory.swap.max", "0"); /* no file: no swap */
	else if (m->limit_set && m->limit < 0)
		(void) cgroup_write(p->dir_fd, "memory.swap.max", "max"); /* as on v1 */
	if (r == 0 && m->limit_set && m->limit)
		r = put_bytes(p, "memory.max", m->limit, WHAT_LIMIT, e);
	if (r == 0 && m->reservation_set && m->reservation)
		r = put_bytes(p, "memory.low", m->reservation, "linux.resources.memory.reservation",
			      e);
	return r;
}

int groups_memory_apply(const struct groups *g, const struct spec_resources *res, struct err *e)
{
	const struct spec_memory *m = res->memory;
	const struct groups_place *p = groups_place_of(g, CGROUP_MEMORY);
	bool wanted = (m->limit_set && m->limit) || (m->swap_set && m->swap) ||
		      (no_swap(m) && p && p->unified) || (m->reservation_set && m->reservation) ||
		      m->swappiness_set || (m->kernel_tcp_set && m->kernel_tcp) ||
		      (m->disable_oom_killer_set && m->disable_oom_killer);

	if (!wanted)
		return 0;
	if (!p)
		return groups_missing(g, CGROUP_MEMORY, "linux.resources.memory", e);
	int r = 0;

	if (m->limit_set && m->check_before_update_set && m->check_before_update)
		r = check_usage(p, m->limit, e);
	if (r < 0)
		return r;
	return p->unified ? memory_v2(p, m, e) : memory_v1(p, m, e);
}

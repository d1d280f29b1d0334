/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init's way into its cgroups, which its creator finishes while the init is at work elsewhere:
 * one message with what opens them, what of them is mounted, and the mounts made meanwhile.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/ahead.h"
#include "engine/container/child.h"
#include "engine/container/groups.h"
#include "engine/container/plan.h"
#include "sys/fdpass.h"

#define MOUNTS_MAX 2 /* of cgroups, that one message can bring */

struct groups_message {
	uint32_t enter;		     /* bit i: a descriptor opens place i of struct groups */
	uint32_t trees[MOUNTS_MAX];  /* bit i: one is the tree of place i, of the n-th such mount */
	uint32_t looked[MOUNTS_MAX]; /* bit i: that one is only to look at */
	uint64_t ahead;		     /* bit i: mount i of the plan is made */
	bool dev_filled;
};

static_assert(CGROUP_HIERARCHIES_MAX <= 20 &&
		      (1 + MOUNTS_MAX) * CGROUP_HIERARCHIES_MAX + AHEAD_MAX <= FDPASS_MAX,
	      "all in one message");

bool groups_fit_message(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->mounts_n; i++)
		n += p->mounts[i].kind == PLAN_MOUNT_CGROUP;
	return n <= MOUNTS_MAX;
}

int groups_send(const struct plan *p, int sock)
{
	struct groups_message m = { 0 };
	int fds[FDPASS_MAX];
	size_t n = 0, mount = 0;

	for (size_t i = 0; i < p->groups->n; i++) {
		const struct groups_place *at = &p->groups->at[i];

		if (at->enter_fd < 0 || (p->groups_born && at->unified))
			continue;
		m.enter |= 1u << i;
		fds[n++] = at->enter_fd;
	}
	for (size_t i = 0; i < p->mounts_n; i++) {
		const struct plan_mount *pm = &p->mounts[i];

		if (pm->kind != PLAN_MOUNT_CGROUP)
			continue;
		for (size_t k = 0; k < pm->cgroups_n; k++) {
			const struct plan_cgroup *c = &pm->cgroups[k];

			m.trees[mount] |= 1u << c->place;
			m.looked[mount] |= c->only_to_look ? 1u << c->place : 0;
			fds[n++] = c->tree_fd;
		}
		mount++;
	}
	for (size_t i = 0; i < p->mounts_n && i < 64; i++) {
		if (p->mounts[i].ahead_fd < 0)
			continue;
		m.ahead |= UINT64_C(1) << i;
		fds[n++] = p->mounts[i].ahead_fd;
	}
	m.dev_filled = p->dev_filled;
	return fdpass_send(sock, &m, sizeof(m), fds, n);
}

/* Gives how many there were. */
static size_t take_trees(struct plan *p, const struct groups_message *m, const int *fds)
{
	const int *first = fds;
	size_t mount = 0;

	for (size_t i = 0; i < p->mounts_n; i++) {
		struct plan_mount *pm = &p->mounts[i];

		if (pm->kind != PLAN_MOUNT_CGROUP)
			continue;
		for (size_t k = 0; k < p->groups->n; k++) {
			if (!(m->trees[mount] & 1u << k))
				continue;
			pm->cgroups[pm->cgroups_n++] = (struct plan_cgroup){
				.name = p->groups->layout.at[k].dir,
				.tree_fd = *fds++,
				.place = k,
				.only_to_look = (m->looked[mount] & 1u << k) != 0,
			};
		}
		mount++;
	}
	return (size_t) (fds - first);
}

int groups_receive(struct plan *p, struct err *e)
{
	struct groups_message m = { 0 };
	int fds[FDPASS_MAX];
	size_t n = 0;
	int r;

	if (!p->groups_due || p->groups_sent)
		return 0;
	p->groups_sent = true;
	r = (int) fdpass_recv(p->sync_fd, &m, sizeof(m), fds, FDPASS_MAX, &n);
	if (r != (int) sizeof(m))
		return err_sys(e, r < 0 ? -r : EPIPE, "waiting for the cgroups");
	n = 0;
	for (size_t i = 0; i < p->groups->n; i++) {
		if (m.enter & 1u << i)
			p->groups->at[i].enter_fd = fds[n++];
	}
	n += take_trees(p, &m, fds + n);
	for (size_t i = 0; i < p->mounts_n && i < 64; i++) {
		if (m.ahead & UINT64_C(1) << i)
			p->mounts[i].ahead_fd = fds[n++];
	}
	p->dev_filled = m.dev_filled;
	return 0;
}

int groups_arrive(struct plan *p, struct err *e)
{
	size_t place = 0;
	int r;

	if (!p->groups_due)
		return 0;
	r = groups_receive(p, e);
	if (r < 0)
		return r;
	p->groups_due = false;
	r = groups_enter(p->groups, p->groups_born, &place);
	if (r < 0)
		return err_sys(e, -r, "entering the container's cgroup of %s",
			       p->groups->layout.at[place].dir);
	if ((p->unshare_flags & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, errno, "making a cgroup namespace");
	return 0;
}

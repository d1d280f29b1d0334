/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where guests' threads go on that are answered. The host wakes one that has rung where the kernel
 * runs, which is soon to sleep: at once, and with warm caches. But if another thread of the guests
 * has been brought there before, and computes, both wait for each other while a processor is idle;
 * the host finds that out by and by alone. Such a one is sent away from that processor.
 */
#include <sched.h>

#include "kernel/platform/host/inside.h"

static void runs_at(struct plat_user *u, int cpu)
{
	host.place.on[u->place.at] -= u->state == USER_RUNNING;
	host.place.on[cpu] += u->state == USER_RUNNING;
	u->place.at = cpu;
}

static bool avoid(struct plat_user *u, int cpu)
{
	cpu_set_t to = host.apart.before;

	if (u->place.avoids == cpu)
		return true;
	if (cpu < PLACES)
		CPU_CLR(cpu, &to);
	if (sched_setaffinity(u->tid, sizeof(to), &to) < 0)
		return false;
	u->place.avoids = cpu;
	return true;
}

void place_begin(struct plat_user *u)
{
	u->place.at = u->place.avoids = PLACES;
}

void place_becomes(struct plat_user *u, bool runs)
{
	host.place.on[u->place.at] += runs;
	host.place.on[u->place.at] -= u->state == USER_RUNNING;
}

void place_forget(struct plat_user *u)
{
	runs_at(u, PLACES);
	u->place.avoids = PLACES;
}

void place_answer(struct plat_user *u)
{
	int here;

	if (host.look.looks || host.look.cpus < 2 || !host.apart.can)
		return;
	here = sched_getcpu();
	if (here < 0 || here >= PLACES)
		return;
	runs_at(u, PLACES);
	/* Where more run than there are processors the host sees to it that each has its share. */
	if (host.place.on[here] == 0 || host.look.own > host.look.cpus) {
		if (u->place.avoids == here)
			(void) avoid(u, PLACES);
		runs_at(u, here);
		return;
	}
	if (!avoid(u, here))
		runs_at(u, here);
	else if (host.look.cpus == 2)
		runs_at(u, !here);
}

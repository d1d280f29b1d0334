/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor of the kernel's own. A guest's thread that the host puts where the kernel looks for
 * calls (look.c) waits until that is sent away, and so does whoever calls then. So while the kernel
 * is busy with answers it has its processor to itself, and the guests have the others. What they
 * compute meanwhile has less room: a kernel that waits for most of the time shares again.
 */
#include <sched.h>
#include <string.h>

#include "kernel/platform/host/inside.h"

#define WINDOW	     (5 * 1000 * 1000) /* ns, of which so much in a hundred was waited: */
#define WAITS_MUCH   85		       /* not apart any more */
#define TAKEN	     (500 * 1000)      /* at once: by who stays, too */
#define PAUSE_LEAST  (20 * 1000 * 1000)
#define PAUSE_MOST   (1280 * 1000 * 1000)
#define THREADS_MOST 256 /* it takes a call for each */

void apart_begin(void)
{
	cpu_set_t all;

	host.apart.pause = PAUSE_LEAST;
	CPU_ZERO(&host.apart.before);
	/* What its control group gives it later is its own, too, unless somebody has it confined
	 * within that. */
	memset(&all, 0xff, sizeof(all));
	if (sched_getaffinity(0, sizeof(host.apart.before), &host.apart.before) < 0 ||
	    sched_setaffinity(0, sizeof(all), &all) < 0)
		return;
	host.apart.can = true;
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || !CPU_EQUAL(&all, &host.apart.before))
		(void) sched_setaffinity(0, sizeof(host.apart.before), &host.apart.before);
	else
		memset(&host.apart.before, 0xff, sizeof(host.apart.before));
}

static int tid_of(const void *tagged)
{
	uintptr_t p = (uintptr_t) tagged;

	if (p & 1)
		return ((const struct plat_space *) (p & ~(uintptr_t) 1))->pid;
	return ((const struct plat_user *) p)->tid;
}

static unsigned int threads(void)
{
	unsigned int n = 0;

	for (uint64_t i = 0; n <= THREADS_MOST && radix_next(&host.tids, &i); i++)
		n++;
	return n;
}

/* Those that are made later are where the one is that makes them. One that has just ended is none.
 */
static void confine(const cpu_set_t *guests)
{
	void *p;

	(void) sched_setaffinity(host.source.pid, sizeof(*guests), guests);
	for (uint64_t i = 0; (p = radix_next(&host.tids, &i)); i++) {
		if (!((uintptr_t) p & 1))
			place_forget((struct plat_user *) p);
		(void) sched_setaffinity(tid_of(p), sizeof(*guests), guests);
	}
}

void apart_go(nsec_t now)
{
	int cpu = sched_getcpu();
	cpu_set_t all, one;

	host.apart.since = host.apart.from = now;
	host.apart.waited = 0;
	if (!host.apart.can || host.look.limited || now < host.apart.not_before || cpu < 0 ||
	    threads() > THREADS_MOST)
		return;
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 2)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CPU_CLR(cpu, &all);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return;
	confine(&all);
	host.apart.is = true;
	host.apart.went = now;
}

void apart_end(void)
{
	if (!host.apart.is)
		return;
	host.apart.is = false;
	confine(&host.apart.before);
	(void) sched_setaffinity(0, sizeof(host.apart.before), &host.apart.before);
}

void apart_taken(nsec_t now, nsec_t gap)
{
	if (!host.apart.is || gap < TAKEN)
		return;
	/* The host may put this one elsewhere meanwhile. */
	host.apart.not_before = now + WINDOW;
	apart_end();
}

void apart_waits(nsec_t now)
{
	host.apart.from = now;
}

void apart_waited(nsec_t now)
{
	nsec_t window = now - host.apart.since;
	int waits;

	host.apart.waited += now - host.apart.from;
	look_waited(host.apart.from, now);
	host.apart.from = now;
	if (window < WINDOW)
		return;
	waits = (int) (host.apart.waited * 100 / window);
	host.apart.since = now;
	host.apart.waited = 0;
	if (!host.apart.is && waits < WAITS_MUCH)
		apart_go(now);
	if (!host.apart.is || waits < WAITS_MUCH)
		return;
	/* It is tried again, later each time if it has not gone well for long. */
	host.apart.pause = now - host.apart.went >= 4 * host.apart.pause
				   ? PAUSE_LEAST
				   : min_of(2 * host.apart.pause, (nsec_t) PAUSE_MOST);
	host.apart.not_before = now + host.apart.pause;
	apart_end();
}

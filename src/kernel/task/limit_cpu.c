/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/limit_cpu.h"

#include <linux/signal.h>

#include "kernel/core/clock.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/wait.h"

#define STEP ((nsec_t) 1000000)

/* Seconds: 0 is 1, as Linux has it. */
static nsec_t as_time(uint64_t seconds)
{
	return seconds > (uint64_t) (CLOCK_LAST / NSEC_PER_SEC)
		       ? CLOCK_LAST
		       : (nsec_t) max_of(seconds, (uint64_t) 1) * NSEC_PER_SEC;
}

static nsec_t spent(const struct process *p)
{
	struct task_usage u;

	process_usage(p, &u);
	return u.user + u.system;
}

/* Threads cannot spend more each than the time that goes by. */
static void look_again(struct process *p, nsec_t left)
{
	if (p->thread_count > 1)
		left /= (nsec_t) p->thread_count;
	ktimer_set(&p->cpu_limit, clock_add(plat_now(PLAT_MONOTONIC), max_of(left, STEP)));
}

static void due(struct ktimer *k)
{
	struct process *p = container_of(k, struct process, cpu_limit);
	struct task_limit *l = &p->limits[RLIMIT_CPU];
	nsec_t now = spent(p);

	if (l->hard != TASK_UNLIMITED && now >= as_time(l->hard)) {
		signal_process(p, SIGKILL);
		return;
	}
	if (now >= as_time(l->soft)) {
		signal_process(p, SIGXCPU);
		l->soft = max_of(l->soft, (uint64_t) 1) + 1;
	}
	limit_cpu_watch(p);
}

void limit_cpu_watch(struct process *p)
{
	const struct task_limit *l = &p->limits[RLIMIT_CPU];
	uint64_t next = min_of(l->soft, l->hard);

	ktimer_cancel(&p->cpu_limit);
	if (next == TASK_UNLIMITED || p->zombie || !p->signals)
		return;
	p->cpu_limit.fire = due;
	look_again(p, as_time(next) - spent(p));
}

void limit_cpu_end(struct process *p)
{
	ktimer_cancel(&p->cpu_limit);
}

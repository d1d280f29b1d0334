/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/space.h"
#include "kernel/task/cred.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/signal.h"
#include "kernel/task/wait.h"

#define TICKS(n) ((uint64_t) ((n) / (NSEC_PER_SEC / 100))) /* USER_HZ is 100 */
#define KIB(n)	 ((n) << (PAGE_SHIFT - 10))

char proc_state(const struct task *t)
{
	const struct process *p = t->process;

	if (t->state == TASK_ENDED)
		return p->zombie || p->thread_count == 0 ? 'Z' : 'X';
	if (t->signals && t->signals->stopped)
		return 'T';
	return t->in_user || t == this_task() ? 'R' : 'S';
}

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'T':
		return "stopped";
	case 'Z':
		return "zombie";
	case 'X':
		return "dead";
	default:
		return "sleeping";
	}
}

static uint64_t blocked(const struct task *t)
{
	return t->signals ? t->signals->blocked : 0;
}

/* Signals that are ignored, or have a handler. */
static uint64_t disposed(const struct task *t, bool ignored)
{
	uint64_t set = 0;

	for (int nr = 1; t->handlers && nr <= SIGNALS; nr++) {
		uint64_t h = t->handlers->actions[nr - 1].handler;

		if (ignored ? h == 1 : h > 1)
			set |= SIGNAL_BIT(nr);
	}
	return set;
}

static uint32_t parent_of(const struct process *p)
{
	return p->parent ? p->parent->pid : 0;
}

static void terminal(const struct process *p, uint64_t *ret_device, int32_t *ret_group)
{
	const struct tty *t = process_tty(p);

	*ret_device = 0;
	*ret_group = -1;
	if (!t)
		return;
	*ret_device = (uint64_t) 136 << 8 | (t->index & 0xff) |
		      (uint64_t) (t->index & ~0xffu) << 12;
	*ret_group = t->foreground ? (int32_t) t->foreground->nr : -1;
}

int proc_stat(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	const struct process *p = t ? t->process : NULL;
	const struct program *g = t && t->image && proc_may(t) == 0 ? &t->image->program : NULL;
	static const struct program none;
	struct task_usage u;
	uint64_t device;
	int32_t group;

	if (!t)
		return -ESRCH;
	if (!g)
		g = &none;
	if (n->number) /* of one thread: process.c finds them so */
		task_usage(t, &u);
	else
		process_usage(p, &u);
	terminal(p, &device, &group);
	text_put(to, "%u (%s) %c %u %u %u %lu %d 0 ", t->tid, t->comm, proc_state(t), parent_of(p),
		 p->group ? p->group->pid->nr : 0, p->group ? p->group->session->pid->nr : 0,
		 device, group);
	text_put(to, "%lu %lu %lu %lu ", u.minor_faults, p->children_usage.minor_faults,
		 u.major_faults, p->children_usage.major_faults);
	text_put(to, "%lu %lu %lu %lu ", TICKS(u.user), TICKS(u.system),
		 TICKS(p->children_usage.user), TICKS(p->children_usage.system));
	text_put(to, "%d %d %u 0 %lu ",
		 t->policy == 1 || t->policy == 2 ? -1 - (int) t->priority : 20 + t->nice, t->nice,
		 p->thread_count, TICKS(t->started));
	text_put(to, "%lu %lu %lu ", t->space ? t->space->mapped << PAGE_SHIFT : 0,
		 t->space ? t->space->resident : 0, process_limit(p, RLIMIT_RSS));
	text_put(to, "%lu %lu %lu 0 0 ", g->code_start, g->code_end, g->stack_start);
	text_put(to, "%lu %lu %lu %lu ", t->signals ? t->signals->pending.set & 0x7fffffff : 0,
		 blocked(t) & 0x7fffffff, disposed(t, true) & 0x7fffffff,
		 disposed(t, false) & 0x7fffffff);
	text_put(to, "0 0 0 %d 0 %u %u 0 0 0 ", p->exit_signal, t->priority, t->policy);
	text_put(to, "%lu %lu %lu %lu %lu %lu %lu %d\n", g->data_start, g->data_end, g->brk_start,
		 g->arguments_start, g->arguments_end, g->environment_start, g->environment_end,
		 p->zombie ? p->exit_status : 0);
	return 0;
}

static void ids(const struct task *t, struct text *to)
{
	const struct cred *c = t->cred;

	text_put(to, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
	text_put(to, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
	text_put(to, "FDSize:\t%lu\nGroups:\t", t->files ? max_of(t->files->count, 64ul) : 0);
	for (uint32_t n = 0; n < c->group_count; n++)
		text_put(to, "%u ", c->groups[n]);
	text_put(to, "\nNStgid:\t%u\nNSpid:\t%u\n", t->process->pid, t->tid);
}

static void memory(const struct task *t, struct text *to)
{
	const struct space *s = t->space;
	struct task_usage u;

	if (!s)
		return;
	process_usage(t->process, &u);
	text_put(to, "VmSize:\t%8lu kB\nVmLck:\t%8lu kB\n", KIB(s->mapped), KIB(s->locked));
	text_put(to, "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n",
		 KIB(max_of(u.most_resident, s->resident)), KIB(s->resident));
	text_put(to, "VmData:\t%8lu kB\nVmSwap:\t       0 kB\n", KIB(s->data));
}

static void signal_sets(const struct task *t, struct text *to)
{
	const struct process *p = t->process;

	text_put(to, "SigPnd:\t%016lx\nShdPnd:\t%016lx\n", t->signals ? t->signals->pending.set : 0,
		 p->signals ? p->signals->pending.set : 0);
	text_put(to, "SigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", blocked(t),
		 disposed(t, true), disposed(t, false));
}

int proc_status(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	const struct cred *c = t ? t->cred : NULL;
	char state;

	if (!t)
		return -ESRCH;
	state = proc_state(t);
	text_put(to, "Name:\t");
	text_escaped(to, t->comm);
	text_put(to, "\nUmask:\t%04o\nState:\t%c (%s)\n", t->fs ? t->fs->umask : 022, state,
		 state_name(state));
	text_put(to, "Tgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n", t->process->pid,
		 t->tid, parent_of(t->process));
	ids(t, to);
	memory(t, to);
	text_put(to, "Threads:\t%u\n", max_of(t->process->thread_count, 1u));
	signal_sets(t, to);
	text_put(to, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\n", c->inheritable,
		 c->permitted, c->effective);
	text_put(to, "CapBnd:\t%016lx\nCapAmb:\t%016lx\nNoNewPrivs:\t%d\n", c->bounding, c->ambient,
		 c->no_new_privs);
	text_put(to, "Seccomp:\t%d\nSeccomp_filters:\t%u\n", t->filters ? 2 : t->strict,
		 t->filters ? t->filters->depth : 0);
	text_put(to, "Cpus_allowed:\t%lx\nMems_allowed:\t1\n", t->affinity);
	return 0;
}

/* ---- limits ---- */

static void limit(struct text *to, uint64_t n)
{
	if (n == TASK_UNLIMITED)
		text_put(to, "%-20s ", "unlimited");
	else
		text_put(to, "%-20lu ", n);
}

int proc_limits(const struct generated_node *n, struct text *to)
{
	static const struct {
		const char *name, *unit;
	} names[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = { "Max cpu time", "seconds" },
		[RLIMIT_FSIZE] = { "Max file size", "bytes" },
		[RLIMIT_DATA] = { "Max data size", "bytes" },
		[RLIMIT_STACK] = { "Max stack size", "bytes" },
		[RLIMIT_CORE] = { "Max core file size", "bytes" },
		[RLIMIT_RSS] = { "Max resident set", "bytes" },
		[RLIMIT_NPROC] = { "Max processes", "processes" },
		[RLIMIT_NOFILE] = { "Max open files", "files" },
		[RLIMIT_MEMLOCK] = { "Max locked memory", "bytes" },
		[RLIMIT_AS] = { "Max address space", "bytes" },
		[RLIMIT_LOCKS] = { "Max file locks", "locks" },
		[RLIMIT_SIGPENDING] = { "Max pending signals", "signals" },
		[RLIMIT_MSGQUEUE] = { "Max msgqueue size", "bytes" },
		[RLIMIT_NICE] = { "Max nice priority", "" },
		[RLIMIT_RTPRIO] = { "Max realtime priority", "" },
		[RLIMIT_RTTIME] = { "Max realtime timeout", "us" },
	};
	const struct task *t = proc_task(n);

	if (!t)
		return -ESRCH;
	text_put(to, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (size_t k = 0; k < RLIM_NLIMITS; k++) {
		text_put(to, "%-25s ", names[k].name);
		limit(to, t->process->limits[k].soft);
		limit(to, t->process->limits[k].hard);
		text_put(to, "%-10s\n", names[k].unit);
	}
	return 0;
}

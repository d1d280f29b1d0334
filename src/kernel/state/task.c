/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and threads: first all of them with their numbers and places, then what each has, as
 * some of it (files of /proc) is found by those numbers.
 */
#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/core/heap.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/space.h"
#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/task/hold.h"
#include "kernel/task/limit.h"
#include "kernel/task/limit_cpu.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/timer.h"
#include "kernel/task/wait.h"
#include "kernel/vfs/file.h"

#define NO_MORE	  UINT64_MAX
#define IP_END	  ((uint64_t) 1 << 47)
#define FLAGS_OWN ((uint64_t) 0x50dd5) /* those that a program sets */
#define FLAGS_ON  ((uint64_t) 0x202)
/* In XSAVE's standard form. */
#define FP_MXCSR  24
#define FP_HEADER 512
#define FP_LEAST  576

/* ---- parts ---- */

void save_cred(struct state_save *s, const struct cred *c)
{
	out_number(s->out, c != NULL);
	if (!c || save_known(s, STATE_CRED, c))
		return;
	out_number(s->out, c->uid);
	out_number(s->out, c->euid);
	out_number(s->out, c->suid);
	out_number(s->out, c->fsuid);
	out_number(s->out, c->gid);
	out_number(s->out, c->egid);
	out_number(s->out, c->sgid);
	out_number(s->out, c->fsgid);
	out_number(s->out, c->effective);
	out_number(s->out, c->permitted);
	out_number(s->out, c->inheritable);
	out_number(s->out, c->bounding);
	out_number(s->out, c->ambient);
	out_number(s->out, c->securebits);
	out_number(s->out, c->no_new_privs);
	out_number(s->out, c->group_count);
	for (uint32_t n = 0; n < c->group_count; n++)
		out_number(s->out, c->groups[n]);
}

static uint32_t id_in(struct state_load *l)
{
	return (uint32_t) in_number(l->in, UINT32_MAX);
}

const struct cred *load_cred(struct state_load *l)
{
	uint64_t nr;
	struct cred *c;

	if (!in_flag(l->in))
		return NULL;
	c = load_known(l, STATE_CRED, &nr);
	if (c || l->in->error < 0)
		return c;
	c = cred_new();
	load_meet(l, STATE_CRED, nr, c);
	if (!c)
		return NULL;
	c->uid = id_in(l);
	c->euid = id_in(l);
	c->suid = id_in(l);
	c->fsuid = id_in(l);
	c->gid = id_in(l);
	c->egid = id_in(l);
	c->sgid = id_in(l);
	c->fsgid = id_in(l);
	c->effective = in_number(l->in, CRED_ALL);
	c->permitted = in_number(l->in, CRED_ALL);
	c->inheritable = in_number(l->in, CRED_ALL);
	c->bounding = in_number(l->in, CRED_ALL);
	c->ambient = in_number(l->in, CRED_ALL);
	c->securebits = id_in(l);
	c->no_new_privs = in_flag(l->in);
	c->group_count = (uint32_t) in_number(l->in, CRED_GROUPS);
	if (c->group_count == 0)
		return c;
	c->groups = heap_alloc(c->group_count * sizeof(*c->groups));
	if (!c->groups) {
		c->group_count = 0;
		in_fail(l->in, -ENOMEM);
		return NULL;
	}
	for (uint32_t n = 0; n < c->group_count; n++)
		c->groups[n] = id_in(l);
	return c;
}

static void save_image(struct state_save *s, const struct task_image *i)
{
	struct program p = i->program;

	if (save_known(s, STATE_IMAGE, i))
		return;
	out_number(s->out, i->dumpable);
	out_number(s->out, i->membarriers);
	save_path(s, &i->program.exe);
	p.exe = (struct path){};
	out_bytes(s->out, &p, sizeof(p));
}

static struct task_image *load_image(struct state_load *l)
{
	uint64_t nr;
	struct task_image *i = load_known(l, STATE_IMAGE, &nr);
	struct path exe = {};
	struct program p;

	if (i || l->in->error < 0)
		return i;
	i = task_image_new();
	load_meet(l, STATE_IMAGE, nr, i);
	if (!i)
		return NULL;
	i->dumpable = (unsigned int) in_number(l->in, 2);
	i->membarriers = (unsigned int) in_number(l->in, UINT32_MAX);
	(void) load_path(l, &exe);
	in_bytes(l->in, &p, sizeof(p));
	p.exe = exe;
	p.comm[sizeof(p.comm) - 1] = '\0';
	if (p.auxiliary_count > PROGRAM_AUXILIARY)
		in_fail(l->in, -EBADMSG);
	if (l->in->error < 0) {
		path_unref(&exe);
		return NULL;
	}
	task_image_set(i, &p);
	return i;
}

static void save_fs(struct state_save *s, const struct fs_context *f)
{
	if (save_known(s, STATE_FS, f))
		return;
	save_path(s, &f->root);
	save_path(s, &f->cwd);
	out_number(s->out, f->umask);
}

static struct fs_context *load_fs(struct state_load *l)
{
	uint64_t nr;
	struct fs_context *f = load_known(l, STATE_FS, &nr);
	struct path root = {}, cwd = {};
	uint32_t umask;

	if (f || l->in->error < 0)
		return f;
	if (load_path(l, &root) && load_path(l, &cwd)) {
		umask = (uint32_t) in_number(l->in, 0777);
		f = fs_context_new(&root, &cwd, umask);
		load_meet(l, STATE_FS, nr, f);
	}
	path_unref(&root);
	path_unref(&cwd);
	return f;
}

static void save_table(struct state_save *s, const struct descriptors *d)
{
	struct file *f;

	if (save_known(s, STATE_TABLE, d))
		return;
	for (uint64_t fd = 0; s->out->error == 0 && descriptors_next(d, &fd); fd++) {
		s->fd = (int64_t) fd;
		f = descriptors_get(d, fd);
		out_number(s->out, fd);
		out_number(s->out, descriptors_cloexec(d, fd) == 1);
		save_file(s, f);
		file_unref(f);
	}
	s->fd = -1;
	out_number(s->out, NO_MORE);
}

static struct descriptors *load_table(struct state_load *l)
{
	uint64_t nr, fd;
	struct descriptors *d = load_known(l, STATE_TABLE, &nr);
	struct file *f;
	bool cloexec;

	if (d || l->in->error < 0)
		return d;
	d = descriptors_new();
	load_meet(l, STATE_TABLE, nr, d);
	while (l->in->error == 0 && (fd = in_number(l->in, NO_MORE)) != NO_MORE) {
		cloexec = in_flag(l->in);
		f = load_file(l);
		if (!f)
			break;
		file_ref(f);
		if (fd > INT32_MAX) {
			file_unref(f);
			in_fail(l->in, -EBADMSG);
		} else if (descriptors_put(d, fd, f, cloexec) < 0) {
			in_fail(l->in, -ENOMEM);
		}
	}
	return l->in->error < 0 ? NULL : d;
}

/* ---- signals ---- */

static void save_queue(struct state_save *s, const struct signal_queue *q)
{
	out_number(s->out, q->set);
	list_each(l, (struct list *) (uintptr_t) &q->entries)
	{
		const struct signal_entry *e = list_entry(l, struct signal_entry, link);

		out_number(s->out, 1);
		out_bytes(s->out, &e->info, sizeof(e->info));
	}
	out_number(s->out, 0);
}

static void load_queue(struct state_load *l, const struct task *t, struct signal_queue *q)
{
	uint64_t set = in_number(l->in, UINT64_MAX);
	struct signal_info info;

	while (in_flag(l->in)) {
		struct signal_entry *e;

		in_bytes(l->in, &info, sizeof(info));
		if (l->in->error < 0 || info.nr < 1 || info.nr > SIGNALS ||
		    !(set & SIGNAL_BIT(info.nr))) {
			in_fail(l->in, -EBADMSG);
			return;
		}
		e = signal_entry_new(t->cred->uid, UINT64_MAX);
		if (!e) {
			in_fail(l->in, -ENOMEM);
			return;
		}
		e->info = info;
		signal_queue_put(q, info.nr, e);
	}
	for (int nr = 1; nr <= SIGNALS && l->in->error == 0; nr++) {
		if (set & ~q->set & SIGNAL_BIT(nr))
			signal_queue_put(q, nr, NULL);
	}
}

static void save_handlers(struct state_save *s, const struct signal_handlers *h)
{
	if (!save_known(s, STATE_HANDLERS, h))
		out_bytes(s->out, h->actions, sizeof(h->actions));
}

/* t's are its own so far. */
static void load_handlers(struct state_load *l, struct task *t)
{
	uint64_t nr;
	const struct task *first = load_known(l, STATE_HANDLERS, &nr);

	if (l->in->error < 0)
		return;
	if (first) {
		signals_share(t, first);
	} else {
		in_bytes(l->in, t->handlers->actions, sizeof(t->handlers->actions));
		load_meet(l, STATE_HANDLERS, nr, t);
	}
}

static void save_signals(struct state_save *s, const struct task *t)
{
	const struct task_signals *g = t->signals;

	save_handlers(s, t->handlers);
	save_queue(s, &g->pending);
	out_number(s->out, g->put_back ? g->saved : g->blocked);
	out_bytes(s->out, &g->stack, sizeof(g->stack));
	out_number(s->out, restart_kind(&g->restart));
	out_bytes(s->out, g->restart.of, sizeof(g->restart.of));
}

static void load_signals(struct state_load *l, struct task *t)
{
	struct task_signals *g = t->signals;
	unsigned int kind;
	uint64_t of[6];
	int r;

	load_handlers(l, t);
	load_queue(l, t, &g->pending);
	g->blocked = in_number(l->in, UINT64_MAX) & ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
	in_bytes(l->in, &g->stack, sizeof(g->stack));
	kind = (unsigned int) in_number(l->in, 2);
	in_bytes(l->in, of, sizeof(of));
	r = restart_load(&g->restart, kind, of, l->later);
	if (r < 0)
		in_fail(l->in, r);
}

/* ---- what a thread is at ---- */

static void save_held(struct state_save *s, const struct task *t)
{
	uint64_t components;

	if (s->dry)
		return;
	if (!t->held) { /* it ends */
		save_refuse(s, "a thread that ends just now", NULL);
		return;
	}
	out_bytes(s->out, &t->held->regs, sizeof(t->held->regs));
	if (t->held->fp)
		out_bytes(s->out, t->held->fp, plat_fp_size(&components));
}

/* What a processor would not take is not given to it. */
static void tame(struct plat_regs *r)
{
	r->flags = (r->flags & FLAGS_OWN) | FLAGS_ON;
	r->orig_ax = UINT64_MAX;
	r->cs = r->ss = 0;
}

static void tame_fp(unsigned char *fp, size_t size, uint64_t components)
{
	uint64_t header[8];

	fp[FP_MXCSR + 2] = fp[FP_MXCSR + 3] = 0;
	if (size < FP_LEAST)
		return;
	memcpy(header, fp + FP_HEADER, sizeof(header));
	header[0] &= components;
	memset(header + 1, 0, sizeof(header) - sizeof(header[0]));
	memcpy(fp + FP_HEADER, header, sizeof(header));
}

static void load_held(struct state_load *l, struct task *t)
{
	struct plat_regs regs;
	uint64_t components;
	size_t size = plat_fp_size(&components);
	unsigned char *fp = size ? heap_alloc(size) : NULL;

	in_bytes(l->in, &regs, sizeof(regs));
	if (fp)
		in_bytes(l->in, fp, size);
	if (size && !fp)
		in_fail(l->in, -ENOMEM);
	if (regs.ip >= IP_END || regs.fs_base >= IP_END || regs.gs_base >= IP_END)
		in_fail(l->in, -EBADMSG);
	if (l->in->error == 0) {
		tame(&regs);
		t->user = plat_user_new(t->space->plat, &regs);
		if (!t->user)
			in_fail(l->in, -ENOMEM);
	}
	if (l->in->error == 0 && fp) {
		tame_fp(fp, size, components);
		plat_user_set_fp(t->user, fp);
	}
	heap_free(fp);
}

/* ---- processes: who there is ---- */

static void save_place(struct state_save *s, const struct process *p)
{
	out_number(s->out, p->parent ? p->parent->pid : 0);
	out_number(s->out, p->parent_tid);
	out_number(s->out, p->group->pid->nr);
	out_number(s->out, p->group->session->pid->nr);
	out_number(s->out, p->group->session->leader == p);
	out_number(s->out, p->has_execed);
	out_number(s->out, p->subreaper);
	out_number(s->out, p->no_tty);
	out_number(s->out, (uint64_t) p->exit_signal);
	out_number(s->out, p->zombie);
	out_number(s->out, (uint32_t) p->exit_status);
	out_number(s->out, p->stop);
	out_number(s->out, (uint64_t) p->stop_signal);
	out_bytes(s->out, p->limits, sizeof(p->limits));
	out_bytes(s->out, &p->dead, sizeof(p->dead));
	out_bytes(s->out, &p->children_usage, sizeof(p->children_usage));
	out_number(s->out, (uint64_t) (p->oom_score_adj + 1000));
	out_number(s->out, (uint64_t) p->started);
}

/* Its parent is found when all are there. */
static void load_place(struct state_load *l, struct process *p, uint64_t *ret_parent)
{
	uint32_t group, session;
	bool leads;
	int r;

	*ret_parent = in_number(l->in, PID_MOST);
	p->parent_tid = id_in(l);
	group = id_in(l);
	session = id_in(l);
	leads = in_flag(l->in);
	if (l->in->error == 0) {
		r = leads && session != p->pid ? -EBADMSG
					       : group_enter_at(p, group, session, leads);
		if (r < 0)
			in_fail(l->in, r);
	}
	p->has_execed = in_flag(l->in);
	p->subreaper = in_flag(l->in);
	p->no_tty = in_flag(l->in);
	p->exit_signal = (int) in_number(l->in, SIGNALS);
	p->zombie = in_flag(l->in);
	p->exit_status = (int) in_number(l->in, 0xffff);
	p->stop = (enum process_stop) in_number(l->in, STOP_CONTINUED);
	p->stop_signal = (int) in_number(l->in, SIGNALS);
	in_bytes(l->in, p->limits, sizeof(p->limits));
	in_bytes(l->in, &p->dead, sizeof(p->dead));
	in_bytes(l->in, &p->children_usage, sizeof(p->children_usage));
	p->oom_score_adj = (int) in_number(l->in, 2000) - 1000;
	p->started = (nsec_t) in_number(l->in, INT64_MAX);
}

static void save_thread(struct state_save *s, const struct task *t)
{
	struct task_usage u;

	task_usage(t, &u);
	out_number(s->out, t->tid);
	out_number(s->out, t->state == TASK_ENDED);
	out_bytes(s->out, t->comm, sizeof(t->comm));
	save_cred(s, t->cred);
	out_number(s->out, t->clear_child_tid.v);
	out_number(s->out, t->robust_list.v);
	out_number(s->out, t->personality);
	out_number(s->out, (uint64_t) t->pdeath_signal);
	out_number(s->out, (uint64_t) (t->nice + 20));
	out_number(s->out, t->policy);
	out_number(s->out, t->priority);
	out_number(s->out, t->reset_on_fork);
	out_number(s->out, t->affinity);
	out_number(s->out, t->io_priority);
	out_number(s->out, (uint64_t) t->timer_slack);
	out_number(s->out, (uint64_t) t->slack_at_birth);
	out_number(s->out, (uint64_t) t->started);
	out_bytes(s->out, &u, sizeof(u));
}

static void load_thread(struct state_load *l, struct process *p)
{
	uint32_t tid = id_in(l);
	bool ended = in_flag(l->in);
	struct task *t;
	int r = l->in->error;

	if (r == 0)
		r = task_new_at(p, tid, &t);
	if (r < 0) {
		in_fail(l->in, r == -ENOMEM ? r : -EBADMSG);
		return;
	}
	in_bytes(l->in, t->comm, sizeof(t->comm));
	t->comm[sizeof(t->comm) - 1] = '\0';
	t->cred = load_cred(l);
	if (!t->cred)
		in_fail(l->in, -EBADMSG);
	else
		(void) cred_ref(t->cred);
	t->clear_child_tid = uva(in_number(l->in, UINT64_MAX));
	t->robust_list = uva(in_number(l->in, UINT64_MAX));
	t->personality = id_in(l);
	t->pdeath_signal = (int) in_number(l->in, SIGNALS);
	t->nice = (int) in_number(l->in, 39) - 20;
	t->policy = (unsigned int) in_number(l->in, SCHED_IDLE);
	t->priority = (unsigned int) in_number(l->in, 99);
	t->reset_on_fork = in_flag(l->in);
	t->affinity = in_number(l->in, UINT64_MAX);
	t->io_priority = (uint16_t) in_number(l->in, UINT16_MAX);
	t->timer_slack = (nsec_t) in_number(l->in, INT64_MAX);
	t->slack_at_birth = (nsec_t) in_number(l->in, INT64_MAX);
	t->started = (nsec_t) in_number(l->in, INT64_MAX);
	in_bytes(l->in, &t->usage, sizeof(t->usage));
	if (!ended)
		return;
	/* A leader that others outlive, or a zombie's. */
	if (t != p->leader)
		in_fail(l->in, -EBADMSG);
	t->state = TASK_ENDED;
	list_remove(&t->in_process);
	list_init(&t->in_process);
	p->thread_count--;
}

/* The leader first, whether it lives or not. */
static void save_threads(struct state_save *s, struct process *p,
			 void (*save)(struct state_save *s, const struct task *t), bool all)
{
	if (all || p->leader->state != TASK_ENDED)
		save(s, p->leader);
	list_each(l, &p->threads)
	{
		const struct task *t = task_of_list(l);

		s->task = t;
		if (t != p->leader && s->out->error == 0)
			save(s, t);
	}
	s->task = p->leader;
}

static uint64_t threads_of(const struct process *p)
{
	return p->thread_count + (p->leader->state == TASK_ENDED ? 1 : 0);
}

static void load_process(struct state_load *l, uint64_t count, struct radix *parents)
{
	struct process *p;
	uint64_t parent = 0;

	if (process_new(&p) < 0) {
		in_fail(l->in, -ENOMEM);
		return;
	}
	for (uint64_t n = 0; n < count && l->in->error == 0; n++)
		load_thread(l, p);
	if (!p->leader) {
		in_fail(l->in, -EBADMSG);
		process_free(p);
	}
	if (l->in->error < 0)
		return; /* drop_tasks() */
	load_place(l, p, &parent);
	if (l->in->error == 0 && p->zombie != (p->thread_count == 0))
		in_fail(l->in, -EBADMSG);
	if (parent && l->in->error == 0 &&
	    radix_set(parents, p->pid, (void *) (uintptr_t) parent) < 0)
		in_fail(l->in, -ENOMEM);
}

static struct process *process_at(uint64_t nr)
{
	struct pid *p = pid_find((int64_t) nr);

	return p ? p->process : NULL;
}

/* Above each is one that has none: no circle. */
static void link_parents(struct state_load *l, struct radix *parents)
{
	void *to;

	for (uint64_t nr = 1; l->in->error == 0 && (to = radix_next(parents, &nr)); nr++) {
		struct process *p = process_at(nr), *parent = process_at((uintptr_t) to);
		uint64_t up = nr, steps = 0;

		while (up && steps++ < PID_MOST)
			up = (uintptr_t) radix_get(parents, up);
		if (!parent || parent->zombie || up) {
			in_fail(l->in, -EBADMSG);
			return;
		}
		p->parent = parent;
		list_push(&parent->children, &p->in_parent);
	}
}

/* ---- processes: what they have ---- */

/* More than a century is as good as one. */
static void save_span(struct state_save *s, nsec_t span)
{
	out_number(s->out, (uint64_t) min_of(span, INT64_MAX / 2));
}

static void save_timers(struct state_save *s, const struct process *p)
{
	const struct timers *t = p->signals->timers;

	struct timer_state one;

	out_number(s->out, t != NULL);
	for (size_t n = 0; t && n < countof(t->interval); n++) {
		/* One whose signal waits begins again as if it had been taken. */
		nsec_t left = timer_left(&t->interval[n]), again = t->interval[n].interval;

		save_span(s, left);
		save_span(s, again);
	}
	for (uint64_t id = 0; timer_tell(p, &id, &one); id++) {
		out_number(s->out, id);
		out_number(s->out, one.clock);
		out_number(s->out, one.realtime);
		out_number(s->out, one.told);
		out_number(s->out, one.measured);
		out_number(s->out, (uint64_t) one.nr);
		out_number(s->out, one.value);
		save_span(s, one.left);
		save_span(s, one.interval);
		out_number(s->out, (uint32_t) one.overrun);
	}
	if (t)
		out_number(s->out, NO_MORE);
}

static void load_timer(struct state_load *l, struct process *p, uint64_t id)
{
	struct timer_state one = { .clock = (enum timer_clock) in_number(l->in, TIMER_THREAD) };
	int r;

	one.realtime = in_flag(l->in);
	one.told = id_in(l);
	one.measured = id_in(l);
	one.nr = (int) in_number(l->in, SIGNALS);
	one.value = in_number(l->in, UINT64_MAX);
	one.left = (nsec_t) in_number(l->in, INT64_MAX / 2);
	one.interval = (nsec_t) in_number(l->in, INT64_MAX / 2);
	one.overrun = (int32_t) in_number(l->in, INT32_MAX);
	if (id >= INT32_MAX)
		in_fail(l->in, -EBADMSG);
	r = l->in->error == 0 ? timer_load(p, id, &one) : 0;
	if (r < 0)
		in_fail(l->in, r);
}

static void load_timers(struct state_load *l, struct process *p)
{
	struct timers *t = in_flag(l->in) ? timers_of(p, true) : NULL;

	for (size_t n = 0; t && n < countof(t->interval); n++) {
		nsec_t left = (nsec_t) in_number(l->in, INT64_MAX / 2);
		nsec_t again = (nsec_t) in_number(l->in, INT64_MAX / 2);

		timer_set(&t->interval[n], left, again, false);
	}
	while (t && l->in->error == 0) {
		uint64_t id = in_number(l->in, NO_MORE);

		if (id == NO_MORE)
			break;
		load_timer(l, p, id);
	}
}

static void save_shared(struct state_save *s, const struct process *p)
{
	const struct process_signals *g = p->signals;

	/* As save_parts(): of one that comes or goes. */
	if (!g) {
		if (!s->dry)
			save_refuse(s, "a process that ends just now", NULL);
		return;
	}
	save_queue(s, &g->pending);
	out_number(s->out, g->protected);
	out_number(s->out, g->stopping);
	out_number(s->out, g->all_stopped);
	out_number(s->out, (uint64_t) g->stop_signal);
	save_timers(s, p);
}

static void load_shared(struct state_load *l, struct process *p)
{
	struct process_signals *g = p->signals;

	load_queue(l, p->leader, &g->pending);
	g->protected = in_flag(l->in);
	g->stopping = in_flag(l->in);
	g->all_stopped = in_flag(l->in);
	g->stop_signal = (int) in_number(l->in, SIGNALS);
	load_timers(l, p);
	limit_cpu_watch(p);
}

static void check_task(struct state_save *s, const struct task *t)
{
	if (t->vfork)
		save_refuse(s, "a parent that waits for it (vfork)", NULL);
	if (t->filters != s->host->filter || t->strict)
		save_refuse(s, "seccomp filters of its own", NULL);
}

static void save_parts(struct state_save *s, const struct task *t)
{
	/* It comes or goes just now: nothing is known of it that could not be saved. */
	if (!t->signals || !t->image || !t->space || !t->fs || !t->files) {
		if (!s->dry)
			save_refuse(s, "a thread that ends just now", NULL);
		return;
	}
	check_task(s, t);
	save_signals(s, t);
	save_image(s, t->image);
	save_space(s, t->space);
	save_fs(s, t->fs);
	save_table(s, t->files);
	save_undos(s, t);
	save_held(s, t);
}

static void load_parts(struct state_load *l, struct task *t)
{
	struct space_limits limits;

	if (signals_clone(t, NULL, 0) < 0) {
		in_fail(l->in, -ENOMEM);
		return;
	}
	load_signals(l, t);
	t->filters = seccomp_filter_ref(l->host->filter);
	t->image = load_image(l);
	if (t->image)
		t->image->owners++;
	t->space = load_space(l);
	if (t->space)
		space_ref(t->space);
	l->task = t;
	t->fs = load_fs(l);
	if (t->fs)
		t->fs->owners++;
	t->files = load_table(l);
	if (t->files)
		descriptors_ref(t->files);
	l->task = NULL;
	load_undos(l, t);
	if (l->in->error < 0)
		return;
	limits_of_space(t, &limits);
	t->space->limits = limits;
	load_held(l, t);
}

/* ---- all ---- */

static struct process *next_process(uint64_t *nr)
{
	struct pid *p;

	for (; (p = pid_next(nr)); ++*nr) {
		if (p->process)
			return p->process;
	}
	return NULL;
}

void save_tasks(struct state_save *s)
{
	struct process *p;

	out_number(s->out, pid_last());
	for (uint64_t nr = 1; s->out->error == 0 && (p = next_process(&nr)); nr++) {
		s->task = p->leader;
		if (!p->parent && p->pid != 1)
			save_refuse(s, "come into the sandbox from outside (exec)", NULL);
		out_number(s->out, threads_of(p));
		save_threads(s, p, save_thread, true);
		save_place(s, p);
	}
	out_number(s->out, NO_MORE);
	for (uint64_t nr = 1; s->out->error == 0 && (p = next_process(&nr)); nr++) {
		s->task = p->leader;
		if (p->zombie)
			continue;
		save_threads(s, p, save_parts, false);
		save_shared(s, p);
	}
	s->task = NULL;
}

void load_tasks(struct state_load *l)
{
	uint32_t last = (uint32_t) in_number(l->in, PID_MOST - 1);
	struct radix parents = {};
	struct process *p;
	uint64_t count;

	while (l->in->error == 0 && (count = in_number(l->in, NO_MORE)) != NO_MORE)
		load_process(l, count, &parents);
	link_parents(l, &parents);
	radix_fini(&parents);
	p = process_at(1);
	if (!p || p->parent || p->zombie) {
		in_fail(l->in, -EBADMSG);
		return;
	}
	p->ended = l->host->ended;
	p->ended_arg = l->host->ended_arg;
	for (uint64_t nr = 1; l->in->error == 0 && (p = next_process(&nr)); nr++) {
		/* Who has no parent is told of nobody. */
		if (!p->parent && p->pid != 1)
			in_fail(l->in, -EBADMSG);
		list_each(t, &p->threads)
		{
			if (l->in->error == 0)
				load_parts(l, task_of_list(t));
		}
		if (!p->zombie && l->in->error == 0)
			load_shared(l, p);
	}
	pid_set_last(last);
}

static void drop_process(struct process *p)
{
	struct process_signals *g = p->signals;
	struct list *l;

	if (g)
		g->stopping = false;
	/* Who ends last takes what its process has of signals. */
	while ((l = p->threads.next) != &p->threads) {
		struct task *t = task_of_list(l);

		t->dying = true;
		signals_end(t);
		if (t == p->leader) {
			list_remove(l);
			list_init(l);
			p->thread_count--;
		} else {
			task_free(t);
		}
	}
	signals_end_process(p);
	process_free(p);
}

void drop_tasks(void)
{
	struct process *p;

	for (uint64_t nr = 1; (p = next_process(&nr)); nr++) {
		p->parent = NULL;
		list_remove(&p->in_parent);
		list_init(&p->in_parent);
		if (p->group && p->group->session->tty)
			tty_let_go(p->group->session->tty);
	}
	for (uint64_t nr = 1; (p = next_process(&nr)); nr++)
		drop_process(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Spaces of numbers: two containers on one kernel, whose tasks find their own alone. */
#include "kernel/task/pid.h"

#include "kernel/task/limit.h"
#include "kernel/task/test_life_calls.h"

static struct pid_space *other;
static struct fiber *waits;
static int others_status, execs_status;
static int inside; /* what the tests in it found right */

/* ---- the table ---- */

static void numbers(void)
{
	struct pid_space *s = pid_space_new(), *t = pid_space_new(), *at = NULL;
	struct pid *a = NULL, *b = NULL, *c = NULL;
	uint32_t serial = pid_space_serial(s);
	uint64_t nr = 1;

	CHECK(s && t && serial && pid_space_serial(t) != serial && pid_space_serial(NULL) == 0);
	CHECK(pid_new_in(s, &a) == 0 && pid_new_in(t, &b) == 0 && pid_new_in(s, &c) == 0);
	CHECK(a->nr == 1 && b->nr == 1 && c->nr == 2 && a->space == s && b->space == t);
	/* A kernel's own fiber sees the first space, where there is none. */
	CHECK(pid_space_here() == NULL && !pid_find(1) && !pid_next_anywhere(&at, &nr));
	/* The numbers of a space keep it. */
	pid_space_unref(s);
	pid_unref(c);
	CHECK(pid_space_ref(s) == s && pid_new_in(s, &c) == 0 && c->nr == 3);
	pid_unref(c);
	pid_unref(a);
	pid_unref(b);
	/* All are free: it begins again. */
	CHECK(pid_new_in(s, &a) == 0 && a->nr == 1);
	pid_unref(a);
	pid_space_unref(s);
	pid_space_unref(t);
	s = pid_space_new();
	CHECK(s && pid_space_serial(s) > serial);
	pid_space_unref(s);
	CHECK(!pid_space_ref(NULL));
	pid_space_unref(NULL);
}

/* ---- processes ---- */

static void others_end(struct process *p, int status, void *arg)
{
	*(int *) arg = status;
	(void) p;
	fiber_wake(waits);
}

/* A process that runs this program there. */
static struct task *begin(const char *name, struct pid_space *in, int *status)
{
	struct task_first q = {
		.cred = &root_cred, .root = &top, .comm = "test", .numbers = in, .container = 2
	};
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct words args, env;
	struct path exe;
	struct task *t;

	*status = -1;
	q.files = descriptors_new();
	words_init(&args, 1000);
	words_init(&env, 1000);
	CHECK(words_add(&args, "x", 1) == 0 && walk(&w, name, WALK_FOLLOW, &exe) == 0);
	CHECK(task_new_first(&q, &t) == 0);
	descriptors_unref(q.files);
	CHECK(signals_clone(t, NULL, 0) == 0);
	t->process->ended = others_end;
	t->process->ended_arg = status;
	CHECK(task_load(t, &exe, name, &args, &env) == 0 && task_start(t) == 0);
	path_unref(&exe);
	words_fini(&args);
	words_fini(&env);
	return t;
}

static void look(struct task *t)
{
	struct pid_space *s = NULL;
	struct pid *p;
	uint64_t nr = 1;
	int own = 0, all = 0;

	for (; (p = pid_next(&nr)); nr++)
		own += p->process && p->process->container == 2;
	nr = 1;
	for (; (p = pid_next_anywhere(&s, &nr)); nr++)
		all += p->process != NULL;
	CHECK(pid_space_here() == other && pid_space_init(other)->pid == 1);
	CHECK(own == 2 && all == 4 && tasks_count() == 2 && t->pid->space == other);
	CHECK(pid_find(2) == t->pid && t->process->container == 2 && t->process->parent->pid == 1);
	limit_tasks_in(other, 3);
	CHECK(limit_tasks_most() == 3 && !limit_tasks_passed());
	limit_tasks_in(other, 2);
	CHECK(limit_tasks_passed() && limit_tasks_refused() == 1);
	limit_tasks_in(other, 0);
	inside++;
}

static void looks(void *arg)
{
	(void) arg;
	like(look);
	sim_sys(EXIT, 3);
}

static void exits_later(void *arg)
{
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	sim_sys(EXIT, (uintptr_t) arg);
}

static void leaves_orphan(void *arg)
{
	(void) arg;
	CHECK(fork_to(exits_later, CODE(9)) > 1);
	sim_sys(EXIT, 0);
}

/* Number 1 of the other space: its orphans come to it, and all of it ends with it. */
static void second(void *arg)
{
	struct wait_result w;

	(void) arg;
	CHECK(sim_sys(SELF) == 1 && sim_sys(PARENT) == 0);
	CHECK(end_of(fork_to(looks, NULL)) == 3 << 8);
	CHECK(end_of(fork_to(leaves_orphan, NULL)) == 0);
	CHECK(wait_for(-1, WEXITED, &w) > 1 && w.status == 9 << 8);
	CHECK(sim_sys(SEND, 1, 0) == 0 && sim_sys(SEND, 40, 0) == -ESRCH);
	CHECK(fork_to(sleeps, NULL) > 1);
	CHECK(sim_sys(SLEEP, NSEC_PER_SEC) == -ETIMEDOUT);
	inside++;
	sim_sys(EXIT, 6);
}

static void one_sleeps(void *arg)
{
	CHECK(fork_to(sleeps, arg) == 2);
	sleeps(arg);
}

static void two_spaces(void)
{
	struct task *first;
	size_t before;
	int status;

	other = pid_space_new();
	CHECK(other);
	waits = fiber_now();
	program("/first", one_sleeps, 0755);
	program("/second", second, 0755);
	program("/joins", sleeps, 0755);
	(void) frame_zero(); /* made when it is needed first */
	before = frame_used();
	first = begin("/first", NULL, &status);
	first->process->container = 0;
	CHECK(first->tid == 1);
	while (tasks_count() != 2)
		fiber_yield();
	(void) begin("/second", other, &others_status);
	while (others_status == -1)
		fiber_park();
	CHECK(others_status == 6 << 8 && inside == 2);
	/* The first lives on, with what it has made; a process that joins has no number 1. */
	CHECK(status == -1 && tasks_count() == 2 && pid_space_room(other)->count == 0);
	CHECK(begin("/joins", NULL, &execs_status)->tid == 3);
	process_kill(first->process, SIGKILL);
	while (status == -1 || execs_status == -1)
		fiber_park();
	CHECK(status == SIGKILL && execs_status == SIGKILL && tasks_count() == 0);
	CHECK(!pid_find(1) && !process_init());
	pid_space_unref(other);
	CHECK(frame_used() == before);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	numbers();
	two_spaces();
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storm of tasks: each guest forks, makes threads, loads programs, waits, signals whomever, ends,
 * as a generator of numbers says. Whatever they do, number 1 ends, and nothing of it is left.
 */
#include "kernel/task/pid.h"

#include "kernel/task/test_life_calls.h"

#define SEEDS	   12
#define STEPS_MOST 4000
#define TASKS_MOST 60

static uint64_t seed;
static unsigned int steps, tasks, finished;

static unsigned int dice(unsigned int n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int) (seed >> 33) % n;
}

static void count_tasks(struct task *t)
{
	uint64_t nr = 1;

	(void) t;
	tasks = 0;
	for (struct pid *p; (p = pid_next(&nr)); nr++)
		tasks += p->task != NULL;
}

static void own_group(struct task *t)
{
	(void) !(dice(2) ? task_setpgid(t, 0, 0) : task_setsid(t)); /* as it may be */
}

static void own_habits(struct task *t)
{
	t->process->subreaper = dice(2);
	t->pdeath_signal = dice(3) ? 0 : SIGTERM;
	t->handlers->actions[SIGCHLD - 1].handler = dice(4) == 0;
}

static void make(void (*main)(void *arg))
{
	static const uint64_t kinds[] = {
		0,
		CLONE_VM,
		CLONE_VM | CLONE_VFORK,
		CLONE_FILES | CLONE_FS,
		CLONE_PARENT,
		CLONE_VM | CLONE_SIGHAND,
		CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID,
		CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS | CLONE_FILES,
	};
	static const int signals[] = { SIGCHLD, SIGCHLD, 0, SIGUSR1 };
	struct fork f = { .q = { .flags = kinds[dice(countof(kinds))],
				 .child_tid = uva(DATA + 0x1000) },
			  .main = main };

	like(count_tasks);
	/* Number 1 waits for nobody: who it waits for may have been stopped for good. */
	if (f.q.flags & CLONE_VFORK && sim_sys(SELF) == 1)
		f.q.flags = 0;
	if (tasks >= TASKS_MOST)
		return;
	if (!(f.q.flags & CLONE_THREAD))
		f.q.exit_signal = signals[dice(countof(signals))];
	if (dice(8) == 0)
		fail_heap = 1 + dice(40);
	CHECK(sim_sys(CLONE, (uintptr_t) &f) != 0);
	fail_heap = 0;
}

static void stormy(void *arg)
{
	static const int signals[] = { SIGTERM, SIGKILL, SIGSTOP, SIGCONT, SIGCHLD, SIGUSR1 };
	struct wait_result w;

	(void) arg;
	while (steps++ < STEPS_MOST) {
		switch (dice(12)) {
		case 0:
		case 1:
		case 2:
			make(stormy);
			break;
		case 3:
			(void) wait_for(-1,
					WEXITED | WSTOPPED | WCONTINUED | __WALL |
						(sim_sys(SELF) == 1 ? WNOHANG : 0),
					&w);
			break;
		case 4:
			(void) wait_for(-1, WEXITED | WNOHANG, &w);
			break;
		case 5:
			(void) sim_sys(SLEEP, dice(1000));
			break;
		case 6:
			(void) sim_sys(SEND, 2 + dice(200), signals[dice(countof(signals))]);
			break;
		case 7:
			if (dice(3) == 0 && sim_sys(SELF) != 1)
				(void) sim_sys(EXEC, (uintptr_t) "/storm");
			break;
		case 8:
			if (dice(4) == 0 && sim_sys(SELF) != 1)
				sim_sys(EXIT_GROUP, dice(256));
			break;
		case 9:
			if (dice(2) && sim_sys(SELF) != 1)
				sim_sys(EXIT, dice(256));
			break;
		case 10:
			like(own_group);
			break;
		default:
			like(own_habits);
			break;
		}
	}
	sim_sys(EXIT_GROUP, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	program("/storm", stormy, 0755);
	for (uint64_t n = 0; n < SEEDS; n++) {
		uint64_t nr = 1;

		seed = n * 7919 + 1;
		steps = 0;
		(void) run(stormy);
		CHECK(!pid_next(&nr));
		finished++;
	}
	mount_space_unref(m);
}

int main(void)
{
	int r = test_run(16384, body);

	/* And not: all wait for each other. */
	return finished == SEEDS ? r : 1;
}

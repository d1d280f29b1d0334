/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that the platform answers: each answer is asked for once, and again after what may have
 * changed it. That no answer is told that is another by now the sim looks at in all tests.
 */
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "kernel/task/test_life.h"
#include "kernel/task/trace.h"

#define PLACE  (DATA + 0x1000)
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

enum step { INIT, USERS, GROUPS, LEADS, MOVED, MAKER, ORPHAN, FILTERED, THREADS, ONE_MORE };
static enum step step;
static int turn;
static sysret_t number; /* of the process whose thread executes */

static void asked(unsigned int nr, sysret_t want)
{
	unsigned long before = sim_counts()->known;

	CHECK(sim_sys(nr) == want && sim_counts()->known == before);
}

static void known(unsigned int nr, sysret_t want)
{
	unsigned long before = sim_counts()->known;

	CHECK(sim_sys(nr) == want && sim_counts()->known == before + 1);
}

/* Asked for once. */
static void once(unsigned int nr, sysret_t want)
{
	asked(nr, want);
	known(nr, want);
	known(nr, want);
}

static int reap(sysret_t pid)
{
	int status = -1;

	CHECK(pid > 0 && sim_sys(__NR_wait4, pid, PLACE, 0, 0) == pid);
	CHECK(sim_read(PLACE, &status, sizeof(status)));
	return status;
}

static sysret_t child(enum step s)
{
	step = s;
	return sim_sys(__NR_fork);
}

static void wait_turn(int n)
{
	while (turn != n)
		CHECK(sim_sys(__NR_sched_yield) == 0);
}

static void users(void)
{
	once(__NR_getuid, 0);
	once(__NR_getegid, 0);
	CHECK(sim_sys(__NR_setresgid, 7, 8, 9) == 0);
	once(__NR_getgid, 7);
	once(__NR_getegid, 8);
	once(__NR_getuid, 0);
	CHECK(sim_sys(__NR_setresuid, 0xfffffffe, 6, 5) == 0);
	once(__NR_getuid, 0xfffffffe);
	once(__NR_geteuid, 6);
	CHECK(sim_sys(__NR_setuid, 5) == 0);
	asked(__NR_getuid, 0xfffffffe);
	once(__NR_geteuid, 5);
}

static void groups(void)
{
	sysret_t pid = sim_sys(__NR_getpid);

	known(__NR_getpid, pid);
	once(__NR_gettid, pid);
	once(__NR_getpgrp, 1);
	CHECK(sim_sys(__NR_setpgid, 0, 0) == 0);
	once(__NR_getpgrp, pid);
	CHECK(sim_sys(__NR_setpgid, 0, 1) == 0);
	once(__NR_getpgrp, 1);
	once(__NR_getpid, pid);
	/* What has arguments, or stays for nobody. */
	asked(__NR_getsid, 1);
	asked(__NR_getsid, 1);
}

static void leads(void)
{
	once(__NR_getpgrp, 1);
	CHECK(sim_sys(__NR_setsid) == sim_sys(__NR_getpid));
	once(__NR_getpgrp, sim_sys(__NR_getpid));
}

/* By its parent. */
static void moved(void)
{
	once(__NR_getpgrp, 1);
	turn = 1;
	wait_turn(2);
	once(__NR_getpgrp, sim_sys(__NR_getpid));
}

static void moves(void)
{
	sysret_t pid = child(MOVED);

	wait_turn(1);
	CHECK(sim_sys(__NR_setpgid, pid, pid) == 0);
	turn = 2;
	CHECK(reap(pid) == 0);
}

/* Its parent ends. */
static void orphan(void)
{
	once(__NR_getppid, number);
	turn = 4;
	wait_turn(5);
	once(__NR_getppid, 1);
	turn = 6;
}

static void maker(void)
{
	number = sim_sys(__NR_getpid);
	CHECK(child(ORPHAN) > number);
	wait_turn(4);
}

static void filtered(void)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct {
		uint16_t count, pad[3];
		uint64_t code;
	} p = { .count = countof(code), .code = PLACE + sizeof(p) };
	sysret_t pid = sim_sys(__NR_getpid);

	once(__NR_getppid, 1);
	CHECK(sim_write(PLACE, &p, sizeof(p)) && sim_write(p.code, code, sizeof(code)));
	CHECK(sim_sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, PLACE) == 0);
	asked(__NR_getppid, -77);
	asked(__NR_getppid, -77);
	/* What passes whatever its arguments are. */
	once(__NR_getpid, pid);
}

/* A thread that executes becomes the leader. */
static void ran(void *arg)
{
	(void) arg;
	once(__NR_gettid, number);
	once(__NR_getpid, number);
	sim_sys(__NR_exit_group, 7);
}

static void one_more(void)
{
	once(__NR_getpid, number);
	once(__NR_gettid, number + 1);
	CHECK(sim_write(PLACE, "/ran", 5));
	sim_sys(__NR_execve, PLACE, 0, 0);
	CHECK(false);
}

static void threads(void)
{
	number = sim_sys(__NR_getpid);
	once(__NR_gettid, number);
	step = ONE_MORE;
	CHECK(sim_sys(__NR_clone, THREAD, 0) == number + 1);
	for (;;)
		(void) sim_sys(__NR_pause);
}

static void none(struct trace_watcher *w, const struct trace_record *r)
{
	(void) w;
	(void) r;
}

static void watched(void)
{
	struct trace_watcher w = { .take = none };

	known(__NR_getpid, 1);
	trace_watch(&w);
	asked(__NR_getpid, 1);
	asked(__NR_getpid, 1);
	trace_unwatch(&w);
	once(__NR_getpid, 1);
}

static void init(void)
{
	once(__NR_getpid, 1);
	once(__NR_gettid, 1);
	once(__NR_getppid, 0);
	once(__NR_getpgrp, 1);
	watched();
	CHECK(reap(child(USERS)) == 0);
	CHECK(reap(child(GROUPS)) == 0);
	CHECK(reap(child(LEADS)) == 0);
	known(__NR_getpid, 1); /* what children change is theirs */
	moves();
	CHECK(reap(child(MAKER)) == 0);
	turn = 5;
	wait_turn(6);
	CHECK(reap(number + 1) == 0);
	CHECK(reap(child(FILTERED)) == 0);
	CHECK(reap(child(THREADS)) == 7 << 8);
}

static void begin(void *arg)
{
	static void (*const steps[])(void) = {
		[INIT] = init,	       [USERS] = users,	      [GROUPS] = groups,
		[LEADS] = leads,       [MOVED] = moved,	      [MAKER] = maker,
		[ORPHAN] = orphan,     [FILTERED] = filtered, [THREADS] = threads,
		[ONE_MORE] = one_more,
	};

	(void) arg;
	steps[step]();
	sim_sys(__NR_exit_group, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	sim_answers(true);
	program("/ran", ran, 0755);
	CHECK(run(begin) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}

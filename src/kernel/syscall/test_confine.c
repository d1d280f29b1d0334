/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp(2) as guests meet it: their own filters, from their installation to what they do. */
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "kernel/core/heap.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/test_life.h"

#define PROGRAM	 (DATA + 0x1000) /* struct sock_fprog, and its code behind it */
#define PLACE	 (DATA + 0x2800)
#define RESTORER 0x70000000
#define THREAD	 (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

#define LOAD(what)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define RETURN(say)    BPF_STMT(BPF_RET | BPF_K, say)
#define EQUAL(k, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, t, f)
/* One call's fate; all else is allowed. */
#define FOR(call, say) LOAD(nr), EQUAL(call, 0, 1), RETURN(say), RETURN(SECCOMP_RET_ALLOW)

enum step {
	INIT,
	REFUSED,
	ERRORS,
	ORDER,
	ARGUMENTS,
	TRAPPED,
	TRAPPED_TO_DEATH,
	KILLED,
	THREAD_KILLED,
	KILLED_THREAD,
	STRICT,
	INHERITED,
	INHERITING,
	SYNCED,
	OTHER_THREAD,
	LONG,
};
static enum step step;
static sysret_t from_thread;
static struct signal_info seen;

static sysret_t set(uint64_t flags, const struct sock_filter *code, size_t n)
{
	struct {
		uint16_t count, pad[3];
		uint64_t code;
	} p = { .count = (uint16_t) n, .code = PROGRAM + sizeof(p) };

	CHECK(sim_write(PROGRAM, &p, sizeof(p)));
	CHECK(n > 256 || sim_write(p.code, code, n * sizeof(*code)));
	return sim_sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, PROGRAM);
}
#define SET(flags, ...)                                                                            \
	set(flags, (const struct sock_filter[]){ __VA_ARGS__ },                                    \
	    sizeof((const struct sock_filter[]){ __VA_ARGS__ }) / sizeof(struct sock_filter))

static int reap(sysret_t pid)
{
	int status = -1;

	CHECK(pid > 0 && sim_sys(__NR_wait4, pid, PLACE, 0, 0) == pid);
	CHECK(sim_read(PLACE, &status, sizeof(status)));
	return status;
}

static int child(enum step s)
{
	step = s;
	return reap(sim_sys(__NR_fork));
}

static struct task *self(void)
{
	return pid_find(sim_sys(__NR_gettid))->task;
}

/* ---- what may be installed ---- */

static void refused(void)
{
	static const struct sock_filter allow = RETURN(SECCOMP_RET_ALLOW);
	static const uint32_t actions[] = { SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD,
					    SECCOMP_RET_TRAP,	      SECCOMP_RET_ERRNO,
					    SECCOMP_RET_TRACE,	      SECCOMP_RET_LOG,
					    SECCOMP_RET_ALLOW };
	const uint32_t notify = SECCOMP_RET_USER_NOTIF;

	for (size_t n = 0; n < countof(actions); n++) {
		CHECK(sim_write(PLACE, &actions[n], 4));
		CHECK(sim_sys(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, PLACE) == 0);
	}
	CHECK(sim_write(PLACE, &notify, 4));
	CHECK(sim_sys(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, PLACE) == -EOPNOTSUPP);
	CHECK(sim_sys(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 8) == -EFAULT);
	CHECK(sim_sys(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, PLACE) == -EINVAL);
	CHECK(sim_sys(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, PLACE) == -EINVAL);
	CHECK(sim_sys(__NR_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0) == -EINVAL);
	CHECK(sim_sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8) == -EFAULT);
	CHECK(sim_sys(__NR_prctl, PR_SET_SECCOMP, 3, 0) == -EINVAL);
	CHECK(set(SECCOMP_FILTER_FLAG_NEW_LISTENER, &allow, 1) == -EINVAL);
	CHECK(set(1 << 30, &allow, 1) == -EINVAL && set(0, &allow, 0) == -EINVAL);
	CHECK(set(0, &allow, BPF_MAXINSNS + 1) == -EINVAL);
	/* No end, one that is not at the end, jumps out of it. */
	CHECK(SET(0, LOAD(nr)) == -EINVAL);
	CHECK(SET(0, RETURN(0), LOAD(nr)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_RET | BPF_X, 0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX), RETURN(0)) == -EINVAL);
	CHECK(SET(0, EQUAL(0, 0, 1), RETURN(0)) == -EINVAL);
	CHECK(SET(0, EQUAL(0, 1, 0), RETURN(0)) == -EINVAL);
	/* What is not aligned, not there, not of seccomp(2), not of classic BPF. */
	CHECK(SET(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(0x100, 0), RETURN(0)) == -EINVAL);
	/* Cells that are not there, or not written to on each way. */
	CHECK(SET(0, BPF_STMT(BPF_ST, 16), RETURN(0)) == -EINVAL);
	CHECK(SET(0, BPF_STMT(BPF_LD | BPF_MEM, 0), RETURN(0)) == -EINVAL);
	CHECK(SET(0, EQUAL(0, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3),
		  RETURN(0)) == -EINVAL);
	CHECK(sim_sys(__NR_prctl, PR_GET_SECCOMP) == 0);
	/* Without a capability privileges have to be given up before. */
	CHECK(sim_sys(__NR_setresuid, 5, 5, 5) == 0);
	CHECK(set(0, &allow, 1) == -EACCES);
	CHECK(sim_sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1) == 0);
	CHECK(set(0, &allow, 1) == 0 && sim_sys(__NR_prctl, PR_GET_SECCOMP) == 2);
	CHECK(sim_sys(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PROGRAM) == 0);
	CHECK(sim_sys(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == -EINVAL);
	CHECK(self()->filters->depth == 2);
	heap_fail_at(2);
	CHECK(set(0, &allow, 1) == -ENOMEM);
	heap_fail_at(0);
	CHECK(self()->filters->depth == 2);
}

/* ---- what they do ---- */

static void errors(void)
{
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_ERRNO | 77)) == 0);
	CHECK(sim_sys(__NR_getppid) == -77 && sim_sys(__NR_getpid) > 1);
	/* What looks at the number alone is known from the first time on. */
	CHECK(self()->filters->allowed[0] >> __NR_getpid & 1);
	CHECK(!(self()->filters->allowed[__NR_getppid / 64] >> __NR_getppid % 64 & 1));
	CHECK(sim_sys(__NR_getpid) > 1);
	CHECK(SET(SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		  FOR(__NR_getuid, SECCOMP_RET_ERRNO)) == 0);
	CHECK(sim_sys(__NR_getuid) == 0 && sim_sys(__NR_getppid) == -77);
	/* A number of the kernel's own is none here; there are none above 4095. */
	CHECK(SET(0, FOR(__NR_geteuid, SECCOMP_RET_ERRNO | 512)) == 0);
	CHECK(sim_sys(__NR_geteuid) == -512);
	CHECK(SET(0, FOR(__NR_geteuid, SECCOMP_RET_ERRNO | 0xffff)) == 0);
	CHECK(sim_sys(__NR_geteuid) == -4095);
	/* Nobody traces, and nobody listens. */
	CHECK(SET(0, FOR(__NR_getgid, SECCOMP_RET_TRACE)) == 0 && sim_sys(__NR_getgid) == -ENOSYS);
	CHECK(SET(0, FOR(__NR_getegid, SECCOMP_RET_USER_NOTIF)) == 0);
	CHECK(sim_sys(__NR_getegid) == -ENOSYS);
	CHECK(SET(0, FOR(__NR_gettid, SECCOMP_RET_LOG)) == 0 && sim_sys(__NR_gettid) > 1);
	/* Numbers that no call has. */
	CHECK(SET(0, FOR(0x40000027, SECCOMP_RET_ERRNO | 5)) == 0);
	CHECK(sim_sys(0x40000027) == -5 && sim_sys(100000) == -ENOSYS);
}

/* Of several filters the hardest word counts, of equals the newest's. */
static void order(void)
{
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_ERRNO | 1)) == 0);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_ERRNO | 2)) == 0 && sim_sys(__NR_getppid) == -2);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_TRACE)) == 0 && sim_sys(__NR_getppid) == -2);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_ALLOW)) == 0 && sim_sys(__NR_getppid) == -2);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_KILL_PROCESS)) == 0);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_KILL_THREAD)) == 0);
	sim_sys(__NR_getppid);
	CHECK(false);
}

/* All that a program can calculate with: an argument's words, of which the sum decides. */
static void arguments(void)
{
	const struct sock_filter sums[] = {
		LOAD(nr),
		EQUAL(__NR_close, 1, 0),
		RETURN(SECCOMP_RET_ALLOW),
		LOAD(args[0]),
		BPF_STMT(BPF_ST, 0),
		BPF_STMT(BPF_LDX | BPF_IMM, 3),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_X, 0), /* 3a */
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 5),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), /* (3a + 5) / 3 */
		BPF_STMT(BPF_STX, 15),
		BPF_STMT(BPF_LD | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_LDX | BPF_MEM, 15),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1000, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 500, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 2, 3),
		RETURN(SECCOMP_RET_ERRNO | 1),
		RETURN(SECCOMP_RET_ERRNO | 2),
		RETURN(SECCOMP_RET_ERRNO | 3),
		RETURN(SECCOMP_RET_ERRNO | 4),
	};

	CHECK(set(0, sums, countof(sums)) == 0);
	CHECK(sim_sys(__NR_close, 2002) == -1 && sim_sys(__NR_close, 2000) == -2);
	CHECK(sim_sys(__NR_close, 1000) == -2 && sim_sys(__NR_close, 998) == -3);
	CHECK(sim_sys(__NR_close, 996) == -4);
	CHECK(!(self()->filters->allowed[0] >> __NR_close & 1));
	/* The high word, and where the call was made. */
	CHECK(SET(0, LOAD(nr), EQUAL(__NR_getpgid, 0, 3),
		  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
		  EQUAL(7, 0, 1), RETURN(SECCOMP_RET_ERRNO | 9), RETURN(SECCOMP_RET_ALLOW)) == 0);
	CHECK(sim_sys(__NR_getpgid, (uint64_t) 7 << 32) == -9 && sim_sys(__NR_getpgid, 0) > 0);
	CHECK(!self()->filters->place);
	CHECK(SET(0, LOAD(instruction_pointer), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)) == 0);
	CHECK(self()->filters->place && sim_sys(__NR_getpgid, 0) > 0);
	CHECK(!(self()->filters->allowed[__NR_getpgid / 64] >> __NR_getpgid % 64 & 1));
	/* A division by zero kills. */
	CHECK(SET(0, LOAD(nr), EQUAL(__NR_getppid, 0, 2), BPF_STMT(BPF_LDX | BPF_IMM, 0),
		  BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RETURN(SECCOMP_RET_ALLOW)) == 0);
	sim_sys(__NR_getppid);
	CHECK(false);
}

static void handler(int nr, uint64_t info, uint64_t context)
{
	(void) context;
	CHECK(nr == SIGSYS && sim_read(info, &seen, sizeof(seen)));
}

static void trapped(void)
{
	struct signal_action a = { .handler = sim_handler(handler),
				   .flags = SA_SIGINFO | SA_RESTORER,
				   .restorer = RESTORER };

	CHECK(sim_write(PLACE, &a, sizeof(a)));
	CHECK(sim_sys(__NR_rt_sigaction, SIGSYS, PLACE, 0, 8) == 0);
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_TRAP | 33)) == 0);
	seen = (struct signal_info){};
	(void) sim_sys(__NR_getppid);
	CHECK(seen.nr == SIGSYS && seen.code == 1 && seen.error == 33);
	CHECK(seen.call.nr == __NR_getppid && seen.call.arch == AUDIT_ARCH_X86_64);
}

/* ---- threads, children ---- */

static void thread_killed(void)
{
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_KILL_THREAD)) == 0);
	step = KILLED_THREAD;
	CHECK(sim_sys(__NR_clone, THREAD, 0) > 1);
	while (self()->process->thread_count > 1)
		CHECK(sim_sys(__NR_sched_yield) == 0);
}

static void synced(void)
{
	sysret_t tid;

	from_thread = 0;
	step = OTHER_THREAD;
	tid = sim_sys(__NR_clone, THREAD, 0);
	CHECK(tid > 1 && sim_sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1) == 0);
	CHECK(SET(SECCOMP_FILTER_FLAG_TSYNC, FOR(__NR_getppid, SECCOMP_RET_ERRNO | 66)) == 0);
	CHECK(pid_find(tid)->task->filters == self()->filters && self()->filters->owners == 2);
	CHECK(pid_find(tid)->task->cred->no_new_privs);
	/* It meets the filter; with one of its own it is left as it is, and told. */
	while (from_thread != 1)
		CHECK(sim_sys(__NR_sched_yield) == 0);
	CHECK(SET(SECCOMP_FILTER_FLAG_TSYNC, RETURN(SECCOMP_RET_ALLOW)) == tid);
	CHECK(SET(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
		  RETURN(SECCOMP_RET_ALLOW)) == -ESRCH);
	CHECK(self()->filters->depth == 1);
}

static void other_thread(void)
{
	while (from_thread != -66)
		from_thread = sim_sys(__NR_getppid);
	CHECK(SET(0, RETURN(SECCOMP_RET_ALLOW)) == 0);
	from_thread = 1;
	for (;;)
		CHECK(sim_sys(__NR_sched_yield) == 0);
}

/* Programs of the most instructions, until the chain costs too much. */
static void too_long(void)
{
	static struct sock_filter code[256];
	size_t n = 0;

	for (size_t k = 0; k < countof(code); k++)
		code[k] = (struct sock_filter) RETURN(SECCOMP_RET_ALLOW);
	while (n < 200 && set(0, code, countof(code)) == 0)
		n++;
	CHECK(n == 1 + (32768 - 256) / (256 + 4));
	CHECK(set(0, code, countof(code)) == -ENOMEM && self()->filters->depth == n);
}

static void called(void *arg)
{
	(void) arg;
	CHECK(sim_sys(__NR_prctl, PR_GET_SECCOMP) == 2 && sim_sys(__NR_getppid) == -44);
	sim_sys(__NR_exit_group, 7);
}

static void inherited(void)
{
	CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_ERRNO | 44)) == 0);
	CHECK(child(INHERITING) == 7 << 8);
}

static void inheriting(void)
{
	CHECK(sim_sys(__NR_getppid) == -44);
	CHECK(sim_write(PLACE, "/called", 8));
	sim_sys(__NR_execve, PLACE, 0, 0);
	CHECK(false);
}

static void init(void)
{
	CHECK(child(REFUSED) == 0 && child(ERRORS) == 0);
	CHECK(child(ORDER) == SIGSYS && child(ARGUMENTS) == SIGSYS);
	CHECK(child(TRAPPED) == 0 && child(TRAPPED_TO_DEATH) == SIGSYS);
	CHECK(child(KILLED) == SIGSYS && child(THREAD_KILLED) == 0);
	CHECK(child(STRICT) == SIGKILL);
	CHECK(child(INHERITED) == 0 && child(SYNCED) == 0 && child(LONG) == 0);
	CHECK(sim_sys(__NR_prctl, PR_GET_SECCOMP) == 0);
}

static void begin(void *arg)
{
	(void) arg;
	switch (step) {
	case INIT:
		init();
		break;
	case REFUSED:
		refused();
		break;
	case ERRORS:
		errors();
		break;
	case ORDER:
		order();
		break;
	case ARGUMENTS:
		arguments();
		break;
	case TRAPPED:
		trapped();
		break;
	case TRAPPED_TO_DEATH:
		CHECK(SET(0, FOR(__NR_getppid, SECCOMP_RET_TRAP)) == 0);
		sim_sys(__NR_getppid);
		CHECK(false);
		break;
	case KILLED: /* what is no action kills, too */
		CHECK(SET(0, FOR(__NR_getppid, 0x12340000)) == 0);
		sim_sys(__NR_getppid);
		CHECK(false);
		break;
	case THREAD_KILLED:
		thread_killed();
		break;
	case KILLED_THREAD:
		sim_sys(__NR_getppid);
		CHECK(false);
		break;
	case STRICT:
		CHECK(sim_sys(__NR_read, 5, 0, 0) == -EBADF);
		CHECK(sim_sys(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
		CHECK(sim_sys(__NR_read, 5, 0, 0) == -EBADF);
		sim_sys(__NR_getpid);
		CHECK(false);
		break;
	case INHERITED:
		inherited();
		break;
	case INHERITING:
		inheriting();
		break;
	case SYNCED:
		synced();
		break;
	case OTHER_THREAD:
		other_thread();
		break;
	case LONG:
		too_long();
		break;
	}
	sim_sys(__NR_exit_group, 0);
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	program("/called", called, 0755);
	CHECK(run(begin) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}

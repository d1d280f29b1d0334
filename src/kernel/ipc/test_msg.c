/* SPDX-License-Identifier: Apache-2.0 */
/* Message queues by their system calls: order, types, waiting on both sides, rights, no memory. */
#include <asm/unistd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/text.h"
#include "kernel/ipc/ids.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define BUF (GUEST_AT + 4 * PAGE_SIZE)

static struct guest g;

static sysret_t get(int key, int flags)
{
	return CALL(&g, __NR_msgget, (uint64_t) key, (uint64_t) flags);
}

static sysret_t send(sysret_t id, int64_t type, const char *text, int flags)
{
	(void) guest_put(&g, BUF - GUEST_AT, &type, sizeof(type));
	(void) guest_text(&g, BUF - GUEST_AT + 8, text);
	return CALL(&g, __NR_msgsnd, (uint64_t) id, BUF, strlen(text), (uint64_t) flags);
}

/* What was received, in `got` with its type. */
static struct {
	int64_t type;
	char text[64];
} got;

static sysret_t receive(sysret_t id, size_t most, int64_t type, int flags)
{
	sysret_t r = CALL(&g, __NR_msgrcv, (uint64_t) id, BUF, most, (uint64_t) type,
			  (uint64_t) flags);

	memset(&got, 0, sizeof(got));
	if (r >= 0)
		guest_get(&g, BUF - GUEST_AT, &got, 8 + (size_t) r);
	return r;
}

static bool gives(sysret_t id, int64_t type, int flags, const char *text)
{
	return receive(id, 60, type, flags | IPC_NOWAIT) == (sysret_t) strlen(text) &&
	       strcmp(got.text, text) == 0;
}

static sysret_t control(sysret_t id, int how, uint64_t buf)
{
	return CALL(&g, __NR_msgctl, (uint64_t) id, (uint64_t) how, buf);
}

static struct msqid64_ds stat_of(sysret_t id)
{
	struct msqid64_ds ds = {};

	CHECK(control(id, IPC_STAT, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	return ds;
}

static void order(void)
{
	sysret_t id = get(7, IPC_CREAT | 0600);

	CHECK(id >= 0 && get(7, 0600) == id && get(7, IPC_CREAT | IPC_EXCL) == -EEXIST);
	CHECK(get(8, 0) == -ENOENT && receive(id, 60, 0, IPC_NOWAIT) == -ENOMSG);
	CHECK(send(id, 3, "three", 0) == 0 && send(id, 1, "one", 0) == 0);
	CHECK(send(id, 2, "two", 0) == 0 && send(id, 1, "more", 0) == 0 && send(id, 5, "", 0) == 0);
	CHECK(send(id, 0, "x", 0) == -EINVAL && send(-1, 1, "x", 0) == -EINVAL);
	CHECK(CALL(&g, __NR_msgsnd, (uint64_t) id, BUF, 8193, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_msgsnd, (uint64_t) id, 8, 1, 0) == -EFAULT);
	CHECK(stat_of(id).msg_qnum == 5 && stat_of(id).msg_cbytes == 15);
	CHECK(stat_of(id).msg_lspid == 1 && stat_of(id).msg_lrpid == 0);
	/* Copies by their place stay. */
	CHECK(gives(id, 2, MSG_COPY, "two") && gives(id, 0, MSG_COPY, "three"));
	CHECK(receive(id, 60, 5, MSG_COPY | IPC_NOWAIT) == -ENOMSG);
	CHECK(receive(id, 60, 0, MSG_COPY) == -EINVAL);
	CHECK(receive(id, 60, 0, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT) == -EINVAL);
	CHECK(receive(id, 60, 9, IPC_NOWAIT) == -ENOMSG);
	CHECK(receive(id, 2, 0, IPC_NOWAIT) == -E2BIG && stat_of(id).msg_qnum == 5);
	CHECK(receive(id, (size_t) -1, 0, 0) == -EINVAL);
	CHECK(gives(id, -2, 0, "one") && got.type == 1 && gives(id, INT64_MIN, 0, "more"));
	CHECK(gives(id, 3, MSG_EXCEPT, "two") && gives(id, 5, 0, "") && got.type == 5);
	CHECK(receive(id, 2, 0, MSG_NOERROR) == 2 && strcmp(got.text, "th") == 0);
	CHECK(stat_of(id).msg_qnum == 0 && stat_of(id).msg_cbytes == 0);
	CHECK(stat_of(id).msg_lrpid == 1 && stat_of(id).msg_rtime > 0);
	CHECK(send(id, 1, "left", 0) == 0 && control(id, IPC_RMID, 0) == 0);
	CHECK(send(id, 1, "x", 0) == -EINVAL && receive(id, 1, 0, 0) == -EINVAL);
}

/* ---- others who wait ---- */

struct other {
	struct process process;
	struct task task;
	struct fiber *fiber;
	int32_t id;
	int64_t type;
	uint64_t most;
	bool sends;
	struct message *message;
	sysret_t result; /* 1: not yet */
};

static void other_runs(void *arg)
{
	struct other *o = arg;

	o->result = o->sends ? msg_send(&o->task, o->id, o->message, 0)
			     : msg_receive(&o->task, o->id, o->most, o->type, 0, &o->message);
	fiber_exit();
}

static void start(struct other *o, sysret_t id)
{
	o->process.pid = 50;
	o->task.process = &o->process;
	o->task.cred = g.cred;
	o->id = (int32_t) id;
	o->result = 1;
	CHECK(sched_spawn(other_runs, o, &o->fiber) == 0);
	fiber_yield();
}

static void receivers(void)
{
	sysret_t id = get(IPC_PRIVATE, 0600);
	struct other a = { .type = 7, .most = 9 }, b = { .type = 0, .most = 2 },
		     c = { .type = -8, .most = 9 };

	start(&a, id);
	start(&b, id);
	start(&c, id);
	CHECK(a.result == 1 && b.result == 1 && c.result == 1);
	/* Not for the first; too long for the second, who learns of it; the third has it. */
	CHECK(send(id, 8, "eight", 0) == 0);
	fiber_yield();
	CHECK(a.result == 1 && b.result == -E2BIG && c.result == 0);
	CHECK(c.message->len == 5 && c.message->type == 8 && stat_of(id).msg_qnum == 0);
	CHECK(stat_of(id).msg_lrpid == 50);
	message_free(c.message);
	CHECK(send(id, 7, "seven", 0) == 0 && stat_of(id).msg_qnum == 0);
	fiber_yield();
	CHECK(a.result == 0 && a.message->type == 7);
	message_free(a.message);
	start(&a, id);
	fiber_interrupt(a.fiber);
	fiber_yield();
	CHECK(a.result == -ERESTARTNOHAND);
	start(&a, id);
	CHECK(control(id, IPC_RMID, 0) == 0);
	fiber_yield();
	CHECK(a.result == -EIDRM);
}

static void senders(void)
{
	sysret_t id = get(IPC_PRIVATE, 0600);
	struct msqid64_ds ds = stat_of(id);
	struct other a = { .sends = true }, b = { .sends = true };

	ds.msg_qbytes = 8;
	CHECK(control(id, IPC_SET, guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds))) == 0);
	CHECK(send(id, 1, "12345678", 0) == 0 && send(id, 1, "9", IPC_NOWAIT) == -EAGAIN);
	a.message = message_new(4);
	b.message = message_new(8);
	a.message->type = b.message->type = 2;
	start(&a, id);
	start(&b, id);
	CHECK(a.result == 1 && b.result == 1);
	CHECK(gives(id, 0, 0, "12345678"));
	fiber_yield();
	CHECK(a.result == 0 && b.result == 1 && stat_of(id).msg_cbytes == 4);
	ds.msg_qbytes = 12;
	CHECK(control(id, IPC_SET, guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds))) == 0);
	fiber_yield();
	CHECK(b.result == 0 && stat_of(id).msg_cbytes == 12 && stat_of(id).msg_qnum == 2);
	/* Removed in the moment in which there is room. */
	a.message = message_new(4);
	a.message->type = 2;
	start(&a, id);
	CHECK(a.result == 1 && receive(id, 9, 0, 0) == 4 && control(id, IPC_RMID, 0) == 0);
	fiber_yield();
	CHECK(a.result == -EIDRM);
	message_free(a.message);
	/* Empty ones have a bound, too. */
	id = get(IPC_PRIVATE, 0600);
	ds = stat_of(id);
	ds.msg_qbytes = 2;
	CHECK(control(id, IPC_SET, guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds))) == 0);
	CHECK(send(id, 1, "", 0) == 0 && send(id, 1, "", 0) == 0);
	CHECK(send(id, 1, "", IPC_NOWAIT) == -EAGAIN && send(id, 1, "", 0) == -ERESTARTNOHAND);
	CHECK(control(id, IPC_RMID, 0) == 0);
}

static void rights(void)
{
	struct msg_limits old = *msg_limits();
	sysret_t id = get(0x1234, IPC_CREAT | 0644);
	struct msqid64_ds ds = stat_of(id);
	struct msginfo info;
	struct text t = {};

	CHECK(send(id, 1, "abc", 0) == 0);
	CHECK(control(0, MSG_INFO, BUF) == 0);
	guest_get(&g, BUF - GUEST_AT, &info, sizeof(info));
	CHECK(info.msgpool == 1 && info.msgmap == 1 && info.msgtql == 3 && info.msgmax == 8192);
	CHECK(control(0, IPC_INFO, BUF) == 0 && control(0, IPC_INFO, 8) == -EFAULT);
	msg_table(&t);
	text_add(&t, "", 1);
	CHECK(!t.failed && strstr(t.bytes, "ctime\n      4660 ") &&
	      strstr(t.bytes, " 644           3          1     1     0 "));
	text_fini(&t);
	msg_limits()->ids = 1;
	CHECK(get(IPC_PRIVATE, 0) == -ENOSPC);
	*msg_limits() = old;
	g.cred->euid = 1000;
	g.cred->fsgid = 1000;
	g.cred->effective = 0;
	CHECK(send(id, 1, "x", 0) == -EACCES && gives(id, 0, 0, "abc") &&
	      get(0x1234, 2) == -EACCES);
	(void) guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	CHECK(control(id, IPC_SET, BUF) == -EPERM && control(id, IPC_RMID, 0) == -EPERM);
	g.cred->euid = 0;
	ds.msg_qbytes = 16385;
	(void) guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	CHECK(control(id, IPC_SET, BUF) == -EPERM); /* without CAP_SYS_RESOURCE */
	ds.msg_qbytes = 16384;
	ds.msg_perm.mode = 0600;
	(void) guest_put(&g, BUF - GUEST_AT, &ds, sizeof(ds));
	CHECK(control(id, IPC_SET, BUF) == 0);
	g.cred->euid = 1000;
	CHECK(control(id, IPC_STAT, BUF) == -EACCES && receive(id, 1, 0, 0) == -EACCES);
	CHECK(control(id & 32767, MSG_STAT, BUF) == -EACCES);
	CHECK(control(id & 32767, MSG_STAT_ANY, BUF) == id && control(id, 99, BUF) == -EINVAL);
	g.cred->euid = g.cred->fsgid = 0;
	g.cred->effective = UINT64_MAX;
	CHECK(control(id, IPC_RMID, 0) == 0);
}

/* Whatever allocation fails, the call does or nothing has happened. */
static void no_memory(void)
{
	for (unsigned long n = 1, left = 1; left; n++) {
		sysret_t id, r = -ENOMEM;

		heap_fail_at(n);
		id = get(77, IPC_CREAT | 0600);
		if (id >= 0)
			r = send(id, 1, "abc", 0);
		if (r == 0)
			r = receive(id, 9, 0, MSG_COPY | IPC_NOWAIT);
		left = id < 0 || r < 0;
		heap_fail_at(0);
		CHECK((id >= 0 || id == -ENOMEM) && (r == 3 || r == -ENOMEM));
		if (id >= 0)
			CHECK(control(id, IPC_RMID, 0) == 0);
		CHECK(get(77, 0) == -ENOENT && n < 50);
	}
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	order();
	receivers();
	senders();
	rights();
	no_memory();
	/* What is left goes with the kernel. */
	CHECK(send(get(IPC_PRIVATE, 0600), 1, "left", 0) == 0);
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}

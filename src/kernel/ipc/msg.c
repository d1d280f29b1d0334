/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/core/sched.h"
#include "kernel/fs/text.h"
#include "kernel/ipc/msg_queue.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define MAY_READ_IT  0444u
#define MAY_WRITE_IT 0222u

enum choice { FIRST, OF_TYPE, NOT_OF_TYPE, LOWEST_UPTO, AT_PLACE };

/* On the stack of who waits. */
struct party {
	struct list link;
	struct fiber *fiber;
	/* Of receivers. */
	enum choice choice;
	int64_t type;
	uint64_t most;
	bool cut; /* MSG_NOERROR */
	uint32_t pid;
	struct message *got;
	int result; /* WAITING: in the queue's list */
};
#define WAITING 1

static struct heap_cache queues = HEAP_CACHE_INIT(struct msg_queue);

/* There is one namespace. */
static struct ipc_ids ids;

struct msg_limits *msg_limits(void)
{
	static struct msg_limits limits = { MSGMAX, MSGMNB, MSGMNI };

	return &limits;
}

struct ipc_ids *msg_ids(void)
{
	return &ids;
}

static struct msg_queue *queue_of(struct ipc_object *o)
{
	return o ? container_of(o, struct msg_queue, ipc) : NULL;
}

/* The queue, if who asks may so. */
static int find(struct task *t, int32_t id, unsigned int may, struct msg_queue **ret)
{
	*ret = queue_of(ipc_ids_find(&ids, id));
	return *ret ? ipc_may(&(*ret)->ipc, t->cred, may) : -EINVAL;
}

/* ---- lives ---- */

struct message *message_new(size_t len)
{
	struct message *m = heap_alloc(sizeof(*m) + len);

	if (m) {
		list_init(&m->link);
		m->len = len;
	}
	return m;
}

void message_free(struct message *m)
{
	heap_free(m);
}

static struct msg_queue *queue_new(void)
{
	struct msg_queue *q = heap_cache_alloc(&queues);

	if (!q)
		return NULL;
	list_init(&q->messages);
	list_init(&q->senders);
	list_init(&q->receivers);
	return q;
}

int msg_load(const struct ipc_object *like, struct msg_queue **ret)
{
	struct msg_queue *q = queue_new();
	int r;

	if (!q)
		return -ENOMEM;
	q->ipc = *like;
	r = ipc_ids_load(&ids, &q->ipc);
	if (r < 0)
		heap_cache_free(&queues, q);
	else
		*ret = q;
	return r;
}

void msg_put(struct msg_queue *q, struct message *m)
{
	list_push(&q->messages, &m->link);
	q->bytes += m->len;
	q->count++;
}

static sysret_t make(struct task *t, int32_t key, int flags)
{
	const struct msg_limits *l = msg_limits();
	struct msg_queue *q = queue_new();
	int r;

	if (!q)
		return -ENOMEM;
	q->most = l->queue;
	q->ctime = ipc_now();
	r = ipc_ids_add(&ids, &q->ipc, key, flags, t->cred, (uint32_t) l->ids);
	if (r < 0) {
		heap_cache_free(&queues, q);
		return r;
	}
	return q->ipc.id;
}

sysret_t msg_get(struct task *t, int32_t key, int flags)
{
	struct ipc_object *o;
	int r = ipc_ids_get(&ids, key, flags, &o);

	if (r == 0 && !o)
		return make(t, key, flags);
	if (r == 0)
		r = ipc_may(o, t->cred, (unsigned int) flags);
	return r < 0 ? r : o->id;
}

static void party_over(struct party *p, int result)
{
	list_remove(&p->link);
	p->result = result;
	fiber_wake(p->fiber);
}

/* All who wait for this end their wait so. */
static void all_over(struct list *parties, int result)
{
	list_each_safe(l, parties) party_over(list_entry(l, struct party, link), result);
}

static void queue_free(struct msg_queue *q)
{
	struct list *l;

	all_over(&q->senders, -EIDRM);
	all_over(&q->receivers, -EIDRM);
	while ((l = list_pop(&q->messages)))
		message_free(list_entry(l, struct message, link));
	ipc_ids_remove(&ids, &q->ipc);
	heap_cache_free(&queues, q);
}

void msg_end(void)
{
	struct ipc_object *o;

	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++)
		queue_free(queue_of(o));
}

/* find() again for one who waited: it was there before. */
static int find_again(struct task *t, int32_t id, unsigned int may, struct msg_queue **ret)
{
	int r = find(t, id, may, ret);

	return r == -EINVAL ? -EIDRM : r;
}

/* 0: what was waited for may be there now: tried again. */
static int wait(struct list *parties, struct party *p)
{
	int r = 0;

	p->fiber = fiber_now();
	p->result = WAITING;
	list_push(parties, &p->link);
	while (p->result == WAITING && r == 0) {
		r = fiber_interrupted() ? -ERESTARTNOHAND : 0;
		if (r == 0)
			fiber_park();
	}
	/* Whoever was faster counts: the message is here, or the queue gone. */
	if (p->result != WAITING)
		return p->result;
	list_remove(&p->link);
	return r;
}

/* ---- sending ---- */

static bool takes(const struct party *p, const struct message *m)
{
	switch (p->choice) {
	case FIRST:
		return true;
	case OF_TYPE:
		return m->type == p->type;
	case NOT_OF_TYPE:
		return m->type != p->type;
	case LOWEST_UPTO:
		return m->type <= p->type;
	case AT_PLACE:
		break;
	}
	return false;
}

/* To whoever waits for it. One whose buffer is too small learns of it, and the next is asked. */
static bool hand_over(struct msg_queue *q, struct message *m)
{
	list_each_safe(l, &q->receivers)
	{
		struct party *p = list_entry(l, struct party, link);

		if (!takes(p, m))
			continue;
		if (m->len > p->most && !p->cut) {
			party_over(p, -E2BIG);
			continue;
		}
		q->receiver = p->pid;
		q->rtime = ipc_now();
		p->got = m;
		party_over(p, 0);
		return true;
	}
	return false;
}

/* Many empty ones are too many, too. */
static bool has_room(const struct msg_queue *q, size_t len)
{
	return q->bytes + len <= q->most && q->count < q->most;
}

sysret_t msg_send(struct task *t, int32_t id, struct message *m, int flags)
{
	struct party me = {};
	struct msg_queue *q;
	int r;

	if (id < 0 || m->type < 1)
		return -EINVAL;
	r = find(t, id, MAY_WRITE_IT, &q);
	while (r == 0 && !has_room(q, m->len)) {
		if (flags & IPC_NOWAIT)
			return -EAGAIN;
		r = wait(&q->senders, &me);
		if (r == 0)
			r = find_again(t, id, MAY_WRITE_IT, &q);
	}
	if (r < 0)
		return r;
	q->sender = t->process->pid;
	q->stime = ipc_now();
	if (!hand_over(q, m))
		msg_put(q, m);
	return 0;
}

/* ---- receiving ---- */

static struct message *choose(const struct msg_queue *q, const struct party *p)
{
	struct message *best = NULL;
	int64_t place = 0;

	list_each(l, &q->messages)
	{
		struct message *m = list_entry(l, struct message, link);

		if (p->choice == AT_PLACE && place++ == p->type)
			return m;
		if (!takes(p, m))
			continue;
		if (p->choice != LOWEST_UPTO)
			return m;
		if (!best || m->type < best->type)
			best = m;
	}
	return best;
}

static void take_out(struct task *t, struct msg_queue *q, struct message *m)
{
	list_remove(&m->link);
	q->bytes -= m->len;
	q->count--;
	q->receiver = t->process->pid;
	q->rtime = ipc_now();
	all_over(&q->senders, 0);
}

static int copy_of(const struct message *m, struct message **ret)
{
	*ret = message_new(m->len);
	if (!*ret)
		return -ENOMEM;
	(*ret)->type = m->type;
	memcpy((*ret)->text, m->text, m->len);
	return 0;
}

static struct party party_of(struct task *t, uint64_t most, int64_t type, int flags)
{
	struct party p = { .most = most, .cut = flags & MSG_NOERROR, .pid = t->process->pid };

	p.choice = flags & MSG_COPY	? AT_PLACE
		   : type == 0		? FIRST
		   : type < 0		? LOWEST_UPTO
		   : flags & MSG_EXCEPT ? NOT_OF_TYPE
					: OF_TYPE;
	p.type = p.choice != LOWEST_UPTO ? type : type == INT64_MIN ? INT64_MAX : -type;
	return p;
}

sysret_t msg_receive(struct task *t, int32_t id, uint64_t most, int64_t type, int flags,
		     struct message **ret)
{
	struct party me = party_of(t, most, type, flags);
	struct message *m = NULL;
	struct msg_queue *q;
	int r;

	if (id < 0 || most > INT64_MAX ||
	    (flags & MSG_COPY && (flags & MSG_EXCEPT || !(flags & IPC_NOWAIT))))
		return -EINVAL;
	r = find(t, id, MAY_READ_IT, &q);
	while (r == 0 && !(m = choose(q, &me))) {
		if (flags & IPC_NOWAIT)
			return -ENOMSG;
		r = wait(&q->receivers, &me);
		if (r == 0 && me.got) {
			*ret = me.got;
			return 0;
		}
		if (r == 0)
			r = find_again(t, id, MAY_READ_IT, &q);
	}
	if (r < 0)
		return r;
	if (m->len > most && !me.cut)
		return -E2BIG;
	if (flags & MSG_COPY)
		return copy_of(m, ret);
	take_out(t, q, m);
	*ret = m;
	return 0;
}

/* ---- msgctl ---- */

sysret_t msg_stat(struct task *t, int32_t id, int how, struct msqid64_ds *ret)
{
	struct msg_queue *q = queue_of(how == IPC_STAT ? ipc_ids_find(&ids, id)
						       : ipc_ids_at(&ids, id));
	int r = 0;

	if (!q)
		return -EINVAL;
	if (how != MSG_STAT_ANY)
		r = ipc_may(&q->ipc, t->cred, MAY_READ_IT);
	if (r < 0)
		return r;
	*ret = (struct msqid64_ds){ .msg_stime = q->stime,
				    .msg_rtime = q->rtime,
				    .msg_ctime = q->ctime,
				    .msg_cbytes = q->bytes,
				    .msg_qnum = q->count,
				    .msg_qbytes = q->most,
				    .msg_lspid = (int32_t) q->sender,
				    .msg_lrpid = (int32_t) q->receiver };
	ipc_tell(&q->ipc, &ret->msg_perm);
	return how == IPC_STAT ? 0 : q->ipc.id;
}

sysret_t msg_set(struct task *t, int32_t id, const struct msqid64_ds *to)
{
	struct msg_queue *q = queue_of(ipc_ids_find(&ids, id));
	int r = q ? ipc_owned(&q->ipc, t->cred) : -EINVAL;

	if (r == 0 && to->msg_qbytes > msg_limits()->queue && !cred_can(t->cred, CAP_SYS_RESOURCE))
		r = -EPERM;
	if (r == 0)
		r = ipc_change(&q->ipc, &to->msg_perm);
	if (r < 0)
		return r;
	q->most = to->msg_qbytes;
	q->ctime = ipc_now();
	/* There may be room now, and who waits may be somebody who may not any more. */
	all_over(&q->senders, 0);
	all_over(&q->receivers, 0);
	return 0;
}

sysret_t msg_remove(struct task *t, int32_t id)
{
	struct msg_queue *q = queue_of(ipc_ids_find(&ids, id));
	int r = q ? ipc_owned(&q->ipc, t->cred) : -EINVAL;

	if (r == 0)
		queue_free(q);
	return r;
}

int msg_totals(struct msginfo *ret, bool used)
{
	const struct msg_limits *l = msg_limits();
	uint64_t bytes = 0, count = 0;
	struct ipc_object *o;

	for (uint64_t at = 0; used && (o = ipc_ids_next(&ids, &at)); at++) {
		bytes += queue_of(o)->bytes;
		count += queue_of(o)->count;
	}
	*ret = (struct msginfo){
		.msgpool = used ? (int) ids.count : MSGPOOL,
		.msgmap = used ? (int) min_of(count, (uint64_t) INT32_MAX) : MSGMAP,
		.msgmax = (int) l->message,
		.msgmnb = (int) l->queue,
		.msgmni = (int) l->ids,
		.msgssz = MSGSSZ,
		.msgtql = used ? (int) min_of(bytes, (uint64_t) INT32_MAX) : MSGTQL,
		.msgseg = (uint16_t) MSGSEG
	};
	return ipc_ids_highest(&ids);
}

void msg_table(struct text *to)
{
	struct ipc_object *o;

	text_put(to,
		 "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid"
		 "  cgid      stime      rtime      ctime\n");
	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++) {
		const struct msg_queue *q = queue_of(o);

		text_put(to, "%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u", o->key, o->id,
			 o->mode, q->bytes, q->count, q->sender, q->receiver, o->uid, o->gid,
			 o->cuid, o->cgid);
		text_put(to, " %10ld %10ld %10ld\n", q->stime, q->rtime, q->ctime);
	}
}

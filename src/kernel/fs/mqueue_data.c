/* SPDX-License-Identifier: Apache-2.0 */
/* What is in queues, who waits for it, and who is told of it. */
#include <asm/fcntl.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/mqueue_node.h"
#include "kernel/fs/text.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define MESGQ	 (-3) /* SI_MESGQ */

/* On the stack of who waits. */
struct mqueue_wait {
	struct list link;
	struct fiber *fiber;
	struct mqueue_message *m; /* the sender's; what the receiver has got */
	bool done;
};

struct mqueue_message *mqueue_message_new(size_t len)
{
	struct mqueue_message *m = heap_alloc(sizeof(*m) + len);

	if (m)
		m->len = len;
	return m;
}

void mqueue_message_free(struct mqueue_message *m)
{
	heap_free(m);
}

static bool is_queue(const struct file *f)
{
	return f->ops == &mqueue_file_ops;
}

int mqueue_attr(const struct file *f, struct mq_attr *ret)
{
	const struct mqueue *q;

	if (!is_queue(f))
		return -EBADF;
	q = mqueue_of(f->inode);
	*ret = (struct mq_attr){ .mq_flags = f->flags & O_NONBLOCK,
				 .mq_maxmsg = (long) q->most,
				 .mq_msgsize = (long) q->size,
				 .mq_curmsgs = (long) q->count };
	return 0;
}

int mqueue_size(const struct file *f, bool send, uint64_t *ret)
{
	if (!is_queue(f) || !(send ? file_can_write(f) : file_can_read(f)))
		return -EBADF;
	*ret = mqueue_of(f->inode)->size;
	return 0;
}

/* ---- who is told ---- */

void mqueue_forget_told(struct mqueue *q)
{
	if (q->told)
		pid_unref(q->told);
	q->told = NULL;
}

/* Who asked to be told, and is still there. */
static struct process *told(const struct mqueue *q)
{
	struct process *p = q->told ? q->told->process : NULL;

	return p && !p->zombie ? p : NULL;
}

static void tell(struct mqueue *q, const struct task *t)
{
	const struct signal_info info = {
		.nr = q->told_nr,
		.code = MESGQ,
		.sent = { .pid = t->process->pid, .uid = t->cred->uid, .value = q->told_value },
	};
	struct process *p = told(q);

	/* For want of memory the number alone is sent: nobody is left to learn more. */
	if (p && info.nr)
		(void) !signal_send_process(p, &info, true);
	mqueue_forget_told(q);
}

int mqueue_notify(struct file *f, struct task *t, int nr, uint64_t value)
{
	struct mqueue *q = is_queue(f) ? mqueue_of(f->inode) : NULL;

	if (!q)
		return -EBADF;
	if (told(q))
		return -EBUSY;
	mqueue_forget_told(q);
	q->told = t->process->id;
	pid_ref(q->told);
	q->told_nr = nr;
	q->told_value = value;
	return 0;
}

int mqueue_unnotify(struct file *f, struct task *t)
{
	if (!is_queue(f))
		return -EBADF;
	if (mqueue_of(f->inode)->told == t->process->id)
		mqueue_forget_told(mqueue_of(f->inode));
	return 0;
}

/* ---- messages ---- */

static void put(struct mqueue *q, struct mqueue_message *m)
{
	tree_insert(&q->messages, &m->by_priority, MQ_PRIO_MAX - m->priority);
	q->count++;
	q->bytes += m->len;
	q->inode.times.modify = q->inode.times.change = plat_now(PLAT_REALTIME);
	(void) waitq_wake(&q->changed, READABLE, 0);
}

static struct mqueue_message *take(struct mqueue *q)
{
	struct mqueue_message *m = container_of(tree_first(&q->messages), struct mqueue_message,
						by_priority);

	tree_remove(&q->messages, &m->by_priority);
	q->count--;
	q->bytes -= m->len;
	q->inode.times.access = q->inode.times.change = plat_now(PLAT_REALTIME);
	return m;
}

/* The longest waiting one, no longer waiting; NULL: nobody does. */
static struct mqueue_wait *first(struct list *waits)
{
	struct list *l = list_pop(waits);
	struct mqueue_wait *w = l ? list_entry(l, struct mqueue_wait, link) : NULL;

	if (w) {
		w->done = true;
		fiber_wake(w->fiber);
	}
	return w;
}

static int wait(struct list *waits, struct mqueue_wait *w, nsec_t until)
{
	int r = 0;

	w->fiber = fiber_now();
	list_push(waits, &w->link);
	while (!w->done && r == 0) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(until);
	}
	if (w->done)
		return 0;
	list_remove(&w->link);
	return r;
}

int mqueue_send(struct file *f, struct task *t, struct mqueue_message *m, nsec_t until)
{
	struct mqueue *q = mqueue_of(f->inode);
	struct mqueue_wait me = { .m = m }, *receiver;

	if (q->count >= q->most)
		return f->flags & O_NONBLOCK ? -EAGAIN : wait(&q->senders, &me, until);
	receiver = first(&q->receivers);
	if (receiver) {
		receiver->m = m;
		return 0;
	}
	put(q, m);
	if (q->count == 1 && q->told)
		tell(q, t);
	return 0;
}

int mqueue_receive(struct file *f, nsec_t until, struct mqueue_message **ret)
{
	struct mqueue *q = mqueue_of(f->inode);
	struct mqueue_wait me = {}, *sender;
	int r = 0;

	if (q->count == 0) {
		r = f->flags & O_NONBLOCK ? -EAGAIN : wait(&q->receivers, &me, until);
		if (r == 0)
			*ret = me.m;
		return r;
	}
	*ret = take(q);
	sender = first(&q->senders);
	if (sender)
		put(q, sender->m);
	else
		(void) waitq_wake(&q->changed, WRITABLE, 0);
	return 0;
}

/* ---- as a file ---- */

static int64_t mq_read(struct file *f, struct uio *to, uint64_t *pos)
{
	const struct mqueue *q = mqueue_of(f->inode);
	const struct process *p = told(q);
	struct text text = {};
	int64_t n;

	text_put(&text, "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6u\n", q->bytes,
		 p && !q->told_nr, p ? q->told_nr : 0, p ? p->pid : 0u);
	n = text.failed;
	if (n == 0 && *pos < text.len)
		n = uio_out(to, text.bytes + *pos,
			    (size_t) min_of(to->left, (uint64_t) text.len - *pos));
	if (n > 0)
		*pos += (uint64_t) n;
	text_fini(&text);
	return n;
}

static unsigned int mq_poll(struct file *f, struct waiter *w)
{
	struct mqueue *q = mqueue_of(f->inode);

	if (w)
		waitq_add(&q->changed, w);
	return (q->count > 0 ? READABLE : 0u) | (q->count < q->most ? WRITABLE : 0u);
}

/* Whoever closes a descriptor of it is told no more. */
static void mq_flush(struct file *f, const void *owner)
{
	struct task *t = this_task();

	(void) owner;
	if (t && mqueue_of(f->inode)->told == t->process->id)
		mqueue_forget_told(mqueue_of(f->inode));
}

const struct file_ops mqueue_file_ops = {
	.read = mq_read,
	.poll = mq_poll,
	.flush = mq_flush,
};

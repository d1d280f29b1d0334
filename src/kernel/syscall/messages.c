/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of sockets: sendto, recvfrom, sendmsg, recvmsg and several at once. */
#include <asm/signal.h>
#include <linux/socket.h>

#include "kernel/core/heap.h"
#include "kernel/net/control.h"
#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/socketing.h"
#include "kernel/task/signal.h"

#define SEVERAL_MOST 1024u    /* messages of one call: UIO_MAXIOV */
#define WAIT_FOR_ONE 0x10000u /* MSG_WAITFORONE */

/* struct user_msghdr of 64 bits. */
struct head {
	uint64_t name;
	int32_t name_len;
	uint32_t pad;
	uint64_t pieces, pieces_n, control, control_len;
	uint32_t flags, pad_end;
};

struct head_many {
	struct head head;
	uint32_t len, pad;
};

/* A stream that nobody reads any more is a signal, too. */
static int64_t told(struct task *t, struct file *f, unsigned int flags, int64_t n)
{
	if (n == -EPIPE && !(flags & MSG_NOSIGNAL) && socket_breaks(f))
		signal_task(t, SIGPIPE);
	return n;
}

/* ---- without control messages ---- */

sysret_t sys_sendto(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	struct control none = {};
	auto_file struct file *f = NULL;
	struct sock_address to;
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = (unsigned int) a[3], .by = &by, .control = &none
	};
	int64_t r;

	uio_one(&u, t->space, uva(a[1]), a[2]);
	r = fd_socket(t, a[0], &f);
	if (r == 0 && a[4]) {
		r = address_in(t, &to, uva(a[4]), a[5]);
		m.address = &to;
	}
	if (r == 0)
		r = told(t, f, m.flags, socket_send(f, &m));
	control_fini(&none);
	return r;
}

sysret_t sys_recvfrom(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	struct control sent = {};
	auto_file struct file *f = NULL;
	struct sock_address from = {};
	struct uio u;
	struct sock_message m = { .data = &u,
				  .flags = (unsigned int) a[3],
				  .by = &by,
				  .address = a[4] ? &from : NULL,
				  .control = &sent };
	int64_t r = fd_socket(t, a[0], &f);

	uio_one(&u, t->space, uva(a[1]), a[2]);
	if (r == 0)
		r = socket_receive(f, &m);
	/* What came along and is not wanted goes. */
	control_fini(&sent);
	if (r >= 0 && a[4] && a[5] && address_out(t, &from, uva(a[4]), uva(a[5])) < 0)
		r = -EFAULT;
	return r;
}

/* ---- one message with all there is ---- */

static int control_in(struct task *t, const struct head *h, struct control *c,
		      const struct sock_actor *by)
{
	char *bytes;
	int r;

	if (!h->control_len)
		return 0;
	if (h->control_len > CONTROL_MOST)
		return -ENOBUFS;
	bytes = heap_alloc((size_t) h->control_len);
	if (!bytes)
		return -ENOMEM;
	r = copy_in(t->space, bytes, uva(h->control), (size_t) h->control_len);
	if (r == 0)
		r = control_parse(c, bytes, (size_t) h->control_len, t->files, by);
	heap_free(bytes);
	return r;
}

static int64_t send_one(struct task *t, struct file *f, const struct head *h, unsigned int flags)
{
	const struct sock_actor by = socket_actor(t);
	struct control control = {};
	struct sock_address to;
	struct uio u;
	struct sock_message m = { .data = &u, .flags = flags, .by = &by, .control = &control };
	int64_t r = 0;

	if (h->name && h->name_len < 0)
		return -EINVAL;
	if (h->name && h->name_len) {
		r = address_in(t, &to, uva(h->name), (uint64_t) h->name_len);
		m.address = &to;
	}
	if (r == 0 && h->pieces_n > UIO_PIECES)
		r = -EMSGSIZE;
	if (r == 0)
		r = uio_from(&u, t->space, uva(h->pieces), h->pieces_n);
	if (r < 0)
		return r;
	r = control_in(t, h, &control, &by);
	if (r == 0)
		r = told(t, f, flags, socket_send(f, &m));
	control_fini(&control);
	uio_fini(&u);
	return r;
}

/* The control messages to the guest; their length becomes what was used. */
static int control_out(struct task *t, struct head *h, struct control *c, unsigned int flags,
		       unsigned int *ret_flags)
{
	size_t room = (size_t) min_of(h->control_len, (uint64_t) CONTROL_MOST), used;
	char *bytes;
	int r;

	if (!c->rights && !c->has_cred && !c->notes) {
		h->control_len = 0;
		return 0;
	}
	bytes = heap_alloc(max_of(room, (size_t) 1));
	if (!bytes)
		return -ENOMEM;
	used = control_write(c, bytes, h->control ? room : 0, t->files,
			     process_limit(t->process, RLIMIT_NOFILE), flags & MSG_CMSG_CLOEXEC,
			     ret_flags);
	r = copy_out(t->space, uva(h->control), bytes, used);
	h->control_len = used;
	heap_free(bytes);
	return r;
}

/* h: what the guest is told afterwards. */
static int64_t receive_one(struct task *t, struct file *f, struct head *h, unsigned int flags)
{
	const struct sock_actor by = socket_actor(t);
	struct control control = {};
	struct sock_address from = {};
	struct uio u;
	struct sock_message m = { .data = &u,
				  .flags = flags,
				  .by = &by,
				  .address = h->name ? &from : NULL,
				  .control = &control };
	int64_t r;

	if (h->name && h->name_len < 0)
		return -EINVAL;
	if (h->pieces_n > UIO_PIECES)
		return -EMSGSIZE;
	r = uio_from(&u, t->space, uva(h->pieces), h->pieces_n);
	if (r < 0)
		return r;
	r = socket_receive(f, &m);
	uio_fini(&u);
	if (r >= 0 && h->name) {
		if (copy_out(t->space, uva(h->name), from.bytes,
			     min_of((size_t) h->name_len, from.len)) < 0)
			r = -EFAULT;
		h->name_len = (int32_t) from.len;
	}
	if (r >= 0 && control_out(t, h, &control, flags, &m.ret_flags) < 0)
		r = -EFAULT;
	control_fini(&control);
	h->flags = m.ret_flags | (flags & MSG_CMSG_CLOEXEC);
	return r;
}

/* Those members of the guest's that a receive changes. */
static int head_out(struct task *t, uint64_t at, const struct head *h)
{
	int r = 0;

	if (h->name)
		r = copy_out(t->space, uva(at + offsetof(struct head, name_len)), &h->name_len,
			     sizeof(h->name_len));
	if (r == 0)
		r = copy_out(t->space, uva(at + offsetof(struct head, control_len)),
			     &h->control_len, sizeof(h->control_len));
	return r < 0 ? r
		     : copy_out(t->space, uva(at + offsetof(struct head, flags)), &h->flags,
				sizeof(h->flags));
}

sysret_t sys_sendmsg(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct head h;
	int r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = copy_in(t->space, &h, uva(a[1]), sizeof(h));
	return r < 0 ? r : send_one(t, f, &h, (unsigned int) a[2]);
}

sysret_t sys_recvmsg(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct head h;
	int64_t r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = copy_in(t->space, &h, uva(a[1]), sizeof(h));
	if (r == 0)
		r = receive_one(t, f, &h, (unsigned int) a[2]);
	if (r >= 0 && head_out(t, a[1], &h) < 0)
		r = -EFAULT;
	return r;
}

/* ---- several ---- */

static uint64_t many_at(uint64_t array, uint32_t n)
{
	return array + n * sizeof(struct head_many);
}

static int length_out(struct task *t, uint64_t at, int64_t n)
{
	uint32_t len = (uint32_t) n;

	return copy_out(t->space, uva(at + offsetof(struct head_many, len)), &len, sizeof(len));
}

sysret_t sys_sendmmsg(struct task *t, const uint64_t *a)
{
	uint32_t count = min_of((uint32_t) a[2], SEVERAL_MOST), n = 0;
	auto_file struct file *f = NULL;
	struct head h;
	int64_t r = fd_socket(t, a[0], &f);

	for (; r >= 0 && n < count; n++) {
		uint64_t at = many_at(a[1], n);

		r = copy_in(t->space, &h, uva(at), sizeof(h));
		if (r == 0)
			r = send_one(t, f, &h, (unsigned int) a[3]);
		if (r >= 0)
			r = length_out(t, at, r);
		if (r < 0)
			break;
	}
	return n ? n : r;
}

sysret_t sys_recvmmsg(struct task *t, const uint64_t *a)
{
	uint32_t count = min_of((uint32_t) a[2], SEVERAL_MOST), n = 0;
	unsigned int flags = (unsigned int) a[3];
	nsec_t deadline = NSEC_NEVER, timeout;
	auto_file struct file *f = NULL;
	struct head h;
	int64_t r = a[4] ? time_in(t, uva(a[4]), &timeout) : 0;

	if (r == 0 && a[4])
		deadline = time_from_now(timeout);
	if (r == 0)
		r = fd_socket(t, a[0], &f);
	for (; r >= 0 && n < count; n++) {
		uint64_t at = many_at(a[1], n);

		r = copy_in(t->space, &h, uva(at), sizeof(h));
		if (r == 0)
			r = receive_one(t, f, &h, flags & ~WAIT_FOR_ONE);
		if (r >= 0 && head_out(t, at, &h) < 0)
			r = -EFAULT;
		if (r >= 0)
			r = length_out(t, at, r);
		if (r < 0)
			break;
		if (flags & WAIT_FOR_ONE)
			flags |= MSG_DONTWAIT;
		/* The time is looked at between messages alone: recvmmsg(2), BUGS. */
		if (plat_now(PLAT_MONOTONIC) >= deadline) {
			n++;
			break;
		}
	}
	if (n && a[4]) {
		timeout = max_of(deadline - plat_now(PLAT_MONOTONIC), (nsec_t) 0);
		(void) time_out(t, uva(a[4]), timeout); /* the messages are there */
	}
	return n ? n : r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, one at a time: made, named, joined, asked. Messages are messages.c's. */
#include <linux/net.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/socketing.h"

#define TYPE_FLAGS  ((unsigned int) (SOCK_CLOEXEC | SOCK_NONBLOCK))
#define OPTION_ROOM ((size_t) PAGE_SIZE)

struct sock_actor socket_actor(const struct task *t)
{
	return (struct sock_actor){ .walk = task_walk(t),
				    .pid = (int32_t) t->process->pid,
				    .numbers = pid_space_serial(t->pid->space),
				    .umask = t->fs->umask };
}

int address_in(struct task *t, struct sock_address *to, uva_t from, uint64_t len)
{
	*to = (struct sock_address){};
	if ((uint32_t) len > sizeof(to->bytes))
		return -EINVAL;
	to->len = (uint32_t) len;
	return copy_in(t->space, to->bytes, from, to->len);
}

int address_out(struct task *t, const struct sock_address *a, uva_t to, uva_t len_at)
{
	int32_t room, len = (int32_t) a->len;
	int r = copy_in(t->space, &room, len_at, sizeof(room));

	if (r == 0 && room < 0)
		r = -EINVAL;
	if (r == 0)
		r = copy_out(t->space, to, a->bytes, min_of((size_t) room, a->len));
	return r < 0 ? r : copy_out(t->space, len_at, &len, sizeof(len));
}

int fd_socket(struct task *t, uint64_t fd, struct file **ret)
{
	int r = fd_file(t, fd, ret);

	return r < 0 ? r : file_socket(*ret) ? 0 : -ENOTSOCK;
}

/* ---- made ---- */

sysret_t sys_socket(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	unsigned int type = (unsigned int) a[1];
	struct file *f;
	int r;

	if (type & ~(TYPE_FLAGS | 0xf))
		return -EINVAL;
	r = socket_make((int) a[0], (int) (type & ~(unsigned int) SOCK_CLOEXEC), (int) a[2], &by,
			&f);
	return r < 0 ? r : fd_new(t, f, type & SOCK_CLOEXEC);
}

sysret_t sys_socketpair(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	unsigned int type = (unsigned int) a[1];
	struct file *f[2];
	int32_t fds[2];
	sysret_t r;

	if (type & ~(TYPE_FLAGS | 0xf))
		return -EINVAL;
	r = socket_make_pair((int) a[0], (int) (type & ~(unsigned int) SOCK_CLOEXEC), (int) a[2],
			     &by, f);
	if (r < 0)
		return r;
	r = fd_new(t, f[0], type & SOCK_CLOEXEC);
	if (r < 0) {
		file_unref(f[1]);
		return r;
	}
	fds[0] = (int32_t) r;
	r = fd_new(t, f[1], type & SOCK_CLOEXEC);
	fds[1] = (int32_t) r;
	if (r >= 0 && copy_out(t->space, uva(a[3]), fds, sizeof(fds)) < 0) {
		(void) descriptors_close(t->files, (uint64_t) fds[1]); /* just opened */
		r = -EFAULT;
	}
	if (r < 0)
		(void) descriptors_close(t->files, (uint64_t) fds[0]);
	return r < 0 ? r : 0;
}

/* ---- named and joined ---- */

sysret_t sys_bind(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	auto_file struct file *f = NULL;
	struct sock_address address;
	int r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = address_in(t, &address, uva(a[1]), a[2]);
	return r < 0 ? r : socket_bind(f, &by, &address);
}

sysret_t sys_connect(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	auto_file struct file *f = NULL;
	struct sock_address address;
	int r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = address_in(t, &address, uva(a[1]), a[2]);
	return r < 0 ? r : socket_connect(f, &by, &address);
}

sysret_t sys_listen(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	auto_file struct file *f = NULL;
	int r = fd_socket(t, a[0], &f);

	return r < 0 ? r : socket_listen(f, &by, (int) a[1]);
}

static sysret_t accept_one(struct task *t, const uint64_t *a, unsigned int flags)
{
	const struct sock_actor by = socket_actor(t);
	auto_file struct file *f = NULL;
	struct sock_address peer = {};
	struct file *made;
	int r;

	if (flags & ~TYPE_FLAGS)
		return -EINVAL;
	r = fd_socket(t, a[0], &f);
	if (r == 0)
		r = socket_accept(f, &by, (int) (flags & SOCK_NONBLOCK), a[1] ? &peer : NULL,
				  &made);
	if (r == 0 && a[1]) {
		r = address_out(t, &peer, uva(a[1]), uva(a[2]));
		if (r < 0)
			file_unref(made);
	}
	return r < 0 ? r : fd_new(t, made, flags & SOCK_CLOEXEC);
}

sysret_t sys_accept(struct task *t, const uint64_t *a)
{
	return accept_one(t, a, 0);
}

sysret_t sys_accept4(struct task *t, const uint64_t *a)
{
	return accept_one(t, a, (unsigned int) a[3]);
}

sysret_t sys_shutdown(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_socket(t, a[0], &f);

	return r < 0 ? r : socket_shutdown(f, (int) a[1]);
}

/* ---- asked ---- */

static sysret_t name_of(struct task *t, const uint64_t *a, bool peer)
{
	auto_file struct file *f = NULL;
	struct sock_address name = {};
	int r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = socket_name(f, peer, &name);
	return r < 0 ? r : address_out(t, &name, uva(a[1]), uva(a[2]));
}

sysret_t sys_getsockname(struct task *t, const uint64_t *a)
{
	return name_of(t, a, false);
}

sysret_t sys_getpeername(struct task *t, const uint64_t *a)
{
	return name_of(t, a, true);
}

sysret_t sys_getsockopt(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	char value[256];
	int32_t room;
	size_t len;
	int r = fd_socket(t, a[0], &f);

	if (r == 0)
		r = copy_in(t->space, &room, uva(a[4]), sizeof(room));
	if (r == 0 && room < 0)
		r = -EINVAL;
	if (r < 0)
		return r;
	len = min_of((size_t) room, sizeof(value));
	r = socket_get(f, (int) a[1], (int) a[2], value, &len);
	if (r == 0)
		r = copy_out(t->space, uva(a[3]), value, len);
	room = (int32_t) len;
	return r < 0 ? r : copy_out(t->space, uva(a[4]), &room, sizeof(room));
}

sysret_t sys_setsockopt(struct task *t, const uint64_t *a)
{
	const struct sock_actor by = socket_actor(t);
	auto_file struct file *f = NULL;
	char *value;
	size_t len;
	int r = fd_socket(t, a[0], &f);

	if (r < 0)
		return r;
	if ((int32_t) a[4] < 0)
		return -EINVAL;
	/* No option is longer: what is behind it is not looked at. */
	len = min_of((size_t) a[4], OPTION_ROOM);
	value = heap_alloc(max_of(len, (size_t) 1));
	if (!value)
		return -ENOMEM;
	r = copy_in(t->space, value, uva(a[3]), len);
	if (r == 0)
		r = socket_set(f, &by, (int) a[1], (int) a[2], value, len);
	heap_free(value);
	return r;
}

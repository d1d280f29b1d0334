/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of AF_INET's and AF_INET6's sockets share: addresses, calls, fibers that wait. */
#pragma once

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/poll.h>
#include <linux/tcp.h>
#include <linux/time_types.h>

#include "kernel/core/heap.h"
#include "kernel/mm/space.h"
#include "kernel/net/control.h"
#include "kernel/net/inet.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 4 << 20)
#define IN   (BASE + ROOM)

#define OUT_READY (POLLOUT | POLLWRNORM)
#define IN_READY  (POLLIN | POLLRDNORM)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct cred user_cred = { .uid = 7, .euid = 7, .suid = 7, .fsuid = 7, .gid = 8, .egid = 8 };
static struct sock_actor root = { { .who = &root_cred }, 100, 022, 0 };
[[maybe_unused]] static struct sock_actor user = { { .who = &user_cred }, 200, 022, 0 };
static struct space *guest;
[[maybe_unused]] static int64_t result[8];
[[maybe_unused]] static int finished;

static inline void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

/* ---- addresses ---- */

#define ANY4 0x00000000u
#define LO4  0x7f000001u

static inline struct sock_address v4(uint32_t ip, unsigned int port)
{
	struct sock_address a = { .len = 16, .family = AF_INET };

	a.bytes[2] = (unsigned char) (port >> 8);
	a.bytes[3] = (unsigned char) port;
	for (int n = 0; n < 4; n++)
		a.bytes[4 + n] = (unsigned char) (ip >> (24 - 8 * n));
	return a;
}

/* Its last byte alone is not 0. */
static inline struct sock_address v6(unsigned char last, unsigned int port)
{
	struct sock_address a = { .len = 28, .family = AF_INET6 };

	a.bytes[2] = (unsigned char) (port >> 8);
	a.bytes[3] = (unsigned char) port;
	a.bytes[8 + 15] = last;
	return a;
}

static inline struct sock_address mapped(uint32_t ip, unsigned int port)
{
	struct sock_address a = v6(0, port), b = v4(ip, port);

	a.bytes[8 + 10] = a.bytes[8 + 11] = 0xff;
	memcpy(a.bytes + 8 + 12, b.bytes + 4, 4);
	return a;
}

static inline bool same(const struct sock_address *a, const struct sock_address *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static inline unsigned int port_of(const struct sock_address *a)
{
	return (unsigned int) (a->bytes[2] << 8 | a->bytes[3]);
}

static inline struct sock_address name_of(struct file *f, bool peer)
{
	struct sock_address a = {};

	CHECK(socket_name(f, peer, &a) == 0);
	return a;
}

/* ---- calls ---- */

static inline struct file *waiting_socket(int domain, int type)
{
	struct file *f = NULL;

	CHECK(socket_make(domain, type, 0, &root, &f) == 0);
	return f;
}

static inline struct file *new_socket(int domain, int type)
{
	struct file *f = NULL;

	CHECK(socket_make(domain, type | SOCK_NONBLOCK, 0, &root, &f) == 0);
	return f;
}

[[maybe_unused]] static struct control sent, got;

static inline int64_t send_to(struct file *f, const char *text, uint64_t n, unsigned int flags,
			      const struct sock_address *to)
{
	struct sock_address a = to ? *to : (struct sock_address){};
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = &root, .address = to ? &a : NULL, .control = &sent
	};

	if (text)
		CHECK(copy_out(guest, uva(BASE), text, (size_t) n) == 0);
	uio_one(&u, guest, uva(BASE), n);
	return socket_send(f, &m);
}

static inline int64_t put(struct file *f, const char *text)
{
	return send_to(f, text, strlen(text), 0, NULL);
}

[[maybe_unused]] static unsigned int got_flags;
[[maybe_unused]] static struct sock_address got_from;

static inline int64_t get(struct file *f, uint64_t n, unsigned int flags)
{
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = &root, .address = &got_from, .control = &got
	};
	int64_t r;

	control_fini(&got);
	CHECK(zero_out(guest, uva(IN), 64) == 0);
	uio_one(&u, guest, uva(IN), n);
	r = socket_receive(f, &m);
	got_flags = m.ret_flags;
	return r;
}

static inline bool is(const char *text)
{
	char there[64] = "";

	CHECK(copy_in(guest, there, uva(IN), strlen(text)) == 0);
	return memcmp(there, text, strlen(text)) == 0;
}

static inline unsigned int ready(struct file *f)
{
	return f->ops->poll(f, NULL);
}

static inline int get_option(struct file *f, int level, int name)
{
	int value = -1;
	size_t len = sizeof(value);

	CHECK(socket_get(f, level, name, &value, &len) == 0);
	return value;
}

static inline int set_option(struct file *f, int level, int name, int value)
{
	return socket_set(f, &root, level, name, &value, sizeof(value));
}

static inline int count(struct file *f, unsigned int request)
{
	int n = -1;

	CHECK(f->ops->ioctl(f, request, BASE, guest) == 0);
	CHECK(copy_in(guest, &n, uva(BASE), sizeof(n)) == 0);
	return n;
}

static inline int bind_to(struct file *f, struct sock_address a)
{
	return socket_bind(f, &root, &a);
}

static inline int join(struct file *f, struct sock_address a)
{
	return socket_connect(f, &root, &a);
}

static inline struct file *listener(int domain, struct sock_address a, int backlog)
{
	struct file *l = new_socket(domain, SOCK_STREAM);

	CHECK(bind_to(l, a) == 0 && socket_listen(l, &root, backlog) == 0);
	return l;
}

static inline struct file *accepted(struct file *l)
{
	struct file *s = NULL;

	CHECK(socket_accept(l, &root, SOCK_NONBLOCK, &got_from, &s) == 0);
	return s;
}

/* Two connected streams, of whom nobody waits. */
static inline void pair_of(struct file *p[static 2])
{
	struct file *l = listener(AF_INET, v4(LO4, 0), 1);

	p[0] = new_socket(AF_INET, SOCK_STREAM);
	CHECK(join(p[0], name_of(l, false)) == -EINPROGRESS);
	p[1] = accepted(l);
	file_unref(l);
}

static inline void close_pair(struct file *p[static 2])
{
	file_unref(p[0]);
	file_unref(p[1]);
}

[[maybe_unused]] static struct file *blocked;

static inline void reader(void *arg)
{
	result[0] = get(blocked, 5, *(unsigned int *) arg);
	finished++;
	fiber_exit();
}

static inline void start(void (*entry)(void *arg), void *arg, struct file *f, struct fiber **ret)
{
	blocked = f;
	CHECK(sched_spawn(entry, arg, ret) == 0);
	let_run();
}

/* A space for `body` to work in. */
static inline void test_in_space(void (*body)(void))
{
	static const struct space_limits wide = { .size = UINT64_MAX,
						  .data = UINT64_MAX,
						  .stack = 8 << 20,
						  .locked = UINT64_MAX,
						  .mappings = 65530 };
	uint64_t at;

	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	body();
	control_fini(&got);
	space_unref(guest);
}

/* What is done again and again leaves no memory behind. */
static inline void leaves_nothing(void (*what)(void))
{
	size_t used = 0;

	for (int n = 0; n < 60; n++) {
		what();
		if (n == 19)
			used = heap_used();
	}
	CHECK(heap_used() <= used);
}

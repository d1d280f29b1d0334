/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what socket(2) and its kin do for every family, and what a family says of its own in
 * socket_ops. Everything here is in the kernel's memory but the data, which a uio leads to; control
 * messages are net/control.h's. Waits end with -EAGAIN at SO_RCVTIMEO or SO_SNDTIMEO, with
 * -ERESTARTSYS when they are interrupted (-EINTR where a time is set, as signal(7) has it).
 */
#pragma once

#include <linux/socket.h>

#include "kernel/net/numbers.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/walk.h"

struct control;
struct socket;

/* Who calls: credentials are walk.who's; names are found from walk. */
struct sock_actor {
	struct walk walk;
	int32_t pid; /* of the process */
	uint32_t umask;
	uint32_t numbers; /* in which space its pid is: pid_space_serial() */
};

/* len 0: none. family is the first two of its bytes. */
struct sock_address {
	size_t len;
	union {
		uint16_t family;
		unsigned char bytes[sizeof(struct __kernel_sockaddr_storage)];
	};
};

/* SCM_CREDENTIALS and SO_PEERCRED as the guest sees them: struct ucred. */
struct sock_ucred {
	int32_t pid;
	uint32_t uid, gid;
};

/* Who has sent something, as the kernel keeps it. */
struct sock_sender {
	struct sock_ucred cred;
	uint32_t numbers; /* in which its pid means something */
};
/* As the running task may see it: who is in other numbers than its own has pid 0. */
struct sock_ucred sock_seen(const struct sock_sender *s);

struct sock_message {
	struct uio *data;
	unsigned int flags;	      /* MSG_*; MSG_DONTWAIT stands for O_NONBLOCK, too */
	const struct sock_actor *by;  /* NULL: write(2), by this_task() */
	struct sock_address *address; /* where to, or from whom; NULL: not told, not asked */
	/* What goes along: taken by a send that succeeds; given by a receive. Never NULL. */
	struct control *control;
	unsigned int ret_flags; /* MSG_TRUNC, MSG_EOR, MSG_CTRUNC of a receive */
};

/* Results are 0 or -errno. NULL: -EOPNOTSUPP. */
struct socket_ops {
	int (*bind)(struct socket *s, const struct sock_actor *by, const struct sock_address *a);
	int (*listen)(struct socket *s, const struct sock_actor *by, int backlog);
	int (*connect)(struct socket *s, const struct sock_actor *by, const struct sock_address *a,
		       bool nonblocking);
	/* Another socket of the family, that has no file yet. */
	int (*accept)(struct socket *s, bool nonblocking, struct socket **ret);
	/* Both are new: each is the other's peer. */
	int (*pair)(struct socket *a, struct socket *b, const struct sock_actor *by);
	int64_t (*send)(struct socket *s, struct sock_message *m);
	int64_t (*receive)(struct socket *s, struct sock_message *m);
	int (*shutdown)(struct socket *s, int how);
	int (*name)(struct socket *s, bool of_peer, struct sock_address *ret);
	/* What socket.c has not: -ENOPROTOOPT. *len: room, then the value's length. */
	int (*get)(struct socket *s, int level, int name, void *to, size_t *len);
	int (*set)(struct socket *s, const struct sock_actor *by, int level, int name,
		   const void *value, size_t len);
	/* An option that is socket.c's was set (SO_*). NULL: nothing to do. */
	void (*changed)(struct socket *s, int name);
	/* s->error is what there is to be told, also by what lies below. NULL: it is. */
	void (*look_for_error)(struct socket *s);
	unsigned int (*poll)(struct socket *s, struct waiter *w);
	/* Bytes that can be read, or that were sent and are not read yet. NULL: -ENOTTY. */
	int64_t (*queued)(struct socket *s, bool sent);
	/* It has its file: SCM_RIGHTS' cycles are found by it. NULL: nothing to do. */
	void (*has_file)(struct socket *s, struct file *f);
	/* A descriptor of it is closed; the file goes. */
	void (*flush)(struct socket *s);
	void (*release)(struct socket *s);
};

struct socket {
	const struct socket_ops *ops;
	int domain, type, protocol;
	int error; /* a positive errno, told once: SO_ERROR, or the next call */
	bool listening, pass_cred;
	uint32_t flags; /* of options that only are kept: 1 << SO_* */
	uint32_t send_room, receive_room, low_water;
	int32_t priority, linger_on, linger_seconds;
	nsec_t send_timeout, receive_timeout; /* NSEC_NEVER: none */
	struct waitq waiters;
	/* Of its file, as long as it has one. */
	struct list all;
	uint64_t ino;
	uint32_t uid;
};

struct socket_family {
	int domain;
	/* A new one. -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOMEM. */
	int (*make)(int type, int protocol, struct socket **ret);
};

/* For families: a new socket's fields. */
void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type,
		 int protocol);
/* Those that have a file, in the order they got it in: the next one, or (NULL) the first. */
struct socket *socket_next(const struct socket *s);
/* A file for it, which has none: takes s, unless it fails. -ENOMEM. */
[[nodiscard]] int socket_file(struct socket *s, int flags, const struct cred *who,
			      struct file **ret);
/* Its error, negative, which is told by that; or 0. */
int socket_take_error(struct socket *s);
/* NSEC_NEVER or when a wait of that length ends. */
nsec_t socket_deadline(nsec_t timeout);
/* What a wait's result is for the guest. */
int socket_wait_result(int r, nsec_t timeout);

#define SOCKET_ROOM	212992 /* net.core.{r,w}mem_default and _max */
#define SOCKET_ROOM_MIN 4608

/* ---- system calls ---- */

/* type: with SOCK_NONBLOCK; SOCK_CLOEXEC is the caller's. -EAFNOSUPPORT, -EINVAL, ... */
[[nodiscard]] int socket_make(int domain, int type, int protocol, const struct sock_actor *by,
			      struct file **ret);
[[nodiscard]] int socket_make_pair(int domain, int type, int protocol, const struct sock_actor *by,
				   struct file *ret[static 2]);
/* Of a file that the caller owns; NULL: -ENOTSOCK. */
struct socket *file_socket(const struct file *f);
[[nodiscard]] int socket_bind(struct file *f, const struct sock_actor *by,
			      const struct sock_address *a);
[[nodiscard]] int socket_listen(struct file *f, const struct sock_actor *by, int backlog);
[[nodiscard]] int socket_connect(struct file *f, const struct sock_actor *by,
				 const struct sock_address *a);
/* flags: SOCK_NONBLOCK; the peer's address in *ret_peer, if it is not NULL. */
[[nodiscard]] int socket_accept(struct file *f, const struct sock_actor *by, int flags,
				struct sock_address *ret_peer, struct file **ret);
/* -EPIPE: the caller's to send SIGPIPE for where socket_breaks() and not MSG_NOSIGNAL. */
[[nodiscard]] int64_t socket_send(struct file *f, struct sock_message *m);
[[nodiscard]] int64_t socket_receive(struct file *f, struct sock_message *m);
[[nodiscard]] int socket_shutdown(struct file *f, int how);
[[nodiscard]] int socket_name(struct file *f, bool of_peer, struct sock_address *ret);
[[nodiscard]] int socket_get(struct file *f, int level, int name, void *to, size_t *len);
[[nodiscard]] int socket_set(struct file *f, const struct sock_actor *by, int level, int name,
			     const void *value, size_t len);
/* Whether a write without a reader is a signal: streams, as Linux has it. */
bool socket_breaks(const struct file *f);

/* net.core.somaxconn; below INT32_MAX. */
struct socket_limits {
	uint64_t backlog;
};
struct socket_limits *socket_limits(void);

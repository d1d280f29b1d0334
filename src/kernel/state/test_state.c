/* SPDX-License-Identifier: Apache-2.0 */
/* A process and what it has, saved, made anew, and saved again: the same. */
#include "kernel/state/state.h"

#include "kernel/core/heap.h"
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/rtnetlink.h>

#include "kernel/fs/dnotify.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/eventfd.h"
#include "kernel/fs/inotify_node.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/pipe_ring.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/signalfd.h"
#include "kernel/fs/tty.h"
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/net/control.h"
#include "kernel/net/unix.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/hold.h"
#include "kernel/task/test_life.h"
#include "kernel/task/timer.h"
#include "kernel/vfs/lease.h"
#include "kernel/vfs/lock.h"
#include "kernel/vfs/owner.h"

#define BYTES ((size_t) 1 << 20)
#define PAGES 512

static struct kept {
	struct state_out out;
	size_t n;
	unsigned char bytes[BYTES], pages[PAGES][PAGE_SIZE];
} kept[2];

static int keep(struct state_out *o, const void *bytes, size_t n)
{
	struct kept *k = container_of(o, struct kept, out);

	CHECK(k->n + n <= BYTES);
	memcpy(k->bytes + k->n, bytes, n);
	k->n += n;
	return 0;
}

static int keep_page(struct state_out *o, uint64_t nr, const void *page)
{
	CHECK(nr < PAGES);
	memcpy(container_of(o, struct kept, out)->pages[nr], page, PAGE_SIZE);
	return 0;
}

static int get_page(struct state_in *in, uint64_t nr, void *page)
{
	(void) in;
	memcpy(page, kept[0].pages[nr], PAGE_SIZE);
	return 0;
}

static int given(const struct file *f)
{
	(void) f;
	return -1;
}

static struct file *give(unsigned int nr)
{
	(void) nr;
	return NULL;
}

static struct state_host host = { .root = &top, .hostname = "", .given = given, .give = give };
static struct held held;

static void main_of_none(void *arg)
{
	(void) arg;
	CHECK(false); /* it never begins */
}

/* ---- sockets ---- */

static const struct sock_actor by = { .walk = { .root = &top, .start = &top, .who = &root_cred },
				      .pid = 1 };

static struct sock_address abstract(const char *name)
{
	struct sock_address a = { .len = 3 + strlen(name), .family = AF_UNIX };

	memcpy(a.bytes + 3, name, strlen(name));
	return a;
}

static struct sock_address loopback(unsigned char port)
{
	/* sockaddr_in: 127.0.0.1 */
	return (struct sock_address){ .len = 16, .bytes = { AF_INET, 0, 0, port, 127, 0, 0, 1 } };
}

static void say(struct file *f, const char *text, struct file *along, const struct sock_address *to)
{
	struct sock_address a = to ? *to : (struct sock_address){};
	struct control c = {};
	char copy[100];
	struct uio u;
	struct sock_message m = { .data = &u, .by = &by, .address = &a, .control = &c };

	if (along) {
		c.rights = heap_alloc(sizeof(*c.rights) + sizeof(along));
		*c.rights = (struct rights){ .count = 1 };
		c.rights->files[0] = along;
		file_ref(along);
	}
	CHECK(strlen(text) < sizeof(copy));
	memcpy(copy, text, strlen(text));
	uio_kernel(&u, copy, strlen(text));
	CHECK(socket_send(f, &m) == (int64_t) strlen(text));
}

static void hear(struct file *f, const char *text, struct file **ret_along)
{
	char got[100];
	struct control c = {};
	struct uio u;
	struct sock_message m = { .data = &u, .flags = MSG_DONTWAIT, .by = &by, .control = &c };

	uio_kernel(&u, got, sizeof(got));
	CHECK(socket_receive(f, &m) == (int64_t) strlen(text));
	CHECK(memcmp(got, text, strlen(text)) == 0);
	CHECK((c.rights != NULL) == (ret_along != NULL));
	if (ret_along) {
		*ret_along = c.rights->files[0];
		file_ref(*ret_along);
	}
	control_fini(&c);
}

static struct file *sock(struct task *t, uint64_t fd, int domain, int type)
{
	struct file *f;

	CHECK(socket_make(domain, type | SOCK_NONBLOCK, 0, &by, &f) == 0);
	CHECK(descriptors_put(t->files, fd, f, false) == 0);
	return f;
}

static struct file *listener(struct task *t, uint64_t fd, int domain, const struct sock_address *a)
{
	struct file *f = sock(t, fd, domain, SOCK_STREAM);

	CHECK(socket_bind(f, &by, a) == 0 && socket_listen(f, &by, 0) == 0);
	return f;
}

struct links_request {
	struct nlmsghdr head;
	unsigned char body[16];
};

static void ask_links(struct file *f)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = 1234, .nl_groups = 5 };
	struct links_request q = { .head = { .nlmsg_len = sizeof(q),
					     .nlmsg_type = RTM_GETLINK,
					     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
					     .nlmsg_seq = 77 } };
	struct sock_address a = { .len = sizeof(own) };
	struct control c = {};
	struct uio u;
	struct sock_message m = { .data = &u, .by = &by, .control = &c };

	memcpy(a.bytes, &own, sizeof(own));
	CHECK(socket_bind(f, &by, &a) == 0);
	uio_kernel(&u, (char *) &q, sizeof(q));
	CHECK(socket_send(f, &m) == (int64_t) sizeof(q));
}

/* It has its port, which is no other's, and the answer, once. */
static void check_links(struct file *f)
{
	struct control c = {};
	char got[1024];
	struct uio u;
	struct sock_message m = { .data = &u, .flags = MSG_DONTWAIT, .by = &by, .control = &c };
	struct sock_address own;
	struct sockaddr_nl a;
	struct nlmsghdr h;
	struct file *other;

	CHECK(socket_name(f, false, &own) == 0);
	memcpy(&a, own.bytes, sizeof(a));
	CHECK(a.nl_pid == 1234 && a.nl_groups == 5);
	CHECK(socket_make(AF_NETLINK, SOCK_RAW, 0, &by, &other) == 0);
	CHECK(socket_bind(other, &by, &own) == -EADDRINUSE);
	file_unref(other);
	uio_kernel(&u, got, sizeof(got));
	CHECK(socket_receive(f, &m) > (int64_t) sizeof(h));
	memcpy(&h, got, sizeof(h));
	CHECK(h.nlmsg_type == RTM_NEWLINK && h.nlmsg_seq == 77 && h.nlmsg_pid == 1234);
	uio_kernel(&u, got, sizeof(got));
	CHECK(socket_receive(f, &m) == -EAGAIN);
}

/* 20: a pair, with a file on its way, and the pair's other end with itself; 22: one whose peer is
 * gone; 23: a listener, 24: who waits there; 25: datagrams; 30: TCP, 32: accepted, 33: to be,
 * 34: without room there; 35: whose peer is gone; 36: datagrams; 37: netlink, with an answer */
static void make_sockets(struct task *t, struct file *pipe)
{
	const struct sock_address name = abstract("here"), at = loopback(80), other = loopback(81);
	struct file *pair[2], *f, *made;

	CHECK(socket_make_pair(AF_UNIX, SOCK_STREAM, 0, &by, pair) == 0);
	CHECK(descriptors_put(t->files, 20, pair[0], false) == 0);
	CHECK(descriptors_put(t->files, 21, pair[1], true) == 0);
	say(pair[0], "first, ", NULL, NULL);
	say(pair[0], "with a pipe", pipe, NULL);
	say(pair[0], "with itself", pair[1], NULL);
	CHECK(socket_make_pair(AF_UNIX, SOCK_SEQPACKET, 0, &by, pair) == 0);
	CHECK(descriptors_put(t->files, 22, pair[0], false) == 0);
	say(pair[1], "last words", NULL, NULL);
	file_unref(pair[1]);
	(void) listener(t, 23, AF_UNIX, &name);
	CHECK(socket_connect(sock(t, 24, AF_UNIX, SOCK_STREAM), &by, &name) == 0);
	f = descriptors_get(t->files, 24);
	say(f, "are you there?", NULL, NULL);
	file_unref(f);
	f = sock(t, 25, AF_UNIX, SOCK_DGRAM);
	CHECK(socket_bind(f, &by, &name) == 0 && socket_connect(f, &by, &name) == 0);
	say(f, "to itself", NULL, NULL);

	f = listener(t, 30, AF_INET, &at);
	CHECK(socket_connect(sock(t, 31, AF_INET, SOCK_STREAM), &by, &at) == -EINPROGRESS);
	CHECK(socket_accept(f, &by, 0, NULL, &made) == 0);
	CHECK(descriptors_put(t->files, 32, made, false) == 0);
	say(made, "from who listens", NULL, NULL);
	CHECK(socket_connect(sock(t, 35, AF_INET, SOCK_STREAM), &by, &at) == -EINPROGRESS);
	CHECK(socket_accept(f, &by, 0, NULL, &made) == 0);
	say(made, "and gone", NULL, NULL);
	file_unref(made);
	CHECK(socket_connect(sock(t, 33, AF_INET, SOCK_STREAM), &by, &at) == -EINPROGRESS);
	CHECK(socket_connect(sock(t, 34, AF_INET, SOCK_STREAM), &by, &at) == -EINPROGRESS);
	f = sock(t, 36, AF_INET, SOCK_DGRAM);
	CHECK(socket_bind(f, &by, &other) == 0);
	say(f, "a datagram", NULL, &other);
	ask_links(sock(t, 37, AF_NETLINK, SOCK_RAW));
}

static void check_sockets(struct task *t)
{
	struct file *at[40] = {}, *along;
	struct sock_address peer;

	for (uint64_t fd = 20; fd < countof(at); fd++)
		at[fd] = descriptors_get(t->files, fd);
	hear(at[21], "first, with a pipe", &along);
	CHECK(file_is_pipe(along));
	file_unref(along);
	hear(at[21], "with itself", &along);
	CHECK(along == at[21]);
	file_unref(along);
	CHECK(unix_rights_in_flight() == 0);
	hear(at[22], "last words", NULL);
	hear(at[22], "", NULL);
	CHECK(socket_accept(at[23], &by, 0, NULL, &along) == 0);
	hear(along, "are you there?", NULL);
	say(along, "yes", NULL, NULL);
	file_unref(along);
	hear(at[24], "yes", NULL);
	hear(at[25], "to itself", NULL);
	hear(at[31], "from who listens", NULL);
	say(at[31], "heard", NULL, NULL);
	hear(at[32], "heard", NULL);
	hear(at[35], "and gone", NULL);
	hear(at[35], "", NULL);
	CHECK(socket_name(at[34], true, &peer) == -ENOTCONN);
	CHECK(socket_accept(at[30], &by, 0, &peer, &along) == 0);
	file_unref(along);
	CHECK(socket_name(at[34], true, &peer) == 0);
	hear(at[36], "a datagram", NULL);
	check_links(at[37]);
	for (uint64_t fd = 20; fd < countof(at); fd++)
		if (at[fd])
			file_unref(at[fd]);
}

/* 17: a file that somebody is to let go of; 18: a directory. */
static void make_leases(struct task *t)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *f;

	CHECK(names_open(&w, "/leased", O_CREAT | O_RDWR, 0600, &f) == 0);
	CHECK(descriptors_put(t->files, 17, f, false) == 0);
	CHECK(lease_set(t, f, 17, F_WRLCK) == 0);
	CHECK(lease_break(f->inode, false, true) == -EAGAIN && lease_get(f) == F_RDLCK);
	CHECK(names_open(&w, "/dir", O_RDONLY | O_DIRECTORY, 0, &f) == 0);
	CHECK(descriptors_put(t->files, 18, f, false) == 0);
	CHECK(dnotify_set(f, t->files, 18, DN_CREATE | DN_MULTISHOT) == 0);
}

static void check_leases(struct task *t)
{
	struct file *f = descriptors_get(t->files, 17);
	struct dnotify_state note;
	struct lease_state one;

	CHECK(lease_tell(f, &one) && one.fd == 17 && one.type == F_WRLCK && one.target == F_RDLCK);
	CHECK(one.left > 0 && one.left <= LEASE_BREAK_TIME * NSEC_PER_SEC);
	CHECK(f->owner && f->owner->pid == t->process->id && lease_load(f, &one) == -EINVAL);
	/* As it has to be now: nobody who reads waits. */
	CHECK(lease_set(t, f, 17, F_UNLCK) == 0 && lease_break(f->inode, true, true) == 0);
	one.target = 7;
	CHECK(lease_load(f, &one) == -EINVAL && lease_get(f) == F_UNLCK);
	file_unref(f);
	f = descriptors_get(t->files, 18);
	CHECK(dnotify_tell_at(f, 0, &note) && note.table == t->files && note.fd == 18);
	CHECK(note.mask == (DN_CREATE | DN_MULTISHOT) && !dnotify_tell_at(f, 1, &note));
	CHECK(lease_load(f, &(struct lease_state){ 18, F_RDLCK, F_RDLCK, 0 }) == -EINVAL);
	file_unref(f);
}

/* 10: a signalfd, which 8 watches; 11: a FIFO; 12: a file without a name. Locks of 3, and a timer.
 */
static void make_more(struct task *t, struct file *watches)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct timer_state timer = { .clock = TIMER_THREAD,
				     .told = t->tid,
				     .measured = t->tid,
				     .nr = 34,
				     .value = 4711,
				     .left = NSEC_PER_SEC,
				     .interval = 5,
				     .overrun = 6 };
	struct lock_request lock = { LOCK_RANGE, t->files, F_WRLCK, 10, 19, 1 };
	struct file_owner *owner;
	struct uio from;
	struct file *f;
	uint64_t pos = 0;

	CHECK(signalfd_make(SIGNAL_BIT(10), 0, &root_cred, &f) == 0);
	CHECK(descriptors_put(t->files, 10, f, false) == 0);
	CHECK(epoll_control(watches, EPOLL_CTL_ADD, 10, f, EPOLLIN, 97) == 0);
	CHECK(names_create(&w, "/dir/fifo", S_IFIFO | 0600, 0, NULL) == 0);
	CHECK(names_open(&w, "/dir/fifo", O_RDWR | O_NONBLOCK, 0, &f) == 0);
	CHECK(descriptors_put(t->files, 11, f, false) == 0);
	uio_kernel(&from, (char[]){ "queued" }, 6);
	CHECK(file_write(f, &from, &pos, UINT64_MAX) == 6);
	CHECK(names_open(&w, "/dir/gone", O_CREAT | O_RDONLY, 0640, &f) == 0);
	CHECK(descriptors_put(t->files, 12, f, false) == 0);
	CHECK(names_remove(&w, "/dir/gone", 0) == 0);
	pager_resize(&f->inode->pager, 5000);
	CHECK(pager_write(&f->inode->pager, 4500, "orphan", 6) == 6);
	f = descriptors_get(t->files, 3);
	CHECK(lock_set(f->inode, &lock, false) == 0);
	lock = (struct lock_request){ LOCK_WHOLE, f, F_RDLCK, 0, LOCK_END, 1 };
	CHECK(lock_set(f->inode, &lock, false) == 0);
	file_unref(f);
	CHECK(timer_load(t->process, 7, &timer) == 0);
	CHECK(proc_sysctl("net.core.somaxconn", "77") == 0);
	f = descriptors_get(t->files, 36);
	CHECK(owner_of(f, &owner) == 0);
	owner_set(owner, t->process->id, F_OWNER_PID, &root_cred);
	owner->nr = 35;
	CHECK(owner_async(f, 36, true) == 0);
	file_unref(f);
	make_leases(t);
}

static void check_more(struct task *t)
{
	struct lock_request lock = { LOCK_RANGE, NULL, F_WRLCK, 15, 30, 1 }, found;
	struct file *f = descriptors_get(t->files, 11);
	struct timer_state timer;
	char got[10];
	struct uio to;
	uint64_t at = 0;

	uio_kernel(&to, got, sizeof(got));
	CHECK(vfs_read(f, &to, NULL) == 6 && memcmp(got, "queued", 6) == 0);
	CHECK(f->flags & O_NONBLOCK && ((struct pipe *) f->own)->writers == 1);
	file_unref(f);
	f = descriptors_get(t->files, 12);
	CHECK(f->inode->pager.size == 5000 && f->inode->links == 0 && !file_can_write(f));
	CHECK(pager_read(&f->inode->pager, 4500, got, 6) == 6 && memcmp(got, "orphan", 6) == 0);
	file_unref(f);
	f = descriptors_get(t->files, 3);
	CHECK(lock_in_the_way(f->inode, &lock, &found) && found.owner == t->files);
	CHECK(found.first == 10 && found.last == 19 && found.pid == 1);
	lock.kind = LOCK_WHOLE;
	CHECK(lock_in_the_way(f->inode, &lock, &found) && found.owner == f);
	file_unref(f);
	CHECK(socket_limits()->backlog == 77);
	f = descriptors_get(t->files, 36);
	CHECK(f->owner && f->owner->pid == t->process->id && f->owner->nr == 35);
	CHECK(f->flags & FASYNC && f->owner->async && f->owner->fd == 36);
	file_unref(f);
	CHECK(timer_tell(t->process, &at, &timer) && at == 7 && timer.told == t->tid);
	CHECK(timer.value == 4711 && timer.nr == 34 && timer.left <= NSEC_PER_SEC && timer.left);
	check_leases(t);
}

/* ---- inotify ---- */

static void make_watches(struct task *t)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct path at;
	struct file *f;

	CHECK(inotify_make(O_NONBLOCK, &root_cred, &f) == 0);
	CHECK(descriptors_put(t->files, 13, f, false) == 0);
	CHECK(inotify_watch(f, top.dentry, IN_CREATE) == 1 && inotify_unwatch(f, 1) == 0);
	CHECK(walk(&w, "/dir", WALK_FOLLOW, &at) == 0);
	CHECK(inotify_watch(f, at.dentry, IN_ALL_EVENTS | IN_ONLYDIR) == 2);
	path_unref(&at);
	CHECK(walk(&w, "/dir/file", WALK_FOLLOW, &at) == 0);
	CHECK(inotify_watch(f, at.dentry, IN_ATTRIB | IN_ONESHOT) == 3);
	path_unref(&at);
	CHECK(names_create(&w, "/dir/seen", S_IFREG | 0600, 0, NULL) == 0);
}

/* IN_IGNORED, IN_CREATE, and of what was opened again nothing. */
static void check_watches(struct task *t)
{
	struct file *f = descriptors_get(t->files, 13);
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct inotify_head head;
	char got[200], why[STATE_WORDS];
	struct uio to;

	uio_kernel(&to, got, sizeof(got));
	CHECK(vfs_read(f, &to, NULL) == 3 * 16);
	memcpy(&head, got, sizeof(head));
	CHECK(head.number == 1 && head.mask == IN_IGNORED && head.len == 0);
	memcpy(&head, got + 16, sizeof(head));
	CHECK(head.number == 2 && head.mask == IN_CREATE && memcmp(got + 32, "seen", 5) == 0);
	CHECK(names_remove(&w, "/dir/seen", 0) == 0);
	uio_kernel(&to, got, sizeof(got));
	CHECK(vfs_read(f, &to, NULL) == 2 * 16);
	memcpy(&head, got, sizeof(head));
	CHECK(head.number == 2 && head.mask == IN_DELETE);
	CHECK(inotify_watch(f, top.dentry, IN_CREATE) == 4);
	/* One whose name was changed is not found again. */
	CHECK(state_check(&host, why) == 0);
	CHECK(names_rename(&w, "/dir/file", &w, "/dir/other", 0) == 0);
	CHECK(state_check(&host, why) == -EOPNOTSUPP);
	CHECK(memcmp(why, "process 1 (init) holds descriptor 13, a watch", 45) == 0);
	CHECK(names_rename(&w, "/dir/other", &w, "/dir/file", 0) == 0);
	file_unref(f);
}

/* ---- System V IPC ---- */

#define SEGMENT ((uint64_t) 0x10000000)
#define REMOVED ((uint64_t) 0x10010000)

static int32_t segment, set, queue;

static void send_text(struct task *t, int64_t type, const char *text)
{
	struct message *m = message_new(strlen(text));

	m->type = type;
	memcpy(m->text, text, strlen(text));
	CHECK(msg_send(t, queue, m, IPC_NOWAIT) == 0);
}

static void make_ipc(struct task *t)
{
	static const struct sembuf ops[] = { { 0, 5, 0 }, { 2, 7, SEM_UNDO }, { 0, -2, SEM_UNDO } };
	int32_t gone = (int32_t) shm_get(t, 8, PAGE_SIZE, IPC_CREAT | 0600);

	CHECK(shm_remove(t, gone) == 0); /* the next numbers are not the first ones */
	gone = (int32_t) shm_get(t, IPC_PRIVATE, PAGE_SIZE, 0600);
	segment = (int32_t) shm_get(t, 77, 6000, IPC_CREAT | 0640);
	CHECK(shm_attach(t, segment, SEGMENT, 0) == (sysret_t) SEGMENT);
	CHECK(shm_attach(t, gone, REMOVED, 0) == (sysret_t) REMOVED && shm_remove(t, gone) == 0);
	CHECK(copy_out(t->space, uva(SEGMENT + 5000), "segment", 7) == 0);
	CHECK(copy_out(t->space, uva(REMOVED), "removed", 7) == 0);
	set = (int32_t) sem_get(t, 78, 3, IPC_CREAT | 0600);
	CHECK(sem_operate(t, set, ops, countof(ops), NSEC_NEVER) == 0);
	queue = (int32_t) msg_get(t, 79, IPC_CREAT | 0600);
	send_text(t, 5, "a message");
	send_text(t, 4, "");
}

/* Its process ends: what it owes is done, and what was removed goes. */
static void check_ipc(struct task *t)
{
	struct shmid64_ds ds;
	struct message *m;
	char got[7];

	CHECK(shm_get(t, 77, 0, 0) == segment && sem_get(t, 78, 3, 0) == set);
	CHECK(copy_in(t->space, got, uva(SEGMENT + 5000), 7) == 0 &&
	      memcmp(got, "segment", 7) == 0);
	CHECK(copy_in(t->space, got, uva(REMOVED), 7) == 0 && memcmp(got, "removed", 7) == 0);
	CHECK(shm_stat(t, segment, IPC_STAT, &ds) == 0 && ds.shm_nattch == 1);
	CHECK(ds.shm_perm.mode == 0640 && ds.shm_segsz == 6000 && ds.shm_cpid == 1);
	CHECK(sem_value(t, set, 0, GETVAL) == 3 && sem_value(t, set, 2, GETVAL) == 7);
	CHECK(sem_value(t, set, 2, GETPID) == 1);
	sem_undos_leave(t);
	CHECK(sem_value(t, set, 0, GETVAL) == 5 && sem_value(t, set, 2, GETVAL) == 0);
	CHECK(msg_receive(t, queue, 10, -4, IPC_NOWAIT, &m) == 0 && m->len == 0);
	message_free(m);
	CHECK(msg_receive(t, queue, 10, 0, IPC_NOWAIT, &m) == 0 && m->type == 5);
	CHECK(m->len == 9 && memcmp(m->text, "a message", 9) == 0);
	message_free(m);
	CHECK(shm_detach(t, REMOVED) == 0 && shm_get(t, IPC_PRIVATE, 1, 0600) > segment);
}

/* ---- terminals ---- */

static void mount_devpts(void)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct super *s = devpts_new(&(struct devpts_options){ .mode = 0620, .ptmx_mode = 0666 });
	struct path at;

	CHECK(s && names_create(&w, "/pts", S_IFDIR | 0755, 0, NULL) == 0);
	CHECK(walk(&w, "/pts", WALK_FOLLOW, &at) == 0);
	CHECK(mount_add(&at, s->root, 0, "devpts", NULL) == 0);
	path_unref(&at);
	super_leave(s);
}

static void put(struct file *f, const char *text)
{
	struct uio from;
	char copy[16];

	memcpy(copy, text, strlen(text));
	uio_kernel(&from, copy, strlen(text));
	CHECK(file_write(f, &from, NULL, UINT64_MAX) == (int64_t) strlen(text));
}

static void expect(struct file *f, const char *text)
{
	struct uio to;
	char got[16];

	uio_kernel(&to, got, sizeof(got));
	CHECK(vfs_read(f, &to, NULL) == (int64_t) strlen(text));
	CHECK(memcmp(got, text, strlen(text)) == 0);
}

/* Half a line, its echo, and words of a program, on the terminal of the session. */
static void make_terminals(struct task *t)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *master, *slave;

	mount_devpts();
	CHECK(names_open(&w, "/pts/ptmx", O_RDWR | O_NOCTTY, 0, &master) == 0);
	file_tty(master)->locked = false;
	CHECK(pty_open_slave(master, O_RDWR | O_NOCTTY, &root_cred, &slave) == 0);
	file_tty(master)->termios.c_cc[VEOL] = '#';
	tty_control(file_tty(slave), t->process);
	put(master, "half");
	put(slave, "said");
	CHECK(descriptors_put(t->files, 14, master, false) == 0);
	CHECK(descriptors_put(t->files, 15, slave, false) == 0);
}

static void check_terminals(struct task *t)
{
	struct file *master = descriptors_get(t->files, 14), *slave = descriptors_get(t->files, 15);

	CHECK(file_tty(master) == file_tty(slave) && process_tty(t->process) == file_tty(slave));
	CHECK(file_tty(slave)->foreground == t->process->group->pid);
	expect(master, "halfsaid");
	put(master, "#");
	expect(slave, "half#");
	file_unref(master);
	file_unref(slave);
}

/* Everything is put into it by the kernel's own doors. */
static struct task *make(void)
{
	struct task_first q = { .cred = cred_new(), .root = &top, .comm = "test" };
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *read, *write, *f;
	struct words args, env;
	struct uio from;
	struct path exe;
	struct task *t;
	uint64_t pos = 0;

	q.files = descriptors_new();
	program("/init", main_of_none, 0755);
	CHECK(names_create(&w, "/dir", S_IFDIR | 0700, 0, NULL) == 0);
	CHECK(names_create(&w, "/dir/link", S_IFLNK | 0777, 0, "../init") == 0);
	words_init(&args, 1000);
	words_init(&env, 1000);
	CHECK(words_add(&args, "init", 4) == 0 && walk(&w, "/init", WALK_FOLLOW, &exe) == 0);
	CHECK(task_new_first(&q, &t) == 0);
	cred_unref(q.cred);
	descriptors_unref(q.files);
	CHECK(signals_clone(t, NULL, 0) == 0);
	CHECK(task_load(t, &exe, "/init", &args, &env) == 0);
	path_unref(&exe);
	words_fini(&args);
	words_fini(&env);
	CHECK(copy_out(t->space, uva(DATA + 5000), "memory", 6) == 0);

	CHECK(names_open(&w, "/dir/file", O_CREAT | O_RDWR, 0640, &f) == 0);
	CHECK(pager_write(&f->inode->pager, 0, "", 0) == 0);
	pager_resize(&f->inode->pager, 10000);
	CHECK(pager_write(&f->inode->pager, 9000, "tail", 4) == 4);
	f->pos = 77;
	CHECK(descriptors_put(t->files, 3, f, true) == 0);
	file_ref(f);
	CHECK(descriptors_put(t->files, 9, f, false) == 0);
	CHECK(pipe_make(O_NONBLOCK, &root_cred, &read, &write) == 0);
	uio_kernel(&from, (char[]){ "piped" }, 5);
	CHECK(vfs_read(read, &from, &pos) == -EAGAIN);
	uio_kernel(&from, (char[]){ "piped" }, 5);
	CHECK(file_write(write, &from, &pos, UINT64_MAX) == 5);
	CHECK(descriptors_put(t->files, 4, read, false) == 0);
	CHECK(descriptors_put(t->files, 5, write, false) == 0);
	CHECK(eventfd_make(42, 0, true, &root_cred, &f) == 0);
	CHECK(descriptors_put(t->files, 6, f, false) == 0);

	CHECK(timerfd_make(1, 0, &root_cred, &f) == 0);
	timerfd_load(f, &(struct timerfd_state){ 1, 5000, 7000, 3 });
	CHECK(descriptors_put(t->files, 7, f, false) == 0);
	CHECK(epoll_make(&root_cred, &f) == 0);
	CHECK(epoll_control(f, EPOLL_CTL_ADD, 4, read, EPOLLIN | EPOLLET, 99) == 0);
	CHECK(epoll_watch_load(f, &(struct epoll_watch){ 5, write, EPOLLONESHOT, 98 }) == 0);
	CHECK(descriptors_put(t->files, 8, f, false) == 0);

	t->signals->blocked = SIGNAL_BIT(10) | SIGNAL_BIT(12);
	t->handlers->actions[9] = (struct signal_action){ 0x1234, 4, 0x5678, 9 };
	CHECK(signal_send_task(t, &(struct signal_info){ .nr = 10, .code = -6 }, false) == 0);
	CHECK(signal_send_process(t->process, &(struct signal_info){ .nr = 12 }, false) == 0);
	timer_set(&timers_of(t->process, true)->interval[0], NSEC_PER_SEC, 0, false);
	make_sockets(t, read);
	f = descriptors_get(t->files, 8);
	make_more(t, f);
	file_unref(f);
	make_ipc(t);
	make_watches(t);
	make_terminals(t);
	return t;
}

static void save(struct task *t, struct kept *k)
{
	char why[STATE_WORDS];
	uint64_t components;

	*k = (struct kept){ .out = { .write = keep, .page = keep_page } };
	held.fp = heap_alloc(plat_fp_size(&components));
	plat_user_regs(t->user, &held.regs);
	plat_user_fp(t->user, held.fp);
	held.regs.cs = held.regs.ss = 0;
	held.regs.orig_ax = UINT64_MAX;
	host.mounts = state_mounts(&host);
	CHECK(state_check(&host, why) == 0);
	t->held = &held;
	CHECK(state_save(&host, &k->out, why) == 0);
	t->held = NULL;
	heap_free(held.fp);
}

static int load(size_t n, char why[STATE_WORDS])
{
	struct state_in in = { .at = kept[0].bytes, .left = n, .pages = PAGES, .page = get_page };

	return state_load(&host, &in, why);
}

static void change_files(void)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };

	CHECK(names_remove(&w, "/dir/file", 0) == 0);
	CHECK(names_remove(&w, "/dir/link", 0) == 0);
	CHECK(names_remove(&w, "/dir/fifo", 0) == 0);
	CHECK(names_remove(&w, "/dir/seen", 0) == 0);
	CHECK(names_create(&w, "/dir/more", S_IFDIR | 0700, 0, NULL) == 0);
	CHECK(names_create(&w, "/dir/more/of", S_IFREG | 0700, 0, NULL) == 0);
}

static void test(void *arg)
{
	struct mount_space *m = life_root();
	char why[STATE_WORDS];
	static const uint64_t values[] = { 0, 1, 5, 30, UINT64_MAX };
	struct file *f;
	size_t n;

	(void) arg;
	save(make(), &kept[0]);
	drop_tasks();
	CHECK(tasks_count() == 0 && proc_sysctl("net.core.somaxconn", "4096") == 0);
	change_files();
	CHECK(load(kept[0].n, why) == 0);
	CHECK(process_init() && process_init()->thread_count == 1);
	save(process_init()->leader, &kept[1]);
	CHECK(kept[0].n == kept[1].n && memcmp(kept[0].bytes, kept[1].bytes, kept[0].n) == 0);
	CHECK(memcmp(kept[0].pages, kept[1].pages, sizeof(kept[0].pages)) == 0);
	f = descriptors_get(process_init()->leader->files, 9);
	CHECK(f && f->pos == 77 && f->owners == 3);
	file_unref(f);
	check_watches(process_init()->leader);
	check_sockets(process_init()->leader);
	check_more(process_init()->leader);
	check_ipc(process_init()->leader);
	check_terminals(process_init()->leader);
	drop_tasks();
	CHECK(unix_rights_in_flight() == 0);
	/* Cut off anywhere it is refused, and leaves no process. */
	for (n = 0; n < kept[0].n; n += 61) {
		CHECK(load(n, why) == -EBADMSG && why[0]);
		CHECK(tasks_count() == 0);
	}
	/* And other numbers anywhere are refused, or make processes that go again. */
	for (n = 8; n + 8 <= kept[0].n; n += 24) {
		unsigned char was[8];

		memcpy(was, kept[0].bytes + n, 8);
		memcpy(kept[0].bytes + n, &values[n / 8 % countof(values)], 8);
		CHECK(load(kept[0].n, why) == 0 || why[0]);
		drop_tasks();
		unix_rights_collect(); /* what is in flight in a circle of another making */
		CHECK(tasks_count() == 0 && unix_rights_in_flight() == 0);
		memcpy(kept[0].bytes + n, was, 8);
	}
	drop_ipc();
	mount_space_unref(m);
}

int main(void)
{
	return test_run(2000, test);
}

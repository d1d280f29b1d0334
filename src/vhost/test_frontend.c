/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device in another process: front end here, back end there, the same guest's memory in both.
 * And back ends that answer nonsense, nothing, or end.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/test.h"
#include "vhost/backend.h"
#include "vhost/frontend.h"
#include "virtio/entropy.h"
#include "virtio/test_guest.h"
#include "virtio/vsock.h"

#define DEADLINE (60 * NSEC_PER_SEC)

static struct guest guest;
static struct loop loop;
static bool over;

static void ended(struct vhost_backend *b, const struct err *why)
{
	over = true;
	if (why)
		(void) fprintf(stderr, "back end: %s\n", why->msg);
	loop_stop(b->loop);
}

static void broken(struct vhost_backend *b, const char *why)
{
	(void) b;
	(void) fprintf(stderr, "back end: %s\n", why);
}

/* A source of entropy that keeps some bytes, which are its state. */
static struct {
	size_t n; /* of them; SIZE_MAX: they cannot be saved */
	bool picky;
} kept;

static uint8_t pattern(size_t at)
{
	return (uint8_t) (at * 7 + at / 251);
}

static int keeper_save(struct virtio_device *d, struct buf *to, struct err *e)
{
	if (kept.n == SIZE_MAX)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "%s: too\nmuch of it", d->ops->name);
	for (size_t i = 0; i < kept.n; i++)
		buf_addc(to, (char) pattern(i));
	return 0;
}

static int keeper_restore(struct virtio_device *d, uint64_t features, struct str state,
			  struct err *e)
{
	if (kept.picky)
		return err_set(e, ERR_INVALID, EINVAL, "not this one");
	for (size_t i = 0; i < state.n; i++)
		if ((uint8_t) state.p[i] != pattern(i))
			return err_set(e, ERR_INVALID, EINVAL, "byte %zu is another one", i);
	kept.n = state.n;
	return d->ops->activate(d, features, e);
}

static struct virtio_device *keeper_new(struct loop *l, const struct guest_memory *memory,
					struct err *e)
{
	static struct virtio_ops ops;
	struct virtio_device *d = entropy_new(l, memory, e);

	if (!d)
		return NULL;
	ops = *d->ops;
	ops.save = keeper_save;
	ops.restore = keeper_restore;
	d->ops = &ops;
	return d;
}

/* A process that serves one device of a kind until the front end hangs up. */
static pid_t start_backend(enum virtio_id kind, int *ret_socket)
{
	static struct vhost_backend b;
	struct virtio_device *d;
	struct loop own;
	struct err e;
	int pair[2];
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	pid = fork();
	if (pid != 0) {
		(void) close(pair[1]);
		*ret_socket = pair[0];
		return pid;
	}
	(void) close(pair[0]);
	if (loop_init(&own) < 0)
		_exit(1);
	vhost_backend_init(&b, &own, pair[1]);
	d = kind == VIRTIO_ID_IS_VSOCK ? vsock_new(&own, &b.memory, 33, FD_NONE, NULL, 0, &e)
				       : keeper_new(&own, &b.memory, &e);
	if (!d || vhost_backend_serve(&b, d, ended, broken, &e) < 0 || loop_run(&own) < 0)
		_exit(1);
	vhost_backend_fini(&b);
	d->ops->free(d);
	_exit(over ? 0 : 1);
}

static void late(struct loop_timer *t)
{
	(void) t;
	(void) fprintf(stderr, "not within the deadline\n");
	abort();
}

static void wait_until(unsigned *counter, unsigned value)
{
	struct loop_timer timer = {};

	loop_timer_set(&loop, &timer, clock_deadline(DEADLINE), late);
	while (*counter < value)
		CHECK(loop_once(&loop) == 0);
	loop_timer_cancel(&timer);
}

static const struct vhost_frontend_config entropy = {
	.id = VIRTIO_ID_IS_ENTROPY, .name = "entropy", .queues_n = 1, .queue_size_max = 64
};

/* One request for entropy, answered through the rings. */
static void ask_entropy(struct virtio_device *d, struct guest_queue *v, unsigned interrupts)
{
	static const uint8_t zeros[64];
	uint8_t *at = guest_at(&guest, guest_gpa(&guest, 0));
	uint16_t head;
	uint32_t n;

	memset(at, 0, sizeof(zeros));
	v->avail[2 + v->queue->size] = v->last_used; /* used_event: tell me of the next */
	(void) guest_request(v, 0, 0, guest_gpa(&guest, 0), sizeof(zeros));
	d->ops->kick(d, 0);
	wait_until(&guest.interrupts[0], interrupts);
	CHECK(guest_reap(v, &head, &n) && n == sizeof(zeros));
	CHECK(memcmp(at, zeros, sizeof(zeros)) != 0);
}

static void test_served(void)
{
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *d;
	struct err e = {};
	int socket, status;
	pid_t pid = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);

	d = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	CHECK_STR(e.msg, "");
	if (!d)
		return;
	guest.interrupts[0] = 0;
	guest_drive(&guest, d, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(d, &v[0], 1);
	ask_entropy(d, &v[0], 2);
	/* Another driver, with other rings. */
	virtio_reset(d);
	guest_drive(&guest, d, VIRTIO_VERSION_1, 8, v);
	ask_entropy(d, &v[0], 3);
	ask_entropy(d, &v[0], 4);
	d->ops->free(d);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_config(void)
{
	const struct vhost_frontend_config c = { .id = VIRTIO_ID_IS_VSOCK,
						 .name = "vsock",
						 .queues_n = 3,
						 .queue_size_max = 64,
						 .config_n = 8 };
	struct vhost_frontend_config more = c;
	struct virtio_device *d;
	struct err e = {};
	uint64_t cid = 0;
	int socket;
	pid_t pid = start_backend(VIRTIO_ID_IS_VSOCK, &socket);

	d = vhost_frontend_new(&loop, &guest.memory, socket, &c, &e);
	CHECK_STR(e.msg, "");
	if (d) {
		d->ops->config_read(d, 0, &cid, sizeof(cid));
		CHECK(cid == 33);
		d->ops->free(d);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);

	more.queues_n = 4;
	pid = start_backend(VIRTIO_ID_IS_VSOCK, &socket);
	CHECK(!vhost_frontend_new(&loop, &guest.memory, socket, &more, &e));
	CHECK(e.kind == ERR_UNSUPPORTED);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* The death of the back end is told to the driver; a reset neither hangs nor brings it back. */
static void test_killed(void)
{
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *d;
	struct err e = {};
	int socket;
	pid_t pid = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);

	d = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	if (!d)
		return;
	guest.interrupts[0] = guest.resets_needed = 0;
	guest_drive(&guest, d, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(d, &v[0], 1);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	wait_until(&guest.resets_needed, 1);
	d->ops->kick(d, 0);
	virtio_reset(d);
	v[0] = guest_queue(&guest, &d->queues[0], 0, 16);
	CHECK(virtio_activate(d, VIRTIO_RING_FEATURES, &e) < 0);
	CHECK(guest.resets_needed == 1);
	d->ops->free(d);
}

/* One back end's device goes on in another one: all that is between is bytes. */
static void test_saved(size_t bytes)
{
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *a, *b;
	struct err e = {};
	int socket;
	pid_t first, second;

	kept.n = bytes;
	first = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);
	a = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	kept.n = 1;
	second = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);
	b = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	CHECK_STR(e.msg, "");
	if (!a || !b)
		return;
	guest.interrupts[0] = 0;
	guest_drive(&guest, a, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(a, &v[0], 1);
	ask_entropy(a, &v[0], 2);
	/* A snapshot, after which it goes on. What comes meanwhile waits. */
	CHECK(virtio_pause(a, &e) == 0 && a->queues[0].next_avail == 2);
	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 64);
	a->ops->kick(a, 0);
	virtio_resume(a);
	wait_until(&guest.interrupts[0], 3);
	v[0].last_used++;
	ask_entropy(a, &v[0], 4);
	for (int i = 0; i < 2; i++) { /* there, and back again */
		struct virtio_device *from = i ? b : a, *to = i ? a : b;

		CHECK(guest_move(from, to, VIRTIO_RING_FEATURES, SIZE_MAX, &e) == 0);
		CHECK_STR(e.msg, "");
		v[0].queue = &to->queues[0];
		(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 64);
		guest.interrupts[0] = 0;
		virtio_resume(to);
		wait_until(&guest.interrupts[0], 1);
		v[0].last_used++;
		ask_entropy(to, &v[0], 2);
	}
	/* A state that is cut short is none; the one it was for can be used all the same. */
	CHECK(guest_move(a, b, VIRTIO_RING_FEATURES, 3, &e) < 0);
	a->ops->free(a);
	b->ops->free(b);
	CHECK(waitpid(first, NULL, 0) == first && waitpid(second, NULL, 0) == second);
}

static bool page_changed(uint64_t gpa)
{
	return guest.memory.changed[gpa / GUEST_PAGE / 8] & 1u << gpa / GUEST_PAGE % 8;
}

static unsigned pages_changed(uint8_t *bits, size_t n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += (unsigned) __builtin_popcount(bits[i]);
	memset(bits, 0, n);
	return count;
}

/* From the first snapshot on it tells what it has changed: what it wrote, and its rings. */
static void test_account(void)
{
	static uint8_t bits[(GUEST_BASE + GUEST_SIZE) / GUEST_PAGE / 8];
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *d;
	struct err e = {};
	int socket;
	pid_t pid = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);

	d = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	CHECK_STR(e.msg, "");
	if (!d)
		return;
	CHECK(!d->unaccounted);
	guest.interrupts[0] = 0;
	guest_drive(&guest, d, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(d, &v[0], 1);
	CHECK(virtio_pause(d, &e) == 0);
	guest.memory.changed = bits;
	virtio_resume(d);
	for (unsigned i = 0; i < 2; i++) {
		ask_entropy(d, &v[0], 2 + i);
		CHECK(pages_changed(bits, sizeof(bits)) == 0); /* nobody has asked */
		CHECK(virtio_pause(d, &e) == 0);
		CHECK(page_changed(guest_gpa(&guest, 0)) && page_changed(v[0].queue->used));
		CHECK(pages_changed(bits, sizeof(bits)) == 2);
		virtio_resume(d);
	}
	CHECK(virtio_pause(d, &e) == 0); /* a ring that runs may have been written to */
	CHECK(pages_changed(bits, sizeof(bits)) == 1);
	virtio_resume(d);
	/* What it changed for a driver that is gone. And for another one, which no snapshot saw. */
	ask_entropy(d, &v[0], 4);
	virtio_reset(d);
	CHECK(page_changed(guest_gpa(&guest, 0)) && pages_changed(bits, sizeof(bits)) == 2);
	guest_drive(&guest, d, VIRTIO_VERSION_1, 8, v);
	ask_entropy(d, &v[0], 5);
	CHECK(virtio_pause(d, &e) == 0);
	CHECK(page_changed(guest_gpa(&guest, 0)) && pages_changed(bits, sizeof(bits)) == 2);
	guest.memory.changed = NULL;
	virtio_resume(d);
	ask_entropy(d, &v[0], 6);
	d->ops->free(d);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* The reasons of a back end reach who asked; it goes on, or can be used anew. */
static void test_not_saved(void)
{
	auto_buf struct buf state = BUF_INIT(1 << 20);
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *a, *b;
	struct err e = {};
	int socket;
	pid_t first, second;

	kept.n = SIZE_MAX;
	first = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);
	a = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	kept.n = 5;
	kept.picky = true;
	second = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);
	b = vhost_frontend_new(&loop, &guest.memory, socket, &entropy, &e);
	kept.picky = false;
	CHECK_STR(e.msg, "");
	if (!a || !b)
		return;
	guest.interrupts[0] = guest.resets_needed = 0;
	guest_drive(&guest, a, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(a, &v[0], 1);
	CHECK(virtio_pause(a, &e) == 0);
	CHECK(virtio_save(a, &state, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	CHECK_STR(e.msg, "entropy: its back end cannot save its state: entropy: too?much of it");
	virtio_resume(a);
	ask_entropy(a, &v[0], 2);
	virtio_reset(a);

	guest_drive(&guest, b, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(b, &v[0], 3);
	CHECK(guest_move(b, b, VIRTIO_RING_FEATURES, SIZE_MAX, &e) < 0);
	CHECK_STR(e.msg, "entropy: its back end does not take up its state: not this one");
	virtio_reset(b);
	guest_drive(&guest, b, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(b, &v[0], 4);
	/* And one that is gone says so. */
	CHECK(kill(second, SIGKILL) == 0 && waitpid(second, NULL, 0) == second);
	CHECK(virtio_pause(b, &e) < 0 && e.kind != ERR_NONE);
	virtio_resume(b);
	CHECK(virtio_pause(b, &e) < 0 && e.kind == ERR_REMOTE && guest.resets_needed == 1);
	a->ops->free(a);
	b->ops->free(b);
	CHECK(waitpid(first, NULL, 0) == first);
}

/* A file server that has not answered is not told to stop. */
static void test_not_quiet(void)
{
	struct vhost_frontend_config fs = entropy;
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *d;
	struct err e = {};
	int socket;
	pid_t pid;

	fs.id = VIRTIO_ID_IS_FS;
	fs.name = "fs";
	pid = start_backend(VIRTIO_ID_IS_ENTROPY, &socket);
	d = vhost_frontend_new(&loop, &guest.memory, socket, &fs, &e);
	CHECK_STR(e.msg, "");
	if (!d)
		return;
	guest.interrupts[0] = guest.resets_needed = 0;
	guest_drive(&guest, d, VIRTIO_RING_FEATURES, 16, v);
	ask_entropy(d, &v[0], 1);
	CHECK(kill(pid, SIGSTOP) == 0);
	v[0].avail[2 + v[0].queue->size] = v[0].last_used;
	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 64);
	d->ops->kick(d, 0);
	CHECK(virtio_pause(d, &e) < 0 && e.kind == ERR_TIMEOUT && strstr(e.msg, "may hang"));
	virtio_resume(d);
	CHECK(kill(pid, SIGCONT) == 0);
	wait_until(&guest.interrupts[0], 2);
	v[0].last_used++;
	CHECK(virtio_pause(d, &e) == 0);
	virtio_resume(d);
	ask_entropy(d, &v[0], 3);
	CHECK(guest.resets_needed == 0);
	d->ops->free(d);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* What a back end may say to the first question, and what comes of it. */
static void test_answers(void)
{
	static const struct {
		uint32_t words[5];
		size_t n;
		enum err_kind kind;
	} answers[] = {
		{ { 1, 5, 8, 0, 1 }, 20, ERR_UNSUPPORTED }, /* not of the rings' features */
		{ { 1, 1, 8, 0, 1 }, 20, ERR_REMOTE },	    /* no answer */
		{ { 2, 5, 8, 0, 1 }, 20, ERR_REMOTE },	    /* to something else */
		{ { 1, 5, 4, 0, 1 }, 16, ERR_REMOTE },
		{ { 1, 5, 1u << 30, 0, 1 }, 20, ERR_REMOTE },
		{ { 1, 5, 8, 0, 1 }, 19, ERR_REMOTE }, /* and then the end */
		{ { 1 }, 0, ERR_REMOTE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct err e = {};
		int pair[2];

		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
		if (answers[i].n)
			CHECK(send(pair[1], answers[i].words, answers[i].n, 0) ==
			      (ssize_t) answers[i].n);
		CHECK(shutdown(pair[1], SHUT_WR) == 0);
		CHECK(!vhost_frontend_new(&loop, &guest.memory, pair[0], &entropy, &e));
		CHECK(e.kind == answers[i].kind);
		(void) close(pair[1]);
	}
}

int main(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0 && loop_init(&loop) == 0);
	guest_init(&guest);
	test_served();
	test_config();
	test_killed();
	test_saved(0);
	test_saved(900000);
	test_account();
	test_not_saved();
	test_not_quiet();
	test_answers();
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}

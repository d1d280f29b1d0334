/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share with a file system in it that hangs: a FUSE file system whose server, this test, answers
 * when it likes. The guest is this test too.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>

#include "base/test.h"
#include "device/fs.h"
#include "device/test_fs_client.h"
#include "sys/tree.h"
#include "virtio/test_guest.h"

#define SLOT		  8192 /* of a request; the second half is its answer's */
#define ENTRIES		  256
#define DEADLINE	  20000 /* ms */
#define FORGETS		  0	/* queues */
#define REQUESTS	  1
#define FUSE_STATX_OPCODE 52 /* younger than the headers we build with */

static struct guest guest;
static struct guest_queue queues[VIRTIO_QUEUES_MAX];
static struct loop loop;
static struct virtio_device *device;
static struct loop_source kicked, forgotten, stopped;
static int kick_fd, forget_fd, stop_fd, call_fd, fuse = -1;
static uint32_t answered[ENTRIES]; /* bytes + 1; 0: not yet */
static unsigned slots, settlings;
static bool waits;			       /* atomic: it has been told to settle */
static unsigned interrupts[VIRTIO_QUEUES_MAX]; /* atomic */
static struct err end;
static int ended;
static uint64_t rw;

/* --- the host's side --- */

static uint64_t drain(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void tell(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void on_kick(struct loop_source *s, uint32_t events)
{
	(void) s, (void) events;
	(void) drain(kick_fd);
	device->ops->kick(device, REQUESTS);
}

static void on_forget(struct loop_source *s, uint32_t events)
{
	(void) s, (void) events;
	(void) drain(forget_fd);
	device->ops->kick(device, FORGETS);
}

static void on_stop(struct loop_source *s, uint32_t events)
{
	(void) s, (void) events;
	(void) drain(stop_fd);
	/* As a transport that will take the queues away: it waits. */
	if (device->held) {
		device->quiet = true;
		__atomic_store_n(&waits, true, __ATOMIC_RELEASE);
	} else {
		loop_stop(&loop);
	}
}

static void settled(struct virtio_device *d)
{
	__atomic_fetch_add(&settlings, 1, __ATOMIC_RELAXED);
	d->quiet = false;
	loop_stop(&loop);
}

static void on_interrupt(struct virtio_device *d, unsigned queue)
{
	(void) d;
	__atomic_fetch_add(&interrupts[queue], 1, __ATOMIC_RELAXED);
	tell(call_fd);
}

static void abandon(void)
{
	(void) fprintf(stderr, "abandoned\n");
	_exit(1);
}

static void *run(void *arg)
{
	(void) arg;
	ended = fs_run(device, abandon, &end);
	return NULL;
}

/* --- the guest's side --- */

static unsigned ask(uint32_t opcode, uint64_t node, const void *fixed, size_t fixed_n,
		    const char *name)
{
	unsigned slot = slots++ % ENTRIES;
	uint64_t gpa = guest_gpa(&guest, (size_t) slot * SLOT);
	size_t name_n = name ? strlen(name) + 1 : 0;
	struct fuse_in_header h = {
		.len = (uint32_t) (sizeof(h) + fixed_n + name_n),
		.opcode = opcode,
		.unique = slot + 1,
		.nodeid = node,
	};
	uint8_t *p = guest_at(&guest, gpa);

	memcpy(p, &h, sizeof(h));
	if (fixed_n)
		memcpy(p + sizeof(h), fixed, fixed_n);
	if (name_n)
		memcpy(p + sizeof(h) + fixed_n, name, name_n);
	answered[slot] = 0;
	CHECK(queues[REQUESTS].next_desc / 2 == slot % (ENTRIES / 2));
	(void) guest_request(&queues[REQUESTS], gpa, h.len, gpa + SLOT / 2, SLOT / 2);
	tell(kick_fd);
	return slot;
}

/* Of a queue: what it wants to be told of, and whether it is to kick for one chain more. */
static void want(struct guest_queue *v, uint16_t used)
{
	__atomic_store_n(&v->avail[2 + ENTRIES], used, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool has_to_kick(const struct guest_queue *v)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&v->used[2 + 4 * ENTRIES], __ATOMIC_RELAXED) ==
	       (uint16_t) (v->next_avail - 1);
}

static bool more(struct guest_queue *v)
{
	want(v, v->last_used);
	return __atomic_load_n(&v->used[1], __ATOMIC_ACQUIRE) != v->last_used;
}

static void reap(void)
{
	uint32_t n;
	uint16_t head;

	while (more(&queues[REQUESTS]) && guest_reap(&queues[REQUESTS], &head, &n)) {
		struct fuse_out_header h = {};
		uint64_t gpa = queues[REQUESTS].descs[head].addr;

		memcpy(&h, guest_at(&guest, gpa + SLOT / 2), sizeof(h));
		answered[(gpa - guest_gpa(&guest, 0)) / SLOT] = n + 1;
	}
}

/* The answer's errno, 1 for a request that has none; its body at *ret_body. */
static int wait_for(unsigned slot, const void **ret_body)
{
	const uint8_t *p = guest_at(&guest, guest_gpa(&guest, (size_t) slot * SLOT + SLOT / 2));
	struct fuse_out_header h;

	for (reap(); !answered[slot]; reap()) {
		struct pollfd wait = { .fd = call_fd, .events = POLLIN };

		if (poll(&wait, 1, DEADLINE) <= 0) {
			(void) fprintf(stderr, "no answer within the deadline\n");
			abort();
		}
		(void) drain(call_fd);
	}
	if (answered[slot] == 1)
		return 1;
	memcpy(&h, p, sizeof(h));
	CHECK(h.unique == slot + 1);
	if (ret_body)
		*ret_body = p + sizeof(h);
	return h.error;
}

static int do_ask(uint32_t opcode, uint64_t node, const void *fixed, size_t fixed_n,
		  const char *name, const void **ret_body)
{
	return wait_for(ask(opcode, node, fixed, fixed_n, name), ret_body);
}

static uint64_t look_up(uint64_t dir, const char *name)
{
	struct fuse_entry_out out = {};
	const void *body;

	if (do_ask(FUSE_LOOKUP, dir, NULL, 0, name, &body) == 0)
		memcpy(&out, body, sizeof(out));
	return out.nodeid;
}

static uint64_t open_node(uint32_t opcode, uint64_t node)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out out = {};
	const void *body;

	if (do_ask(opcode, node, &in, sizeof(in), NULL, &body) == 0)
		memcpy(&out, body, sizeof(out));
	return out.fh;
}

/* --- the file system that hangs --- */

static void fuse_mount(void)
{
	char options[64];

	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	(void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0",
			fuse);
	CHECK(fuse >= 0 &&
	      mount("hung", at("rw/hung"), "fuse", MS_NOSUID | MS_NODEV, options) == 0);
}

/* All that waits for it fails. */
static void fuse_end(void)
{
	(void) close(fuse);
	CHECK(umount2(at("rw/hung"), MNT_DETACH) == 0);
}

static void fuse_say(uint64_t unique, int error, const void *body, size_t n)
{
	uint8_t bytes[256];
	struct fuse_out_header h = { .len = (uint32_t) (sizeof(h) + n),
				     .error = error,
				     .unique = unique };

	memcpy(bytes, &h, sizeof(h));
	if (n)
		memcpy(bytes + sizeof(h), body, n);
	CHECK(write(fuse, bytes, h.len) == (ssize_t) h.len);
}

/* The next request of the kernel, which is this one; FORGETs are passed over. */
static uint64_t fuse_next(uint32_t opcode)
{
	static uint8_t buffer[(1u << 20) + 4096];
	struct fuse_in_header h = {};

	do {
		struct pollfd wait = { .fd = fuse, .events = POLLIN };

		if (poll(&wait, 1, DEADLINE) <= 0 || read(fuse, buffer, sizeof(buffer)) <= 0) {
			(void) fprintf(stderr, "the kernel asks nothing\n");
			abort();
		}
		memcpy(&h, buffer, sizeof(h));
		if (h.opcode == FUSE_STATX_OPCODE) /* Linux 6.6, and not a second time */
			fuse_say(h.unique, -ENOSYS, NULL, 0);
	} while (h.opcode == FUSE_STATX_OPCODE || h.opcode == FUSE_FORGET ||
		 h.opcode == FUSE_BATCH_FORGET);
	CHECK(h.opcode == opcode);
	return h.unique;
}

static void fuse_init(void)
{
	const struct fuse_init_out out = { .major = 7, .minor = 31, .max_write = 4096 };

	fuse_say(fuse_next(FUSE_INIT), 0, &out, sizeof(out));
}

static void fuse_attr(uint64_t unique)
{
	const struct fuse_attr_out out = { .attr = {
						   .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 } };

	fuse_say(unique, 0, &out, sizeof(out));
}

/* As often as the kernel asks for them, until the guest's request is answered. */
static void fuse_attrs(unsigned slot)
{
	for (reap(); !answered[slot]; reap()) {
		struct pollfd wait[] = { { .fd = fuse, .events = POLLIN },
					 { .fd = call_fd, .events = POLLIN } };

		if (poll(wait, ARRAY_SIZE(wait), DEADLINE) <= 0) {
			(void) fprintf(stderr, "no answer within the deadline\n");
			abort();
		}
		if (wait[0].revents)
			fuse_attr(fuse_next(FUSE_GETATTR));
		if (wait[1].revents)
			(void) drain(call_fd);
	}
}

/* --- */

static void start(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 37 };

	CHECK(do_ask(FUSE_INIT, 0, &in, sizeof(in), NULL, NULL) == 0);
	rw = look_up(1, "rw");
	CHECK(rw);
}

/* As many as there may be, and more, wait for a file system; all others go on. */
static void test_others_go_on(unsigned waiting)
{
	struct fuse_getattr_in in = {};
	uint64_t f = look_up(rw, "f");
	unsigned hung[ENTRIES / 2];

	fuse_mount();
	for (unsigned i = 0; i < waiting; i++)
		hung[i] = ask(FUSE_LOOKUP, rw, NULL, 0, "hung");
	if (waiting < FS_CREW_MAX - 1) {
		for (unsigned i = 0; i < 4; i++) {
			CHECK(do_ask(FUSE_GETATTR, f, &in, sizeof(in), NULL, NULL) == 0);
			CHECK(look_up(rw, "f") == f && !look_up(rw, "none"));
		}
		for (unsigned i = 0; i < waiting; i++)
			CHECK(!answered[hung[i]]);
	}
	fuse_end();
	for (unsigned i = 0; i < waiting; i++) {
		int r = wait_for(hung[i], NULL);

		CHECK(r == -ENOTCONN || r == -ECONNABORTED || r == 0); /* 0: after the unmount */
	}
	CHECK(do_ask(FUSE_GETATTR, f, &in, sizeof(in), NULL, NULL) == 0);
}

/* What a request uses stays while it is away, whatever the guest says meanwhile. */
static void test_forgotten_meanwhile(void)
{
	struct fuse_getattr_in in = {};
	struct fuse_forget_in forget = { .nlookup = 100 };
	struct fuse_release_in release = {};
	struct fuse_read_in read_in = { .size = 4096 };
	const struct fuse_open_out opened = { .fh = 1 };
	uint64_t unique, node, f = look_up(rw, "f");
	struct fuse_entry_out entry = {};
	const void *body = NULL;
	unsigned slot, list;

	fuse_mount();
	fuse_init();
	slot = ask(FUSE_LOOKUP, rw, NULL, 0, "hung");
	fuse_attrs(slot);
	CHECK(wait_for(slot, &body) == 0);
	memcpy(&entry, body, sizeof(entry));
	node = entry.nodeid;

	slot = ask(FUSE_OPENDIR, node, &(struct fuse_open_in){}, sizeof(struct fuse_open_in), NULL);
	fuse_say(fuse_next(FUSE_OPENDIR), 0, &opened, sizeof(opened));
	CHECK(wait_for(slot, &body) == 0);
	memcpy(&read_in.fh, body, sizeof(read_in.fh));
	release.fh = read_in.fh;
	list = ask(FUSE_READDIR, node, &read_in, sizeof(read_in), NULL);
	unique = fuse_next(FUSE_READDIR);
	/* It is closed, and what it is of is forgotten, under the listing. */
	CHECK(do_ask(FUSE_RELEASEDIR, node, &release, sizeof(release), NULL, NULL) == 0);
	CHECK(do_ask(FUSE_READDIR, node, &read_in, sizeof(read_in), NULL, NULL) == -EBADF);
	CHECK(do_ask(FUSE_FORGET, node, &forget, sizeof(forget), NULL, NULL) == 1);
	CHECK(do_ask(FUSE_GETATTR, f, &in, sizeof(in), NULL, NULL) == 0);
	CHECK(do_ask(FUSE_INIT, 0, &(struct fuse_init_in){ .major = 7, .minor = 37 },
		     sizeof(struct fuse_init_in), NULL, NULL) == -EBUSY);
	CHECK(!answered[list]);
	fuse_say(unique, -EIO, NULL, 0);
	/* Only now is it closed for the host. */
	CHECK(fuse_next(FUSE_RELEASEDIR) != 0);
	CHECK(wait_for(list, NULL) == -EIO);
	CHECK(do_ask(FUSE_GETATTR, node, &in, sizeof(in), NULL, NULL) == -ESTALE);
	fuse_end();
}

/* Until it is so, within the deadline. */
static void await_used(struct guest_queue *v, uint16_t in_flight)
{
	nsec_t deadline = clock_deadline(DEADLINE * NSEC_PER_MSEC);
	uint16_t head;
	uint32_t n;

	while ((uint16_t) (v->next_avail - v->last_used) > in_flight) {
		if (guest_reap(v, &head, &n))
			continue;
		if (clock_poll_ms(deadline) == 0) {
			(void) fprintf(stderr, "FORGETs are not served\n");
			abort();
		}
		(void) poll(NULL, 0, 1);
	}
}

/* One more; whether it had to be kicked for. */
static bool forget(uint64_t node)
{
	struct guest_queue *v = &queues[FORGETS];
	struct fuse_forget_in in = { .nlookup = 0 };
	struct fuse_in_header h = { .len = sizeof(h) + sizeof(in),
				    .opcode = FUSE_FORGET,
				    .nodeid = node };
	uint64_t gpa = guest_gpa(&guest, (size_t) (ENTRIES + 1) * SLOT);

	memcpy(guest_at(&guest, gpa), &h, sizeof(h)); /* the same each time */
	memcpy(guest_at(&guest, gpa) + sizeof(h), &in, sizeof(in));
	(void) guest_request(v, gpa, h.len, 0, 0);
	if (!has_to_kick(v))
		return false;
	tell(forget_fd);
	return true;
}

/* A driver that kicks when it has to has all its FORGETs served, and is told, though not of each.
 */
static void test_forgets(void)
{
	struct guest_queue *v = &queues[FORGETS];
	struct fuse_getattr_in in = {};
	uint64_t f = look_up(rw, "f");
	unsigned kicks = 0, many = 600, before;
	nsec_t deadline;

	for (unsigned i = 0; i < many; i++) {
		kicks += forget(f);
		if (i % 7 == 0)
			CHECK(do_ask(FUSE_GETATTR, f, &in, sizeof(in), NULL, NULL) == 0);
		await_used(v, ENTRIES - 1);
	}
	await_used(v, 0);
	CHECK(kicks > 0 && kicks < many);
	before = __atomic_load_n(&interrupts[FORGETS], __ATOMIC_RELAXED);
	want(v, v->next_avail);
	(void) forget(f);
	deadline = clock_deadline(DEADLINE * NSEC_PER_MSEC);
	while (__atomic_load_n(&interrupts[FORGETS], __ATOMIC_RELAXED) == before &&
	       clock_poll_ms(deadline) > 0)
		(void) poll(NULL, 0, 1);
	CHECK(__atomic_load_n(&interrupts[FORGETS], __ATOMIC_RELAXED) > before);
	await_used(v, 0);
	/* When there are none for a time each is kicked for again. */
	deadline = clock_deadline(DEADLINE * NSEC_PER_MSEC);
	while (__atomic_load_n(&v->used[2 + 4 * ENTRIES], __ATOMIC_RELAXED) != v->next_avail &&
	       clock_poll_ms(deadline) > 0)
		(void) poll(NULL, 0, 1);
	CHECK(forget(f));
	await_used(v, 0);
}

/* Who takes the queues away waits for what is away; the loop runs all the time. */
static void test_settles(void)
{
	unsigned hung;

	fuse_mount();
	hung = ask(FUSE_LOOKUP, rw, NULL, 0, "hung");
	CHECK(look_up(rw, "f"));
	tell(stop_fd);
	while (!__atomic_load_n(&waits, __ATOMIC_ACQUIRE)) {
		struct pollfd wait = { .fd = stop_fd, .events = POLLIN };

		(void) poll(&wait, 1, 1); /* until the loop has seen it */
	}
	CHECK(!answered[hung] && __atomic_load_n(&settlings, __ATOMIC_RELAXED) == 0);
	fuse_end();
	CHECK(wait_for(hung, NULL) != 1);
}

int main(void)
{
	pthread_t thread;
	struct err e = {};
	struct fs_share share;
	int proc, file;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    access("/dev/fuse", R_OK | W_OK) < 0) {
		(void) printf("no mounts of FUSE here: skipped\n");
		return 77;
	}
	if (!mkdtemp(top) || mkdir(at("rw"), 0755) < 0 || mkdir(at("rw/hung"), 0755) < 0)
		return 1;
	file = open(at("rw/f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(file >= 0 && write(file, "text", 4) == 4);
	(void) close(file);
	kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	forget_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guest_init(&guest);
	proc = fs_session_proc(&e);
	share = (struct fs_share){ .name = "rw", .fd = client_dir(at("rw")) };
	CHECK(proc >= 0 && loop_init(&loop) == 0);
	CHECK(loop_add(&loop, &kicked, kick_fd, EPOLLIN, on_kick) == 0);
	CHECK(loop_add(&loop, &forgotten, forget_fd, EPOLLIN, on_forget) == 0);
	CHECK(loop_add(&loop, &stopped, stop_fd, EPOLLIN, on_stop) == 0);
	device = fs_new(&loop, &guest.memory, "tag", proc, &share, 1, 1000, &e);
	CHECK_STR(e.msg, "");
	guest_drive(&guest, device, VIRTIO_VERSION_1 | VIRTIO_RING_EVENT_IDX, ENTRIES, queues);
	device->interrupt = on_interrupt;
	device->settled = settled;
	CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
	start();
	test_others_go_on(1);
	test_others_go_on(20);
	test_others_go_on(100);
	test_forgotten_meanwhile();
	test_forgets();
	CHECK(open_node(FUSE_OPEN, look_up(rw, "f")) != 0);
	test_settles();
	CHECK(pthread_join(thread, NULL) == 0 && settlings == 1 && ended == 0);
	CHECK_STR(end.msg, "");
	loop_remove(&kicked);
	loop_remove(&forgotten);
	loop_remove(&stopped);
	device->ops->free(device);
	loop_fini(&loop);
	guest_fini(&guest);
	CHECK(chdir("/") == 0);
	CHECK(tree_unlink(AT_FDCWD, top) == 0);
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A front end, message by message: in QEMU's order, and as none should be. */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/test.h"
#include "sys/fdpass.h"
#include "vhost/backend.h"
#include "virtio/entropy.h"
#include "virtio/test_guest.h"

#define USER  0x7f0000000000 /* where the front end has the guest's memory */
#define TAKEN (VIRTIO_VERSION_1 | VHOST_F_PROTOCOL_FEATURES)

static struct guest guest;
static struct guest_queue ring; /* the driver's side */
static struct queue placed;
static struct loop loop;
static struct loop_timer wake;
static struct vhost_backend backend;
static struct virtio_device *device;
static int front, kick_fd, call_fd;
static bool over, wronged;
static struct err why_over;

static void woken(struct loop_timer *t)
{
	(void) t;
}

static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		loop_timer_set(&loop, &wake, clock_mono(), woken);
		CHECK(loop_once(&loop) == 0);
	}
}

static void ended(struct vhost_backend *b, const struct err *why)
{
	(void) b;
	over = true;
	wronged = why != NULL;
	if (why)
		why_over = *why;
}

static void broken(struct vhost_backend *b, const char *why)
{
	(void) b, (void) why;
}

static void begin(void)
{
	struct err e;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	front = pair[0];
	over = false;
	vhost_backend_init(&backend, &loop, pair[1]);
	device = entropy_new(&loop, &backend.memory, &e);
	CHECK(device && vhost_backend_serve(&backend, device, ended, broken, &e) == 0);
	memset(guest.bytes, 0, GUEST_RINGS);
	ring = guest_queue(&guest, &placed, 0, 16);
}

static void finish(void)
{
	(void) close(front);
	turn();
	CHECK(over);
	vhost_backend_fini(&backend);
	device->ops->free(device);
}

static void say(const struct vhost_message *m, const int *fds, size_t fds_n)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	size_t n = vhost_encode(m, bytes);

	CHECK(fdpass_send(front, bytes, n, fds, fds_n) == 0);
	turn();
}

static void say_number(enum vhost_request request, uint64_t n, const int *fd)
{
	say(&(struct vhost_message){ .request = request, .number = n }, fd, fd ? 1 : 0);
}

static void say_vring(enum vhost_request request, uint32_t index, uint32_t value)
{
	say(&(struct vhost_message){ .request = request, .vring = { index, value } }, NULL, 0);
}

static struct vhost_message heard(void)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	struct vhost_message m = {};
	ssize_t r = recv(front, bytes, sizeof(bytes), MSG_DONTWAIT);
	uint32_t n = 0;

	CHECK(r >= VHOST_HEADER_SIZE && vhost_decode_header(bytes, &m, &n) == 0 && m.reply);
	CHECK((size_t) r == VHOST_HEADER_SIZE + n);
	CHECK(vhost_decode_payload(bytes + VHOST_HEADER_SIZE, n, &m) == 0);
	return m;
}

static struct vhost_region whole(void)
{
	return (struct vhost_region){ GUEST_BASE, GUEST_SIZE, USER, 0 };
}

static void say_memory(struct vhost_region r, const int *fds, size_t fds_n)
{
	struct vhost_message m = { .request = VHOST_SET_MEM_TABLE };

	m.memory.n = 1;
	m.memory.regions[0] = r;
	say(&m, fds, fds_n);
}

static void say_addr(uint64_t desc, uint64_t avail, uint64_t used)
{
	const uint64_t to_user = USER - GUEST_BASE;

	say(&(struct vhost_message){ .request = VHOST_SET_VRING_ADDR,
				     .addr = { .desc = desc + to_user,
					       .avail = avail + to_user,
					       .used = used + to_user } },
	    NULL, 0);
}

/* All but enabling it. */
static void say_ring(uint16_t base)
{
	say_vring(VHOST_SET_VRING_NUM, 0, 16);
	say_vring(VHOST_SET_VRING_BASE, 0, base);
	say_addr(placed.desc, placed.avail, placed.used);
	say_number(VHOST_SET_VRING_CALL, 0, &call_fd);
	say_number(VHOST_SET_VRING_KICK, 0, &kick_fd);
}

static void set_up(void)
{
	begin();
	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	say_memory(whole(), &guest.fd, 1);
	say_ring(0);
}

static uint64_t counted(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static bool entropy_comes(void)
{
	const uint64_t one = 1;
	uint16_t head;
	uint32_t n = 0;

	(void) guest_request(&ring, 0, 0, guest_gpa(&guest, 0), 64);
	CHECK(write(kick_fd, &one, sizeof(one)) == sizeof(one));
	turn();
	return guest_reap(&ring, &head, &n) && n == 64;
}

static void test_questions(void)
{
	struct vhost_message m = { .request = VHOST_SET_OWNER, .need_reply = true };

	begin();
	say(&(struct vhost_message){ .request = VHOST_GET_FEATURES }, NULL, 0);
	CHECK(heard().number ==
	      (VIRTIO_RING_FEATURES | VHOST_F_LOG_ALL | VHOST_F_PROTOCOL_FEATURES));
	say(&(struct vhost_message){ .request = VHOST_GET_PROTOCOL_FEATURES }, NULL, 0);
	CHECK(heard().number & VHOST_PROTOCOL_REPLY_ACK);
	say_number(VHOST_SET_PROTOCOL_FEATURES, VHOST_PROTOCOL_REPLY_ACK, NULL);
	say(&(struct vhost_message){ .request = VHOST_GET_QUEUE_NUM }, NULL, 0);
	CHECK(heard().number == 1);
	say(&m, NULL, 0);
	CHECK(heard().number == 0);
	m = (struct vhost_message){ .request = VHOST_SET_FEATURES,
				    .need_reply = true,
				    .number = UINT64_MAX };
	say(&m, NULL, 0);
	CHECK(heard().number == 1 && over && wronged);
	finish();
}

/* Paused and gone on, reset with another driver, moved to other memory. */
static void test_life_of_a_ring(void)
{
	struct vhost_region moved = whole();
	struct vhost_message m;

	set_up();
	CHECK(!device->active && !entropy_comes());
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(device->active && ring.last_used == 0 && counted(call_fd) == 1);
	ring.last_used = 1; /* that one has come with the enabling */
	CHECK(entropy_comes() && counted(call_fd) == 1);

	say_vring(VHOST_SET_VRING_ENABLE, 0, 0);
	CHECK(!entropy_comes());
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	ring.last_used++;
	CHECK(entropy_comes());

	say_vring(VHOST_GET_VRING_BASE, 0, 0);
	m = heard();
	CHECK(m.vring.index == 0 && m.vring.value == 4 && device->active);
	CHECK(!entropy_comes());
	(void) counted(kick_fd);
	say_ring(4);
	ring.last_used++;
	CHECK(entropy_comes() && device->active);

	moved.user += 0x100000;
	say_memory(moved, &guest.fd, 1); /* the ring is not in there */
	CHECK(over && wronged);
	finish();

	set_up();
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(entropy_comes());
	say_memory(whole(), &guest.fd, 1);
	CHECK(entropy_comes());
	say_vring(VHOST_GET_VRING_BASE, 0, 0);
	(void) heard();
	ring = guest_queue(&guest, &placed, 0, 16);
	device->stats.reads = 77;
	say_ring(0);
	CHECK(entropy_comes());
	say(&(struct vhost_message){ .request = VHOST_RESET_OWNER }, NULL, 0);
	CHECK(!device->active && !entropy_comes() && !over);
	finish();
	CHECK(!wronged);
}

static void no_fd(void)
{
	say_memory(whole(), NULL, 0);
}

static void past_the_file(void)
{
	struct vhost_region r = whole();

	r.offset = 4096;
	say_memory(r, &guest.fd, 1);
}

static void endless(void)
{
	struct vhost_region r = whole();

	r.size = UINT64_MAX - GUEST_BASE;
	say_memory(r, &guest.fd, 1);
}

static void ring_outside(void)
{
	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	say_memory(whole(), &guest.fd, 1);
	say_vring(VHOST_SET_VRING_NUM, 0, 16);
	say_addr(GUEST_BASE + GUEST_SIZE - 16, placed.avail, placed.used);
	say_number(VHOST_SET_VRING_KICK, 0, &kick_fd);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
}

static void ring_of_no_size(void)
{
	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	say_memory(whole(), &guest.fd, 1);
	say_addr(placed.desc, placed.avail, placed.used);
	say_number(VHOST_SET_VRING_KICK, 0, &kick_fd);
	say_vring(VHOST_SET_VRING_NUM, 0, 1u << 20);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
}

static void no_such_ring(void)
{
	say_vring(VHOST_GET_VRING_BASE, 200, 0);
}

static void no_such_ring_kicked(void)
{
	say_number(VHOST_SET_VRING_KICK, 255, &kick_fd);
}

static void polled(void)
{
	say_number(VHOST_SET_VRING_KICK, VHOST_VRING_NO_FD, NULL);
}

static void unasked_fd(void)
{
	say_number(VHOST_SET_FEATURES, TAKEN, &kick_fd);
}

static void no_request(void)
{
	const uint32_t words[] = { 99, 1, 0 };

	CHECK(send(front, words, sizeof(words), 0) == (ssize_t) sizeof(words));
	turn();
}

static void long_payload(void)
{
	const uint32_t words[] = { 2, 1, 1u << 31 };

	CHECK(send(front, words, sizeof(words), 0) == (ssize_t) sizeof(words));
	turn();
}

static void say_state(enum vhost_direction direction, const int *fds, size_t fds_n)
{
	say(&(struct vhost_message){ .request = VHOST_SET_DEVICE_STATE_FD,
				     .transfer = { direction, VHOST_PHASE_STOPPED } },
	    fds, fds_n);
}

static void say_check(void)
{
	say(&(struct vhost_message){ .request = VHOST_CHECK_DEVICE_STATE }, NULL, 0);
}

static bool silent(void)
{
	uint8_t byte;

	return recv(front, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

/* As QEMU does it, over pipes: what is loaded is judged at the end, before it nothing is said. */
static void test_state(void)
{
	int out[2], in[2];

	set_up();
	say_check();
	CHECK(heard().number == 1); /* of nothing */
	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
	say_state(VHOST_SAVE, &out[1], 1);
	(void) close(out[1]);
	CHECK(heard().number == VHOST_STATE_NO_FD);
	CHECK(read(out[0], out, sizeof(out)) == 0); /* all of it: entropy has none */
	say_check();
	CHECK(heard().number == 0);
	say_state(VHOST_LOAD, &in[0], 1);
	(void) close(in[0]);
	CHECK(heard().number == VHOST_STATE_NO_FD);
	say_check();
	CHECK(silent() && !device->active);
	(void) close(in[1]);
	turn();
	CHECK(heard().number == 0 && device->active);
	/* The rings run for the state's driver, who is not at the beginning. */
	say_number(VHOST_SET_FEATURES, TAKEN | VIRTIO_RING_INDIRECT, NULL);
	CHECK(device->active);
	say_ring(0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(device->active && entropy_comes());
	finish();
	CHECK(!wronged);

	set_up();
	CHECK(pipe2(in, O_CLOEXEC) == 0 && write(in[1], "no state", 8) == 8);
	(void) close(in[1]);
	say_state(VHOST_LOAD, &in[0], 1);
	(void) close(in[0]);
	CHECK(heard().number == VHOST_STATE_NO_FD);
	say_check();
	CHECK(heard().number == 1 && !device->active && !over);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(entropy_comes()); /* it begins anew */
	finish();
	CHECK(!wronged);
}

/* What would take a ring away under a chain that is being served waits; questions do not. */
static void test_held(void)
{
	set_up();
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(device->active);
	device->held = 1;
	say(&(struct vhost_message){ .request = VHOST_GET_QUEUE_NUM }, NULL, 0);
	CHECK(heard().number == 1 && !device->quiet);
	say_vring(VHOST_GET_VRING_BASE, 0, 0);
	CHECK(silent() && device->quiet && backend.rings[0].running);
	say(&(struct vhost_message){ .request = VHOST_GET_QUEUE_NUM }, NULL, 0);
	CHECK(silent()); /* one after the other */
	device->held = 0;
	device->settled(device);
	CHECK(!device->quiet && !backend.rings[0].running);
	CHECK(heard().request == VHOST_GET_VRING_BASE);
	turn();
	CHECK(heard().request == VHOST_GET_QUEUE_NUM);
	/* The end is seen while it waits; what is held is left alone. */
	say_ring(0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	device->held = 1;
	say_memory(whole(), &guest.fd, 1);
	CHECK(device->quiet && !over);
	(void) shutdown(front, SHUT_RDWR);
	turn();
	CHECK(over && !wronged && device->active);
	device->held = 0;
	finish();
}

static void state_nowhere(void)
{
	say_state(VHOST_SAVE, NULL, 0);
}

static void state_of_a_ring_that_runs(void)
{
	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	say_memory(whole(), &guest.fd, 1);
	say_ring(0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	say_state(VHOST_SAVE, &front, 1);
}

static void states_at_once(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	say_state(VHOST_LOAD, &pair[1], 1);
	(void) heard();
	say_state(VHOST_LOAD, &pair[1], 1);
	(void) close(pair[0]);
	(void) close(pair[1]);
}

static void state_of_another_kind(void)
{
	say(&(struct vhost_message){ .request = VHOST_SET_DEVICE_STATE_FD, .transfer = { 2, 0 } },
	    &front, 1);
}

/* ---- the log */

static void say_log(uint64_t size, uint64_t offset, int fd)
{
	say(&(struct vhost_message){ .request = VHOST_SET_LOG_BASE, .log = { size, offset } }, &fd,
	    1);
}

/* A log for all of the memory, 8 bytes into its file. */
static int log_up(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
	say_number(VHOST_SET_PROTOCOL_FEATURES, VHOST_PROTOCOL_LOG_SHMFD, NULL);
	say_log((GUEST_BASE + GUEST_SIZE) / GUEST_PAGE / 8, 8, fd);
	CHECK(heard().number == 0);
	say_number(VHOST_SET_FEATURES, TAKEN | VHOST_F_LOG_ALL, NULL);
	say_memory(whole(), &guest.fd, 1);
	return fd;
}

static bool is_logged(int fd, uint64_t gpa)
{
	uint8_t byte = 0;

	CHECK(pread(fd, &byte, 1, (off_t) (8 + gpa / GUEST_PAGE / 8)) == 1);
	return byte & 1u << gpa / GUEST_PAGE % 8;
}

static void say_logged_addr(uint64_t log)
{
	const uint64_t to_user = USER - GUEST_BASE;

	say(&(struct vhost_message){ .request = VHOST_SET_VRING_ADDR,
				     .addr = { .flags = VHOST_VRING_LOG,
					       .desc = placed.desc + to_user,
					       .avail = placed.avail + to_user,
					       .used = placed.used + to_user,
					       .log = log } },
	    NULL, 0);
}

static void test_log(void)
{
	const uint64_t elsewhere = guest_gpa(&guest, 8 * GUEST_PAGE);
	auto_fd int fd = FD_NONE;

	begin();
	fd = log_up();
	say_ring(0);
	say_logged_addr(elsewhere);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(entropy_comes());
	CHECK(is_logged(fd, guest_gpa(&guest, 0)) && !is_logged(fd, elsewhere));
	say_vring(VHOST_GET_VRING_BASE, 0, 0);
	CHECK(heard().vring.value == 1 && !over);
	CHECK(is_logged(fd, elsewhere) && !is_logged(fd, elsewhere + GUEST_PAGE));
	CHECK(!is_logged(fd, placed.used)); /* the front end says where */
	/* No more of it, without a reset of the device. */
	CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, 8192) == 0);
	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	CHECK(device->active);
	say_ring(1);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(entropy_comes());
	CHECK(!is_logged(fd, guest_gpa(&guest, 0)) && !over);
	finish();
}

static void log_not_negotiated(void)
{
	say_log(4096, 0, guest.fd);
}

static void log_too_short(void)
{
	auto_fd int fd = log_up();

	say_log((GUEST_BASE + GUEST_SIZE) / GUEST_PAGE / 8 - 1, 0, fd);
}

static void memory_past_the_log(void)
{
	struct vhost_region r = whole();
	[[maybe_unused]] auto_fd int fd = log_up(); /* to the end of this */

	r.gpa += GUEST_SIZE;
	say_memory(r, &guest.fd, 1);
}

static void memory_past_the_log_of_a_ring(void)
{
	struct vhost_region r = whole();
	[[maybe_unused]] auto_fd int fd = log_up(); /* to the end of this */

	say_ring(0);
	say_logged_addr(placed.used);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	r.gpa = 0; /* the ring's own addresses are the front end's: they are as they were */
	r.size = GUEST_BASE;
	say_memory(r, &guest.fd, 1);
}

static void log_past_its_file(void)
{
	auto_fd int fd = log_up();

	say_log(8193, 0, fd);
}

static void log_of_a_socket(void)
{
	[[maybe_unused]] auto_fd int fd = log_up(); /* to the end of this */

	say_log(4096, 0, front);
}

static void log_while_a_ring_runs(void)
{
	auto_fd int fd = log_up();

	say_ring(0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	say_log(4096, 0, fd);
}

static void log_begins_while_a_ring_runs(void)
{
	[[maybe_unused]] auto_fd int fd = log_up(); /* to the end of this */

	say_number(VHOST_SET_FEATURES, TAKEN, NULL);
	say_ring(0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	say_number(VHOST_SET_FEATURES, TAKEN | VHOST_F_LOG_ALL, NULL);
}

static void log_of_a_ring_outside(void)
{
	[[maybe_unused]] auto_fd int fd = log_up(); /* to the end of this */

	say_ring(0);
	say_logged_addr(GUEST_BASE + GUEST_SIZE - 4);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
}

static void test_refusals(void)
{
	static void (*const acts[])(void) = { no_fd,
					      past_the_file,
					      endless,
					      ring_outside,
					      no_such_ring,
					      no_such_ring_kicked,
					      polled,
					      unasked_fd,
					      no_request,
					      long_payload,
					      ring_of_no_size,
					      state_nowhere,
					      state_of_a_ring_that_runs,
					      states_at_once,
					      state_of_another_kind,
					      log_not_negotiated,
					      log_too_short,
					      memory_past_the_log,
					      memory_past_the_log_of_a_ring,
					      log_past_its_file,
					      log_of_a_socket,
					      log_while_a_ring_runs,
					      log_begins_while_a_ring_runs,
					      log_of_a_ring_outside };

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		begin();
		why_over = (struct err){};
		acts[i]();
		CHECK(over && wronged && why_over.kind != ERR_NONE && why_over.msg[0]);
		CHECK(!device->active);
		finish();
	}
}

/* Each kick is seen, though nobody reads the counter; when the ring stops it is read. */
static void test_kicks(void)
{
	struct vhost_message m;

	set_up();
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	for (int i = 0; i < 5; i++)
		CHECK(entropy_comes());
	say_vring(VHOST_GET_VRING_BASE, 0, 0);
	m = heard();
	CHECK(m.vring.value == 5 && counted(kick_fd) == 0);
	finish();
}

/* What a device has given back and put off telling is told before its ring stops. */
static void test_told_at_the_end(void)
{
	set_up();
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	(void) counted(call_fd);
	(void) guest_request(&ring, 0, 0, guest_gpa(&guest, 0), 64);
	CHECK(queue_pop(&device->queues[0], &device->chain) == 1);
	queue_push(&device->queues[0], device->chain.head, 0);
	CHECK(counted(call_fd) == 0);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 0);
	CHECK(counted(call_fd) == 1);
	finish();
}

/* A kick that is no counter: a socket at its end is always readable. */
static void test_kick_of_another_kind(void)
{
	unsigned rounds = 0;
	int pair[2];

	set_up();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	say_number(VHOST_SET_VRING_KICK, 0, &pair[1]);
	say_vring(VHOST_SET_VRING_ENABLE, 0, 1);
	CHECK(!over);
	(void) close(pair[0]);
	turn();
	/* Nothing is ready now but the timer: the loop waits for it. */
	loop_timer_set(&loop, &wake, clock_mono() + 20 * NSEC_PER_MSEC, woken);
	while (wake.loop && rounds < 1000) {
		CHECK(loop_once(&loop) == 0);
		rounds++;
	}
	CHECK(rounds < 100 && !over);
	(void) close(pair[1]);
	finish();
}

int main(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0 && loop_init(&loop) == 0);
	guest_init(&guest);
	placed.memory = &guest.memory;
	test_questions();
	test_life_of_a_ring();
	test_state();
	test_held();
	test_log();
	test_refusals();
	test_kicks();
	test_told_at_the_end();
	test_kick_of_another_kind();
	loop_timer_cancel(&wake);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}

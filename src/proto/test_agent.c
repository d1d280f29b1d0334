/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/test.h"
#include "proto/agent_link.h"

static struct agent_msg again(struct arena *a, struct buf *b, const struct agent_msg *m)
{
	struct agent_msg got = { .type = AGENT_NONE };
	size_t len;

	CHECK(agent_encode(m, b) == 0);
	CHECK(agent_frame(buf_str(b), &len) == 1 && len == b->n);
	for (size_t n = 0; n < b->n; n++)
		CHECK(agent_frame((struct str){ b->p, n }, &len) == 0 && len > n);
	CHECK(agent_decode(a, buf_str(b), &got) == 0);
	CHECK(got.type == m->type && got.stream == m->stream);
	return got;
}

static void test_setup(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(1 << 20);
	struct agent_address addresses[] = { { "10.0.0.2/24", "", "10.0.0.255" },
					     { "fd00::2/64", "", "" } };
	struct agent_route routes[] = { { .to = "", .gateway = "10.0.0.1", .on_link = true },
					{},
					{ .to = "10.9.0.0/16", .metric = 7, .scope = 253 } };
	struct agent_interface interfaces[] = {
		{ .mac = "02:00:00:00:00:01", .mtu = 1400 },
		{ .mac = "02:00:00:00:00:02", .name = "eth1" },
	};
	struct agent_msg m = agent_msg_of(AGENT_SETUP), got;

	interfaces[1].addresses.v = addresses;
	interfaces[1].addresses.n = 2;
	interfaces[1].routes.v = routes;
	interfaces[1].routes.n = 3;
	m.setup.version = AGENT_VERSION;
	m.setup.hostname = "box";
	m.setup.entropy = (struct str){ "a\0b", 3 };
	m.setup.interfaces.v = interfaces;
	m.setup.interfaces.n = 2;
	got = again(&a, &b, &m);
	CHECK(got.setup.version == AGENT_VERSION && got.setup.realtime_ns == 0);
	CHECK_STR(got.setup.hostname, "box");
	CHECK(str_eq(got.setup.entropy, m.setup.entropy));
	CHECK(got.setup.interfaces.n == 2);
	CHECK(got.setup.interfaces.v[0].mtu == 1400 && !got.setup.interfaces.v[0].addresses.n);
	CHECK_STR(got.setup.interfaces.v[0].name, "");
	CHECK_STR(got.setup.interfaces.v[1].mac, "02:00:00:00:00:02");
	CHECK(got.setup.interfaces.v[1].addresses.n == 2 &&
	      got.setup.interfaces.v[1].routes.n == 3);
	CHECK_STR(got.setup.interfaces.v[1].addresses.v[0].broadcast, "10.0.0.255");
	CHECK_STR(got.setup.interfaces.v[1].addresses.v[1].address, "fd00::2/64");
	CHECK(got.setup.interfaces.v[1].routes.v[0].on_link);
	CHECK_STR(got.setup.interfaces.v[1].routes.v[1].to, "");
	CHECK(got.setup.interfaces.v[1].routes.v[2].scope == 253);
}

static void test_session(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(1 << 20);
	struct agent_msg m = agent_msg_of(AGENT_DATA), got;

	m.stream = AGENT_STDERR;
	m.data = STR("hello");
	got = again(&a, &b, &m);
	CHECK(str_is(got.data, "hello"));
	CHECK(b.n == AGENT_HEADER + 5);
	buf_clear(&b);
	m = agent_msg_of(AGENT_WINDOW_MORE);
	m.stream = AGENT_STDOUT;
	m.window = 70000;
	got = again(&a, &b, &m);
	CHECK(got.window == 70000);
	buf_clear(&b);
	m = agent_msg_of(AGENT_EOF);
	got = again(&a, &b, &m);
	buf_clear(&b);
	m = agent_msg_of(AGENT_EXITED);
	m.exited = (struct agent_exited){ 137, true };
	got = again(&a, &b, &m);
	CHECK(got.exited.code == 137 && got.exited.oom);
	m.exited.code = 256;
	buf_clear(&b);
	CHECK(agent_encode(&m, &b) == 0);
	CHECK(agent_decode(&a, buf_str(&b), &got) == -EBADMSG);
}

static void test_attach(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(1 << 20);
	struct agent_msg m = agent_msg_of(AGENT_ATTACH), got;

	m.attach = (struct agent_attach){ "old", "new", "name", 24, 80 };
	got = again(&a, &b, &m);
	CHECK_STR(got.attach.as, "new");
	CHECK_STR(got.attach.hostname, "name");
	CHECK(got.attach.rows == 24 && got.attach.cols == 80);
	m = agent_msg_of(AGENT_ATTACHED);
	m.attached = (struct agent_attached){ 7, AGENT_WINDOW, true };
	buf_clear(&b);
	got = again(&a, &b, &m);
	CHECK(got.attached.stdin_open && got.attached.stdin_credit == AGENT_WINDOW);
	m.attached.stdin_credit++;
	buf_clear(&b);
	CHECK(agent_encode(&m, &b) == 0);
	CHECK(agent_decode(&a, buf_str(&b), &got) == -EBADMSG);
}

/* A header alone: what it says is refused before the payload came. */
static bool refused(uint32_t length, unsigned type, unsigned stream)
{
	auto_buf struct buf b = BUF_INIT(AGENT_HEADER);
	size_t len;

	field_put_le(&b, length, 4);
	field_put_le(&b, type, 2);
	field_put_le(&b, stream, 2);
	return agent_frame(buf_str(&b), &len) == -EBADMSG;
}

static void test_refused(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(16u << 20);
	struct agent_msg m, got;
	char *text = malloc(AGENT_FRAME_MAX + 1);

	CHECK(refused(0, AGENT_NONE, 0) && refused(0, AGENT_TYPES_N, 0) && refused(0, 0xffff, 0));
	CHECK(refused(2, AGENT_OK, 1) && !refused(2, AGENT_OK, 0));
	CHECK(refused(1, AGENT_DATA, AGENT_STREAMS) && !refused(1, AGENT_DATA, AGENT_STDERR));
	CHECK(refused(AGENT_FRAME_MAX + 1, AGENT_DATA, 0) &&
	      !refused(AGENT_FRAME_MAX, AGENT_DATA, 0));
	CHECK(refused(UINT32_MAX, AGENT_CREATE, 0) && !refused(AGENT_TEXT_MAX, AGENT_CREATE, 0));
	m = agent_msg_of(AGENT_EOF);
	CHECK(agent_encode(&m, &b) == 0);
	CHECK(agent_decode(&a, (struct str){ b.p, b.n - 1 }, &got) == -EBADMSG);
	buf_addc(&b, 0);
	CHECK(agent_decode(&a, buf_str(&b), &got) == -EBADMSG);
	buf_clear(&b);
	m = agent_msg_of(AGENT_UPDATE);
	CHECK(agent_encode(&(struct agent_msg){ .type = AGENT_TYPES_N }, &b) == -EINVAL);
	if (!text)
		return;
	memset(text, 'x', AGENT_FRAME_MAX);
	text[AGENT_FRAME_MAX] = 0;
	m.update.resources = text;
	CHECK(agent_encode(&m, &b) == -EMSGSIZE);
	CHECK(b.n == 0 && buf_ok(&b));
	m = agent_msg_of(AGENT_CREATE); /* these may be longer */
	m.create.config = text;
	CHECK(agent_encode(&m, &b) == 0 && b.n > AGENT_FRAME_MAX);
	free(text);
}

static void test_link(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_agent_link struct agent_link left = AGENT_LINK_INIT, right = AGENT_LINK_INIT;
	struct agent_msg m = agent_msg_of(AGENT_DATA), got;
	static char bytes[AGENT_DATA_MAX];
	unsigned sent = 0, came = 0;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	agent_link_init(&left, pair[0]);
	agent_link_init(&right, pair[1]);
	memset(bytes, 'y', sizeof(bytes));
	m.data = (struct str){ bytes, sizeof(bytes) };
	while (agent_link_waiting(&left) < 4 * sizeof(bytes) && sent < 1000) {
		CHECK(agent_link_put(&left, &m) == 0);
		sent++;
	}
	m = agent_msg_of(AGENT_EXITED);
	CHECK(agent_link_put(&left, &m) == 0);
	do {
		(void) agent_link_flush(&left);
		CHECK(agent_link_wait(&right, &a, clock_deadline(10 * NSEC_PER_SEC), &got) == 0);
		came += got.type == AGENT_DATA && got.data.n == sizeof(bytes);
	} while (got.type == AGENT_DATA && came <= sent);
	CHECK(came == sent && got.type == AGENT_EXITED);
	CHECK(agent_link_wait(&right, &a, clock_deadline(NSEC_PER_MSEC), &got) == -ETIMEDOUT);
	CHECK(write(left.fd, "\1\0\0\0\xff\0\0\0", 8) == 8);
	CHECK(agent_link_wait(&right, &a, clock_deadline(10 * NSEC_PER_SEC), &got) == -EBADMSG);
	close_fd(&left.fd);
	CHECK(agent_link_put(&right, &m) == -EPIPE);
}

int main(void)
{
	test_setup();
	test_session();
	test_attach();
	test_refused();
	test_link();
	return test_done();
}

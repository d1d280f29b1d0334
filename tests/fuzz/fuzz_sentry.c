/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on a sandbox's control socket, as both sides take them: what is a request or a reply is
 * sent again and is the same.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "fuzz.h"
#include "proto/sentry.h"

static void as_request(const int pair[2])
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct sentry_request q, again;

	if (sentry_receive_request(pair[1], &a, &q) != 1)
		return;
	/* No descriptors came, so there are none. */
	if (q.in >= 0 || q.out >= 0 || q.err >= 0 || q.gofer >= 0)
		abort();
	if (sentry_send_request(pair[0], &q) < 0 ||
	    sentry_receive_request(pair[1], &a, &again) != 1)
		abort();
	if (again.type != q.type || again.process != q.process || again.signal != q.signal ||
	    !streq(again.spec, q.spec) || !str_eq(again.calls, q.calls) ||
	    !str_eq(again.pids, q.pids) || again.text != q.text || !streq(again.binds, q.binds) ||
	    !str_eq(again.filter, q.filter) || again.container != q.container ||
	    again.pids_of != q.pids_of)
		abort();
}

static void as_reply(const int pair[2])
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct sentry_reply r, again;

	if (sentry_receive_reply(pair[1], &a, &r) != 1)
		return;
	if (sentry_send_reply(pair[0], &r) < 0 || sentry_receive_reply(pair[1], &a, &again) != 1)
		abort();
	if (again.type != r.type || again.error != r.error || !streq(again.reason, r.reason) ||
	    again.list.n != r.list.n || again.refused.n != r.refused.n || again.pid != r.pid)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	auto_fd int one = FD_NONE, other = FD_NONE;
	int pair[2];

	if (n == 0 || n > SENTRY_MESSAGE_MAX / 2)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	one = pair[0];
	other = pair[1];
	if (send(one, data, n, 0) != (ssize_t) n)
		abort();
	as_request(pair);
	if (send(one, data, n, 0) != (ssize_t) n)
		abort();
	as_reply(pair);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "fmt/json.h"
#include "fmt/shown.h"
#include "sys/unix.h"

#define IN_MAX	  (256u << 10) /* of one line */
#define LINES_MAX 10000	       /* that come before an answer: events */

/* The next line as JSON. */
static int next_line(struct qmp *q, const struct json **ret, struct err *e)
{
	char *end;

	while (!(end = memchr(q->in, '\n', q->in_n))) {
		struct pollfd p = { .fd = q->fd, .events = POLLIN };
		ssize_t n;
		int r;

		if (q->in_n == IN_MAX)
			return err_set(e, ERR_REMOTE, EPROTO, "QEMU's monitor says too much");
		r = poll(&p, 1, clock_poll_ms(q->deadline));
		if (r == 0)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "QEMU's monitor does not answer");
		n = r < 0 ? -1 : recv(q->fd, q->in + q->in_n, IN_MAX - q->in_n, MSG_DONTWAIT);
		if (n == 0)
			return err_set(e, ERR_CONFLICT, ECONNRESET, "the machine has ended");
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, errno, "read from QEMU's monitor");
		q->in_n += n > 0 ? (size_t) n : 0;
	}
	size_t n = (size_t) (end + 1 - q->in);
	/* json_parse() copies nothing: the line must stay. */
	char *line = arena_dup(q->a, (struct str){ q->in, n });

	if (!line)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	memmove(q->in, q->in + n, q->in_n - n);
	q->in_n -= n;
	return json_parse(q->a, str_of(line), ret, e) < 0 ? err_ctx(e, "QEMU's monitor") : 0;
}

static int answer(struct qmp *q, const struct json **ret, struct err *e)
{
	for (int i = 0; i < LINES_MAX; i++) {
		const struct json *line, *error;
		const char *words;
		int r = next_line(q, &line, e);

		if (r < 0)
			return r;
		if (json_get(line, "return")) {
			*ret = json_get(line, "return");
			return 0;
		}
		error = json_get(line, "error");
		if (!error)
			continue; /* an event, or the greeting */
		words = json_get(error, "desc") ? json_string(json_get(error, "desc")) : NULL;
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "QEMU says: %s",
			       shown_of(str_of(words ? words : "no")).z);
	}
	return err_set(e, ERR_REMOTE, EPROTO, "QEMU's monitor does not come to the point");
}

int qmp_ask(struct qmp *q, const char *command, const char *arguments, const struct json **ret,
	    struct err *e)
{
	const char *text = arena_printf(q->a, "{\"execute\":\"%s\"%s%s}\n", command,
					arguments ? ",\"arguments\":" : "",
					arguments ? arguments : "");
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (send(q->fd, text, n, MSG_NOSIGNAL) != (ssize_t) n)
		return err_set(e, ERR_CONFLICT, EPIPE, "the machine has ended");
	return answer(q, ret, e);
}

int qmp_event(struct qmp *q, struct err *e)
{
	const struct json *line;
	int r;

	do {
		r = next_line(q, &line, e);
	} while (r == 0 && !json_get(line, "event"));
	return r;
}

int qmp_open(struct qmp *q, int dir_fd, const char *name, nsec_t deadline, struct arena *a,
	     struct err *e)
{
	const struct json *ignored;
	char path[64];
	int r;

	*q = QMP_INIT;
	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
	r = unix_connect(path, SOCK_STREAM, NSEC_PER_SEC);
	if (r == -ECONNREFUSED || r == -ENOENT)
		return err_set(e, ERR_CONFLICT, -r, "the machine is not running");
	if (r < 0)
		return err_sys(e, -r, "connect to QEMU's monitor");
	q->fd = r;
	q->a = a;
	q->deadline = deadline;
	q->in = arena_alloc(a, IN_MAX);
	r = q->in ? qmp_ask(q, "qmp_capabilities", NULL, &ignored, e)
		  : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (r < 0)
		qmp_close(q);
	return r;
}

void qmp_close(struct qmp *q)
{
	close_fd(&q->fd);
}

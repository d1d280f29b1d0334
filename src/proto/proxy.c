/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proxy.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "sys/fdpass.h"

int proxy_send(int sock, const struct proxy_head *h, const char *const *words, const int *fds,
	       size_t fds_n)
{
	auto_buf struct buf bytes = BUF_INIT(sizeof(*h) + PROXY_TEXT_MAX);
	struct proxy_head head = *h;

	head.words_n = 0;
	for (const char *const *w = words; w && *w; w++)
		head.words_n++;
	if (head.words_n > PROXY_WORDS_MAX)
		return -E2BIG;
	buf_add(&bytes, &head, sizeof(head));
	for (; words && *words; words++)
		buf_add(&bytes, *words, strlen(*words) + 1);
	return buf_ok(&bytes) ? fdpass_send(sock, bytes.p, bytes.n, fds, fds_n) : buf_error(&bytes);
}

static int split(struct proxy_message *m, size_t n)
{
	size_t at = 0;

	if (m->head.words_n > PROXY_WORDS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < m->head.words_n; i++) {
		const char *end = memchr(m->text + at, 0, n - at);

		if (!end)
			return -EBADMSG;
		m->words[i] = m->text + at;
		at = (size_t) (end - m->text) + 1;
	}
	m->words[m->head.words_n] = NULL;
	m->head.err.msg[sizeof(m->head.err.msg) - 1] = '\0';
	return at == n ? 1 : -EBADMSG;
}

int proxy_receive(int sock, nsec_t deadline, struct proxy_message *ret_m)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	ssize_t n;
	int r;

	do
		r = poll(&pfd, 1, clock_poll_ms(deadline));
	while ((r < 0 && errno == EINTR) || (r == 0 && clock_mono() < deadline));
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	ret_m->fds_n = 0;
	n = fdpass_recv(sock, ret_m, offsetof(struct proxy_message, words), ret_m->fds,
			PROXY_FDS_MAX, &ret_m->fds_n);
	if (n == -ECONNRESET)
		return 0;
	if (n <= 0)
		return (int) n;
	if ((size_t) n < sizeof(ret_m->head)) {
		proxy_close_fds(ret_m);
		return -EBADMSG;
	}
	r = split(ret_m, (size_t) n - sizeof(ret_m->head));
	if (r < 0)
		proxy_close_fds(ret_m);
	return r;
}

void proxy_close_fds(struct proxy_message *m)
{
	for (size_t i = 0; i < m->fds_n; i++)
		close_fd(&m->fds[i]);
	m->fds_n = 0;
}

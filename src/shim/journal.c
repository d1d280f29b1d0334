/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/journal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/auto.h"
#include "base/buf.h"

#define ENTRY_MAX (64u << 10) /* a part of a line and its fields */
#define SHORT_ID  12

int journal_open(struct journal *j)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0)
		return -errno;
	j->fd = take_fd(&fd);
	return 0;
}

void journal_close(struct journal *j)
{
	close_fd(&j->fd);
}

static void field(struct buf *b, const char *name, struct str value)
{
	buf_adds(b, name);
	if (!memchr(value.p, '\n', value.n)) {
		buf_addc(b, '=');
	} else {
		buf_addc(b, '\n');
		for (unsigned i = 0; i < 64; i += 8)
			buf_addc(b, (char) ((uint64_t) value.n >> i));
	}
	buf_addstr(b, value);
	buf_addc(b, '\n');
}

void journal_add(struct journal *j, enum shim_stream stream, struct str text, bool partial)
{
	auto_buf struct buf b = BUF_INIT(ENTRY_MAX);
	struct str id = str_of(j->id), shorter = { id.p, id.n < SHORT_ID ? id.n : SHORT_ID };
	struct str tag = *j->tag ? str_of(j->tag) : shorter;

	field(&b, "PRIORITY", stream == SHIM_STREAM_STDERR ? STR("3") : STR("6"));
	field(&b, "CONTAINER_ID", shorter);
	field(&b, "CONTAINER_ID_FULL", id);
	field(&b, "CONTAINER_NAME", str_of(j->name));
	field(&b, "IMAGE_NAME", str_of(j->image));
	field(&b, "CONTAINER_TAG", tag);
	field(&b, "SYSLOG_IDENTIFIER", tag);
	if (partial)
		field(&b, "CONTAINER_PARTIAL_MESSAGE", STR("true"));
	field(&b, "MESSAGE", text);
	if (!buf_ok(&b) || send(j->fd, b.p, b.n, MSG_NOSIGNAL) < 0) {
		j->lost++;
		/* The journal was restarted: its socket is a new one. */
		if (errno == ECONNREFUSED || errno == ENOTCONN) {
			close_fd(&j->fd);
			(void) journal_open(j); /* still away: the next line tries again */
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "proto/shares.h"

static void watch(struct fs_control *c);

static void hang_up(struct fs_control_client *k)
{
	loop_remove(&k->source);
	close_fd(&k->fd);
	watch(k->control);
}

static bool name_good(const char *name)
{
	return name[0] && !streq(name, ".") && !streq(name, "..") && !strchr(name, '/') &&
	       strlen(name) <= NAME_MAX;
}

static int add(struct fs_session *s, const struct shares_request *q, int fd)
{
	auto_fd int owned = fd;
	struct stat st;

	if (fd < 0 || !name_good(q->name) || fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
		return -EINVAL;
	return fs_session_add(s, q->name, take_fd(&owned), q->read_only);
}

static void client_ready(struct loop_source *source, uint32_t)
{
	struct fs_control_client *k = LOOP_OWNER(source, struct fs_control_client, source);
	struct shares_request q;
	struct shares_reply a = { .error = 0 };
	int fd = FD_NONE, r = shares_receive(k->fd, &q, &fd);

	if (r <= 0) {
		hang_up(k);
		return;
	}
	if (q.type == SHARES_ADD) {
		a.error = add(k->control->session, &q, take_fd(&fd));
	} else {
		close_fd(&fd);
		a.error = fs_session_remove(k->control->session, q.name);
	}
	/* Who does not read its answers has gone. */
	if (send(k->fd, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t) sizeof(a))
		hang_up(k);
}

static struct fs_control_client *free_client(struct fs_control *c)
{
	for (size_t i = 0; i < FS_CONTROL_CLIENTS; i++)
		if (c->clients[i].fd < 0)
			return &c->clients[i];
	return NULL;
}

static void accept_one(struct loop_source *source, uint32_t)
{
	struct fs_control *c = LOOP_OWNER(source, struct fs_control, listener);
	struct fs_control_client *k = free_client(c);
	int fd = k ? accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd >= 0) {
		k->fd = fd;
		if (loop_add(c->loop, &k->source, fd, EPOLLIN, client_ready) < 0)
			close_fd(&k->fd);
	}
	watch(c);
}

/* As long as there is room for one who comes. */
static void watch(struct fs_control *c)
{
	if (!free_client(c))
		loop_remove(&c->listener);
	else if (!c->listener.loop)
		(void) loop_add(c->loop, &c->listener, c->listen_fd, EPOLLIN, accept_one);
}

int fs_control_start(struct fs_control *c, struct loop *l, struct fs_session *s, int listen_fd,
		     struct err *e)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	*c = (struct fs_control){
		.loop = l, .session = s, .listen_fd = listen_fd, .listener = { .fd = FD_NONE }
	};
	for (size_t i = 0; i < FS_CONTROL_CLIENTS; i++)
		c->clients[i] = (struct fs_control_client){ .control = c,
							    .source = { .fd = FD_NONE },
							    .fd = FD_NONE };
	if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens)
		return err_set(e, ERR_INVALID, EINVAL, "--control: no socket that listens");
	if (fcntl(listen_fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_sys(e, errno, "--control");
	watch(c);
	return c->listener.loop ? 0 : err_sys(e, ENOMEM, "--control: listen");
}

void fs_control_fini(struct fs_control *c)
{
	if (!c->loop)
		return;
	loop_remove(&c->listener);
	for (size_t i = 0; i < FS_CONTROL_CLIENTS; i++) {
		loop_remove(&c->clients[i].source);
		close_fd(&c->clients[i].fd);
	}
	c->loop = NULL;
}

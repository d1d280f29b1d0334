/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/auto.h"
#include "base/str.h"

#define NAME_LEN_MAX 64 /* of the last component, in a path through a descriptor */

/* Where to connect to; *ret_dir must stay open until then. */
static int address(const char *path, struct sockaddr_un *ret_at, socklen_t *ret_n, int *ret_dir)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');

	*ret_n = sizeof(at);
	if (path[0] == '@' && strlen(path) <= sizeof(at.sun_path)) {
		memcpy(at.sun_path + 1, path + 1, strlen(path + 1));
		*ret_n = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
	} else if (strlen(path) < sizeof(at.sun_path)) {
		(void) snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	} else if (slash && strlen(slash) < NAME_LEN_MAX) {
		auto_free char *parent = str_dup((struct str){ path, (size_t) (slash - path) });

		*ret_dir = parent ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : FD_NONE;
		if (*ret_dir < 0)
			return parent ? -errno : -ENOMEM;
		(void) snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d%s", *ret_dir,
				slash);
	} else {
		return -ENAMETOOLONG;
	}
	*ret_at = at;
	return 0;
}

int unix_connect(const char *path, int type, nsec_t within)
{
	struct timeval limit = { .tv_sec = within / NSEC_PER_SEC,
				 .tv_usec = within % NSEC_PER_SEC / 1000 };
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	auto_fd int dir = FD_NONE;
	struct sockaddr_un at;
	socklen_t n = 0;
	int r;

	if (fd < 0)
		return -errno;
	r = address(path, &at, &n, &dir);
	if (r < 0)
		return r;
	if (within && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *) (const void *) &at, n) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return take_fd(&fd);
}

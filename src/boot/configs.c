/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/configs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"

#define PREFIX "config-"

void configs_fini(struct configs *c)
{
	for (size_t i = 0; i < c->n; i++)
		close_fd(&c->fds[i]);
	free(c->fds);
	free(c->v);
	*c = CONFIGS_INIT;
}

/* Takes the descriptor. */
static int add(struct configs *c, struct str version, int fd)
{
	struct config *v = reallocarray(c->v, c->n + 1, sizeof(*v));
	int *fds = v ? reallocarray(c->fds, c->n + 1, sizeof(*fds)) : NULL;

	c->v = v ? v : c->v;
	if (!fds) {
		(void) close(fd);
		return -ENOMEM;
	}
	c->fds = fds;
	c->fds[c->n] = fd;
	(void) snprintf(c->v[c->n++].version, KERNEL_VERSION_MAX, "%.*s", (int) version.n,
			version.p);
	return 0;
}

int configs_open(const char *dir, struct configs *ret)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, dir);
	struct dirent *entry;
	int r = 0;

	while (d && r == 0 && (entry = dir_next(d))) {
		struct str name = str_of(entry->d_name);
		const size_t n = sizeof(PREFIX) - 1;

		if (!str_starts(name, PREFIX))
			continue;
		name = (struct str){ name.p + n, name.n - n };
		if (!kernel_version_ok(name))
			continue;
		int fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			r = add(ret, name, fd);
	}
	return r;
}

int configs_read(const struct configs *c, const char *version, struct buf *ret)
{
	for (size_t i = 0; i < c->n; i++)
		if (streq(c->v[i].version, version))
			return fd_read_all(c->fds[i], ret);
	return -ENOENT;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"

int output_open(struct output *o, const char *path, struct err *e)
{
	struct stat st;

	if (!path || streq(path, "-")) {
		if (cli_is_tty(STDOUT_FILENO))
			return err_set(
				e, ERR_INVALID, EINVAL,
				"refusing to write an archive to a terminal: use -o FILE, or "
				"redirect");
		o->fd = STDOUT_FILENO;
		return 0;
	}
	o->path = path;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return o->fd < 0 ? err_sys(e, errno, "open '%s'", path) : 0;
	}
	if ((size_t) snprintf(o->temporary, sizeof(o->temporary), "%s.%d.tmp", path,
			      (int) getpid()) >= sizeof(o->temporary))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "'%.60s...': the path is too long",
			       path);
	o->fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (o->fd < 0) {
		int sys = errno;

		o->temporary[0] = 0;
		return err_sys(e, sys, "create '%s'", path);
	}
	return 0;
}

int output_commit(struct output *o, struct err *e)
{
	if (!o->temporary[0])
		return 0;
	if (rename(o->temporary, o->path) < 0)
		return err_sys(e, errno, "rename to '%s'", o->path);
	o->temporary[0] = 0;
	return 0;
}

void output_fini(struct output *o)
{
	if (o->temporary[0])
		(void) unlink(o->temporary);
	if (o->path)
		close_fd(&o->fd);
}

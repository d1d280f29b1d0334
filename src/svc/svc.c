/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/svc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/auto.h"

int svc_init(struct svc *s, const char *root, const char *state,
	     void (*notice)(struct svc *s, const char *text), struct err *e)
{
	int r;

	*s = (struct svc){ .notice = notice };
	r = paths_init(&s->paths, root, state, e);
	/* Where engines look for what lasts: the kernels of machines. */
	if (r == 0 && setenv("ATOLL_ROOT", s->paths.root, 1) < 0)
		r = err_sys(e, errno, "setenv");
	return r;
}

int svc_store(struct svc *s, struct err *e)
{
	return s->store ? 0 : store_open(&s->paths, &s->store, e);
}

void svc_notice(struct svc *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!s->notice)
		return;
	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(text), fmt, ap); /* cut when longer: it is for reading */
	va_end(ap);
	s->notice(s, text);
}

int svc_hold(const char *dir, bool alone, int *ret_fd, struct err *e)
{
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open '%s'", dir);
	while (flock(fd, alone ? LOCK_EX : LOCK_SH) < 0) {
		if (errno != EINTR)
			return err_sys(e, errno, "wait for '%s'", dir);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

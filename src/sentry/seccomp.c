/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/seccomp.h"

#include <errno.h>
#include <linux/filter.h>

#include "base/auto.h"
#include "base/file.h"
#include "kernel/task/seccomp.h"

#define ONE sizeof(struct sock_filter)

int seccomp_read(int fd, struct buf *ret_program, struct err *e)
{
	int r;

	*ret_program = BUF_INIT(BPF_MAXINSNS * ONE);
	if (fd < 0)
		return 0;
	r = fd_read_all(fd, ret_program);
	if (r < 0)
		return err_sys(e, -r, "--seccomp: read the program");
	if (ret_program->n == 0 || ret_program->n % ONE)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--seccomp: %zu bytes are no program of instructions of %zu bytes",
			       ret_program->n, ONE);
	return 0;
}

int seccomp_fits(const struct spec *s, const struct buf *program, struct err *e)
{
	const struct spec_seccomp *c = s->linux_.seccomp;

	if (c && c->listener_path)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: a sandbox has no linux.seccomp.listenerPath");
	if (c && program->n == 0)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "config.json: a sandbox has no linux.seccomp that was not compiled: "
			       "give its program by --seccomp");
	return 0;
}

int seccomp_chain(const struct buf *program, struct seccomp_filter **ret, struct err *e)
{
	const void *code = program->p;
	int r = 0;

	*ret = NULL;
	if (program->n > 0)
		r = seccomp_filter_of(code, (uint32_t) (program->n / ONE), NULL, ret);
	if (r == -EINVAL)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--seccomp: this is no program that seccomp(2) would run");
	return r < 0 ? err_sys(e, -r, "--seccomp: install the program") : 0;
}

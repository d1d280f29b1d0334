/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/trace.h"

#include <errno.h>

#include "base/auto.h"
#include "svc/heal.h"
#include "svc/running.h"

static int not_ours(const struct workload_record *w, struct err *e)
{
	if (streq(w->isolation, "microvm"))
		return err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"unsupported: the calls of workload '%s' go to the Linux kernel of its "
			"machine: run strace in it (atoll exec), or run it with "
			"--isolation=sandbox",
			w->name);
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "unsupported: the calls of workload '%s' go to this machine's kernel: use "
		       "strace -f -p with a PID of 'atoll top %s', or run it with "
		       "--isolation=sandbox",
		       w->name, w->name);
}

/* Its engine, and its state directory or FD_NONE. */
static int find(struct svc *s, const char *ref, struct arena *a, struct workload_record *w,
		const struct engine_ops **ret_ops, int *ret_state, struct err *e)
{
	const struct engine_ops *ops;
	int fd;

	if (svc_store(s, e) < 0 || heal_find(s, ref, a, w, e) < 0)
		return -1;
	ops = engine_find(w->isolation);
	if (!ops || !ops->trace || !ops->refused)
		return not_ours(w, e);
	fd = running_state_dir(s, w->id);
	if (fd < 0 && fd != -ENOENT)
		return err_sys(e, -fd, "open the run directory of workload '%s'", w->name);
	*ret_state = fd < 0 ? FD_NONE : fd;
	*ret_ops = ops;
	return 0;
}

int trace_open(struct svc *s, const char *ref, const struct engine_trace *t, int *ret_fd,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct engine_ops *ops;
	auto_fd int state = FD_NONE;
	struct workload_record w;

	if (find(s, ref, &a, &w, &ops, &state, e) < 0)
		return -1;
	if (w.status.state == WORKLOAD_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "workload '%s' is paused, with the kernel that tells of its calls: "
			       "unpause it first",
			       w.name);
	if (state < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "workload '%s' is not running", w.name);
	return ops->trace(state, t, ret_fd, e) < 0 ? err_ctx(e, "trace workload '%s'", w.name) : 0;
}

int trace_refused(struct svc *s, const char *ref, struct arena *a, struct engine_refusals *ret,
		  struct err *e)
{
	const struct engine_ops *ops;
	auto_fd int state = FD_NONE;
	struct workload_record w;

	if (find(s, ref, a, &w, &ops, &state, e) < 0)
		return -1;
	if (state < 0)
		return err_set(
			e, ERR_NOT_FOUND, ENOENT,
			"nothing is known of the calls of workload '%s': it never ran, or this "
			"machine was started again since",
			w.name);
	return ops->refused(state, a, ret, e) < 0 ? err_ctx(e, "the calls of workload '%s'", w.name)
						  : 0;
}

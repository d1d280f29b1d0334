/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/exec.h"

#include <errno.h>

#include "base/auto.h"
#include "svc/running.h"

#define EXIT_CANNOT 125

int exec_start(struct svc *s, const char *ref, const struct exec_options *o,
	       struct shim_conn *ret_conn, pid_t *ret_pid, int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_buf struct buf process = BUF_INIT(4u << 20);
	struct shim_msg m = shim_msg_of(SHIM_EXEC);
	char id[WORKLOAD_ID_MAX];
	int r;

	*ret_exit_code = EXIT_CANNOT;
	if (running_find(s, ref, id, &conn, e) < 0 ||
	    plan_exec_write(s, id, &o->what, &a, &process, e) < 0)
		return -1;
	if (!buf_ok(&process))
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "the command and its environment are too long");
	m.exec.process = buf_z(&process);
	m.exec.stdin_open = o->stdin_open;
	m.exec.detach = o->detach;
	m.exec.rows = o->rows;
	m.exec.cols = o->cols;
	for (size_t i = 0; i < ARRAY_SIZE(m.exec.sink); i++)
		m.exec.sink[i] = o->sink[i];
	r = shim_send(conn.fd, &m);
	if (r == -EMSGSIZE)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "the command and its environment are longer than %u bytes",
			       SHIM_MESSAGE_MAX);
	if (r >= 0)
		r = shim_recv(conn.fd, &a, &m);
	if (r <= 0)
		return err_set(e, ERR_CONFLICT, 0, "workload '%s' has just ended", ref);
	if (m.type == SHIM_ERROR) {
		*ret_exit_code = (int) m.error.exit_code;
		return err_set(e, (enum err_kind) m.error.kind, (int) m.error.sys, "%s",
			       m.error.message);
	}
	*ret_pid = (pid_t) m.started.pid;
	if (o->detach)
		return 0; /* *ret_conn stays as it is */
	conn.session = true;
	*ret_conn = conn;
	conn = SHIM_CONN_NONE;
	return 0;
}

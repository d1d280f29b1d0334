/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a running workload: one struct exec_session each, until its streams are
 * delivered. They are the shim's children, so their exit status comes to its reaper. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "fmt/json.h"
#include "shim/shim.h"
#include "sys/pidfd.h"
#include "sys/pty.h"

#define EXIT_CANNOT	  125
#define PROCESS_ARENA_MAX (4u << 20)
#define EVENTS_WITHIN	  (500 * NSEC_PER_MSEC) /* nobody waits for an exec's events */

struct exec_session *exec_new(struct shim *s)
{
	struct exec_session *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->shim = s;
	x->pidfd = FD_NONE;
	x->output_fd = FD_NONE;
	x->output.fd = FD_NONE;
	x->next = s->execs;
	s->execs = x;
	return x;
}

void exec_free(struct exec_session *x)
{
	for (struct exec_session **p = &x->shim->execs; *p; p = &(*p)->next)
		if (*p == x) {
			*p = x->next;
			break;
		}
	if (x->io.loop)
		streams_fini(&x->io);
	loop_timer_cancel(&x->timeout);
	loop_remove(&x->output);
	close_fd(&x->output_fd);
	close_fd(&x->pidfd);
	buf_fini(&x->text);
	free(x);
}

static void delivered(struct streams *io)
{
	struct exec_session *x = LOOP_OWNER(io, struct exec_session, io);

	clients_exec_ended(x);
	exec_free(x);
}

static int decode_process(struct arena *a, const char *text, const struct spec_process **ret_p,
			  struct err *e)
{
	const struct json *root;

	if (json_parse(a, str_of(text), &root, e) < 0 || spec_process_decode(a, root, ret_p, e) < 0)
		return err_ctx(e, "process");
	return 0;
}

/* Detached: nobody listens. Else a pipe of the caller's is given on as it is. */
static int make_ends(struct shim_exec *x, struct ends ret[static 3])
{
	int r = 0;

	for (int i = 0; r >= 0 && i < 3; i++) {
		if (x->detach || (i == 0 && !x->stdin_open))
			r = ends_null(&ret[i]);
		else if (ends_is_pipe(x->sink[i]))
			r = ends_straight(&x->sink[i], &ret[i]);
		else
			r = ends_pipe(&ret[i], i == 0);
	}
	return r;
}

static int run(struct exec_session *x, const struct spec_process *p, const struct ends *ends,
	       struct exec *ret, struct err *e)
{
	auto_fd int cache = life_cache(x->shim);
	struct exec_spec spec = { .process = p,
				  .cache_fd = cache,
				  .stdio = { ends[0].theirs, ends[1].theirs, ends[2].theirs },
				  .console_socket = FD_NONE,
				  .seccomp = x->shim->spec->linux_.seccomp,
				  .personality_set = x->shim->spec->linux_.personality_set,
				  .personality = x->shim->spec->linux_.personality };
	int r;

	*ret = (struct exec){ .pidfd = FD_NONE, .console_fd = FD_NONE };
	guard_drop(x->shim);
	r = engine_exec(x->shim->in, &spec, ret, e);
	guard_raise(x->shim);
	return r;
}

int exec_begin(struct shim *s, struct shim_exec *o, struct exec_session **ret_x, int *ret_exit_code,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(PROCESS_ARENA_MAX);
	const struct spec_process *p;
	struct ends ends[3] = ENDS_INIT;
	struct exec_session *x;
	struct exec got;
	int r = 0;

	*ret_exit_code = EXIT_CANNOT;
	if (decode_process(&a, o->process, &p, e) < 0)
		return -1;
	x = exec_new(s);
	if (!x)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for another process");
	streams_init(&x->io, &s->loop, NULL, delivered);
	if (!p->terminal)
		r = make_ends(o, ends);
	if (r < 0) {
		(void) err_sys(e, -r, "pipes for the process's streams");
		goto fail;
	}
	if (run(x, p, ends, &got, e) < 0) {
		*ret_exit_code = ends_exit_code(e);
		goto fail;
	}
	x->pid = got.pid;
	x->pidfd = got.pidfd;
	r = p->terminal ? ends_take_console(got.console_fd, &x->io, true, (unsigned) o->rows,
					    (unsigned) o->cols)
			: ends_take(ends, &x->io, true);
	ends_fini(ends);
	if (r < 0) { /* it runs: all that can be done is to end it */
		log_warn("streams of an exec are lost: errno=%d id=%s", -r, s->c.id);
		(void) pidfd_kill(x->pidfd, SIGKILL); /* it may have ended */
	}
	streams_sinks(&x->io, o->sink);
	for (size_t i = 0; i < ARRAY_SIZE(o->sink); i++)
		o->sink[i] = FD_NONE;
	record_pids(s);
	record_change(s, "exec_start", 0);
	record_write(s, EVENTS_WITHIN);
	*ret_x = x;
	return 0;
fail:
	ends_fini(ends);
	exec_free(x);
	return -1;
}

bool exec_ended(struct shim *s, pid_t pid, int code)
{
	char text[16];

	for (struct exec_session *x = s->execs; x; x = x->next) {
		if (x->pid != pid || x->ended)
			continue;
		x->ended = true;
		x->how = (struct shim_exited){ .code = (uint64_t) code & 0xff };
		record_pids(s);
		if (x->is_check) {
			check_ended(x);
			return true;
		}
		(void) snprintf(text, sizeof(text), "%d", code);
		record_event(s, "exec_die", "exitCode", text);
		record_write(s, EVENTS_WITHIN);
		streams_finish(&x->io);
		return true;
	}
	return false;
}

int exec_signal(struct exec_session *x, int signo, struct err *e)
{
	int r = x->ended ? -ESRCH : pidfd_kill(x->pidfd, signo);

	return r < 0 ? err_sys(e, -r, "signal %d to the process", signo) : 0;
}

int exec_resize(struct exec_session *x, unsigned rows, unsigned cols, struct err *e)
{
	int r = x->io.in.fd >= 0 && x->io.in.tty ? pty_resize(x->io.in.fd, rows, cols) : -ENOTTY;

	return r < 0 ? err_sys(e, -r, "resize the terminal") : 0;
}

void exec_client_gone(struct exec_session *x)
{
	x->client = NULL; /* the process goes on; what it writes is read and dropped */
}

void exec_fini(struct shim *s)
{
	while (s->execs)
		exec_free(s->execs);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Running health checks: an exec whose first bytes of output are kept; what its results add up to
 * is health.c's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"
#include "shim/shim.h"
#include "sys/pidfd.h"

static void check_due(struct loop_timer *t);

static void schedule(struct shim *s)
{
	loop_timer_set(&s->loop, &s->health_timer,
		       clock_deadline(health_wait(&s->health, clock_mono())), check_due);
}

/* A result, from a check's process or from the failure to start one. Takes text. */
static void result(struct shim *s, nsec_t start, int code, char *text)
{
	struct health_result r = {
		.start = start, .end = clock_wall(), .code = code, .output = text
	};
	char action[64];

	if (health_checked(&s->health, &r, clock_mono())) {
		s->record.status.health = s->health.status;
		(void) snprintf(action, sizeof(action), "health_status: %s",
				workload_health_name(s->health.status));
		record_change(s, action, 0);
	} else {
		record_change(s, NULL, 0); /* its log */
	}
	record_write(s, 0);
	schedule(s);
}

/* What is in the pipe; the rest of a long text is read and dropped. */
static bool read_some(struct exec_session *x)
{
	char chunk[1024];
	ssize_t n = read(x->output_fd, chunk, sizeof(chunk));
	size_t room = HEALTH_OUTPUT_MAX - x->text.n;

	if (n > 0)
		buf_add(&x->text, chunk, (size_t) n < room ? (size_t) n : room);
	return n > 0;
}

static void output_ready(struct loop_source *ls, uint32_t)
{
	struct exec_session *x = LOOP_OWNER(ls, struct exec_session, output);

	if (!read_some(x) && errno != EAGAIN)
		loop_remove(ls);
}

void check_ended(struct exec_session *x)
{
	struct shim *s = x->shim;
	int code = (int) x->how.code;
	nsec_t start = x->start;
	bool current = s->check == x;
	char *text;

	while (read_some(x))
		if (x->text.n >= HEALTH_OUTPUT_MAX)
			break;
	if (x->timed_out) {
		char limit[CLOCK_DURATION_MAX];

		code = -1;
		clock_duration(s->health.timeout, limit);
		buf_clear(&x->text);
		buf_addf(&x->text, "Health check exceeded timeout (%s)", limit);
	}
	text = buf_take(&x->text);
	exec_free(x);
	if (current) {
		s->check = NULL;
		result(s, start, code, text);
	} else { /* the workload ended first */
		free(text);
	}
}

static void overdue(struct loop_timer *t)
{
	struct exec_session *x = LOOP_OWNER(t, struct exec_session, timeout);

	x->timed_out = true;
	(void) pidfd_kill(x->pidfd, SIGKILL); /* it may just have ended */
}

static int start_check(struct exec_session *x, struct err *e)
{
	struct shim *s = x->shim;
	struct spec_process process = *s->spec->process;
	auto_fd int cache = life_cache(s);
	struct exec_spec spec = { .process = &process,
				  .cache_fd = cache,
				  .console_socket = FD_NONE,
				  .seccomp = s->spec->linux_.seccomp };
	struct exec got = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	struct ends ends[3] = ENDS_INIT;
	int r;

	process.args = s->c.health.test.v;
	process.args_n = s->c.health.test.n;
	process.terminal = false;
	r = ends_null(&ends[0]);
	if (r >= 0)
		r = ends_pipe(&ends[1], false);
	if (r >= 0)
		r = loop_add(&s->loop, &x->output, ends[1].ours, EPOLLIN, output_ready);
	if (r < 0) {
		ends_fini(ends);
		return err_sys(e, -r, "pipes for a health check");
	}
	x->output_fd = take_fd(&ends[1].ours);
	spec.stdio[0] = ends[0].theirs;
	spec.stdio[1] = spec.stdio[2] = ends[1].theirs;
	guard_drop(s);
	r = engine_exec(s->in, &spec, &got, e);
	guard_raise(s);
	ends_fini(ends);
	if (r < 0)
		return r;
	x->pid = got.pid;
	x->pidfd = got.pidfd;
	loop_timer_set(&s->loop, &x->timeout, clock_deadline(s->health.timeout), overdue);
	record_pids(s);
	return 0;
}

static void check_due(struct loop_timer *t)
{
	struct shim *s = LOOP_OWNER(t, struct shim, health_timer);
	struct exec_session *x;
	struct err e = {};

	if (!life_running(s))
		return;
	x = s->in->state == ENGINE_PAUSED ? NULL : exec_new(s);
	if (!x) { /* frozen, or no memory now: neither is the workload's failure */
		schedule(s);
		return;
	}
	x->is_check = true;
	x->start = clock_wall();
	x->text = BUF_INIT(HEALTH_OUTPUT_MAX);
	if (start_check(x, &e) == 0) {
		s->check = x;
		return;
	}
	exec_free(x);
	result(s, clock_wall(), -1, str_dup(str_of(e.msg)));
}

void checks_begin(struct shim *s)
{
	if (s->health.status != HEALTH_NONE)
		schedule(s);
}

void checks_stop(struct shim *s)
{
	loop_timer_cancel(&s->health_timer);
	s->check = NULL; /* its process ends with the workload; its result is nobody's */
}

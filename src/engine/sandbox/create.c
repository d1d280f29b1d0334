/* SPDX-License-Identifier: Apache-2.0 */
/* Create and start: what is prepared on the host, the program, and what it is asked for. */
#include <errno.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/making.h"
#include "engine/sandbox/member.h"
#include "engine/sandbox/pod.h"
#include "engine/sandbox/program.h"
#include "sys/process.h"

#define START_WITHIN (60 * NSEC_PER_SEC)

int sandbox_hooks(struct sandbox *s, enum spec_hook_kind kind, const char *status, int cwd_fd,
		  struct err *e)
{
	return hooked_run(&s->hooked, s->spec, kind, status, s->in.pid, cwd_fd, e);
}

/* What it gets besides, and who serves it a network. */
static int open_files(struct making *k, struct err *e)
{
	int r = making_files(k, e);

	r = r < 0 ? r : (k->end_fd = making_open(k, SANDBOX_END, e));
	r = r < 0 ? r : (k->control_fd = control_listen(k->s->kernel_fd, e));
	return r < 0 ? r
		     : sandbox_network_start(&k->network, k->s->spec, k->s->groups, k->log_fd,
					     &k->broker_fd, &k->s->broker_pidfd, e);
}

static int start_program(struct making *k, struct err *e)
{
	struct sandbox *s = k->s;
	struct program p = { .root_fd = k->shares.root ? FD_NONE : k->b->root_disk_fd,
			     .gofer_fd = k->gofer_fd,
			     .broker_fd = k->broker_fd,
			     .strict = k->network.strict,
			     .netns_fd = k->network.netns_fd,
			     .shares = &k->shares,
			     .config_fd = k->config_fd,
			     .seccomp_fd = k->seccomp_fd,
			     .restore_fd = k->restore_fd,
			     .control_fd = k->control_fd,
			     .log_fd = k->log_fd,
			     .end_fd = k->end_fd };

	for (size_t i = 0; i < ARRAY_SIZE(p.stdio); i++)
		p.stdio[i] = making_stream(k, i);
	return program_start(&p, s->groups, &s->in.pid, &s->in.pidfd, &s->creator_fd, e);
}

/* Until it answers all is made but for the start, or it has said what cannot be made. */
static int await(struct making *k, nsec_t deadline, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sentry_request(SENTRY_STATS);
	struct sentry_reply answer;
	int r = control_ask(k->s, &q, deadline, &a, &answer, e);

	if (r < 0 && e->kind == ERR_CONFLICT && !sandbox_failure(k->s, e))
		(void) err_set(e, ERR_EXHAUSTED, ECHILD,
			       "the sandbox's kernel was killed while it was set up");
	return r;
}

static int begin(struct making *k, nsec_t deadline, struct err *e)
{
	struct sandbox *s = k->s;
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	int r = start_program(k, e);

	/* Its alone: when it has gone, who connects is told so. */
	close_fd(&k->control_fd);
	close_fd(&k->gofer_fd);
	close_fd(&k->broker_fd);
	close_fd(&k->terminal.slave);
	if (r < 0)
		return r;
	groups_arrived(s->groups);
	r = process_ident_fd(s->in.pidfd, s->in.pid, &s->ident, &kind);
	if (r < 0)
		return err_set(e, ERR_INTERNAL, ESRCH, "the sandbox's kernel has ended");
	r = sandbox_hooks(s, SPEC_HOOK_PRESTART, "creating", k->b->bundle_fd, e);
	r = r < 0 ? r : sandbox_hooks(s, SPEC_HOOK_CREATE_RUNTIME, "creating", k->b->bundle_fd, e);
	r = r < 0 ? r : sandbox_network_plug(&k->network, s, k->log_fd, e);
	/* Until now it was in the namespace that hooks are to find, and in no jail. */
	r = r < 0 ? r : program_begin(s->creator_fd, k->b->bound, e);
	if (!k->b->bound)
		close_fd(&s->creator_fd);
	return r < 0 ? r : await(k, deadline, e);
}

static int make(struct making *k, nsec_t deadline, struct err *e)
{
	struct sandbox *s = k->s;
	int r = shares_open(&k->shares, &s->arena, k->b, k->pod.role, k->b->root_disk_fd <= 0, e);

	r = r < 0 ? r : sandbox_network_open(&k->network, s->spec, k->pod.role, e);
	r = r < 0 ? r : hooked_begin(&s->hooked, &s->arena, s->id, k->b, e);
	if (k->pod.role != POD_NONE)
		r = r < 0 ? r : sandbox_pod_enter(s, &k->pod, deadline, &k->lock_fd, e);
	r = r < 0 ? r : making_groups(k, e);
	r = r < 0 ? r : making_config(k, e);
	r = r < 0 ? r : making_filter(k, e);
	r = r < 0 ? r : open_files(k, e);
	r = r < 0 ? r : begin(k, deadline, e);
	if (r == 0 && k->pod.role != POD_NONE)
		r = sandbox_pod_tell(s, e);
	if (r == 0 && s->spec->process->terminal)
		r = terminal_give(&k->terminal, k->b->console_socket, &s->in.console_fd, e);
	return r < 0 ? r : pid_file_write(k->b->pid_file, s->in.pid, e);
}

int sandbox_create_from(struct instance *in, const struct bundle *b, int restore_fd,
			nsec_t deadline, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct making k;
	int r = making_init(&k, in, b);

	if (r < 0)
		return err_sys(e, -r, "create a sandbox");
	k.restore_fd = restore_fd;
	r = making_state(&k, e);
	r = r < 0 ? r : sandbox_pod_find(s, b, &k.pod, e);
	if (r == 0 && restore_fd >= 0 && k.pod.role != POD_NONE)
		r = err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			    "a sandbox's pod cannot go on from a checkpoint");
	if (r == 0)
		r = s->joins ? member_make(&k, deadline, e) : make(&k, deadline, e);
	making_fini(&k);
	if (r == 0)
		s->hooked.poststop_due = s->spec->hooks[SPEC_HOOK_POSTSTOP].n != 0;
	return r; /* engine_create destroys what there is */
}

int sandbox_create(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e)
{
	return sandbox_create_from(in, b, FD_NONE, deadline, e);
}

int sandbox_start(struct instance *in, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sandbox_request(s, SENTRY_START);
	struct sentry_reply answer;
	int r = control_ask(s, &q, clock_deadline(START_WITHIN), &a, &answer, e);

	if (r < 0) {
		(void) sandbox_failure(s, e); /* it knows better why */
		return err_ctx(e, "unable to start container process");
	}
	close_fd(&s->creator_fd);
	return sandbox_hooks(s, SPEC_HOOK_POSTSTART, "running", FD_NONE, e);
}

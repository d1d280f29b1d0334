/* SPDX-License-Identifier: Apache-2.0 */
/* Create and start: what is prepared on the host, the program, and what it is asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/container/seccomp.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/files.h"
#include "engine/sandbox/gofer.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/network.h"
#include "engine/sandbox/program.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/shares.h"
#include "engine/sandbox/terminal.h"
#include "fmt/json.h"
#include "sys/process.h"

#define ARENA_MAX    (64u << 20)
#define START_WITHIN (60 * NSEC_PER_SEC)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* What a create holds besides the instance. */
struct making {
	struct sandbox *s;
	const struct bundle *b;
	struct program program;
	struct terminal terminal;
	struct shares shares;
	int gofer_fd, broker_fd, config_fd, seccomp_fd, control_fd, log_fd, end_fd; /* owned */
};

static void making_fini(struct making *k)
{
	terminal_fini(&k->terminal);
	shares_close(&k->shares);
	close_fd(&k->gofer_fd);
	close_fd(&k->broker_fd);
	close_fd(&k->config_fd);
	close_fd(&k->seccomp_fd);
	close_fd(&k->control_fd);
	close_fd(&k->log_fd);
	close_fd(&k->end_fd);
}

/* Limits that nobody would enforce are refused, not forgotten; its memory is its own limit. */
static int make_groups(struct sandbox *s, const struct bundle *b, struct err *e)
{
	struct spec_resources *host = inside_host_part(&s->arena, s->spec);
	struct groups_options o = {
		.id = s->id,
		.path = s->spec->linux_.cgroups_path,
		.resources = host,
		.systemd = b->systemd_cgroup,
		.spec = s->spec,
		.state_fd = s->state_fd,
		.rootless = b->rootless,
	};
	int r;

	if (!host)
		return no_memory(e);
	if (b->no_cgroups)
		host->memory = NULL;
	if (b->no_cgroups && groups_needed(host))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.resources: limits need a cgroup, and --cgroup-manager "
			       "disabled leaves the sandbox without one");
	r = b->no_cgroups ? groups_none(&s->groups, e) : groups_make(&o, &s->groups, e);
	if (r < 0 && e->kind == ERR_DENIED && groups_tolerant(b->rootless) && host->memory) {
		host->memory = NULL;
		r = groups_make(&o, &s->groups, e);
	}
	/* Before anything runs in there: whoever cleans up after us finds it. */
	return r < 0 ? r : groups_save(s->groups, s->state_fd, e);
}

static int read_config(struct sandbox *s, const struct bundle *b, const struct json **ret_root,
		       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const char *path = b->config_path ? b->config_path : "config.json";
	int r = file_read(b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD, path, &text);

	return r < 0 ? err_sys(e, -r, "read '%.200s'", path)
		     : json_parse(&s->arena, buf_str(&text), ret_root, e);
}

/* A file of these bytes, to be read from its beginning. Gives. */
static int file_of(const void *bytes, size_t n, struct err *e)
{
	auto_fd int fd = memfd_create("atoll-spec", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_all(fd, bytes, n);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "write the sandbox's specification") : take_fd(&fd);
}

static int write_config(struct making *k, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *given = NULL;
	int r = read_config(k->s, k->b, &given, e);

	if (r < 0)
		return r;
	inside_config(&text, k->s->spec, given);
	r = buf_ok(&text) ? file_of(text.p, text.n, e)
			  : err_sys(e, -buf_error(&text), "write the sandbox's specification");
	k->config_fd = r < 0 ? FD_NONE : r;
	return r < 0 ? r : 0;
}

/* linux.seccomp judges what is called inside; of the host's calls the workload makes none. */
static int compile_filter(struct making *k, struct err *e)
{
	const struct spec_seccomp *filter = k->s->spec->linux_.seccomp;
	struct sock_fprog program = {};
	unsigned flags;
	int r = filter ? seccomp_compile(&k->s->arena, k->b->cache_fd, filter, &program, &flags, e)
		       : 0;

	if (r == 0 && program.len) {
		r = file_of(program.filter, program.len * sizeof(*program.filter), e);
		k->seccomp_fd = r < 0 ? FD_NONE : r;
	}
	return r < 0 ? r : 0;
}

int sandbox_hooks(struct sandbox *s, enum spec_hook_kind kind, const char *status, int cwd_fd,
		  struct err *e)
{
	return hooked_run(&s->hooked, s->spec, kind, status, s->in.pid, cwd_fd, e);
}

static int open_file(const struct sandbox *s, const char *name, struct err *e)
{
	int fd = openat(s->state_fd, name,
			O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(e, errno, "open '%s'", name) : fd;
}

/* The files that it gets, who serves it others and a network, and its streams. */
static int open_files(struct making *k, struct err *e)
{
	struct program *p = &k->program;
	pid_t gofer = 0;
	int r = k->log_fd = open_file(k->s, SANDBOX_LOG, e);

	r = r < 0 ? r : (k->end_fd = open_file(k->s, SANDBOX_END, e));
	r = r < 0 ? r : (k->control_fd = control_listen(k->s->state_fd, e));
	if (r >= 0 && k->shares.n)
		r = gofer_start(&k->shares, k->s->groups, k->log_fd, &k->gofer_fd, &gofer,
				&k->s->gofer_pidfd, e);
	if (r >= 0 && k->shares.n)
		r = files_save(k->s, &k->shares, gofer, e);
	if (r >= 0)
		r = network_start(k->s->spec, k->s->groups, k->log_fd, &k->broker_fd,
				  &k->s->broker_pidfd, e);
	if (r >= 0 && k->s->spec->process->terminal)
		r = terminal_open(&k->terminal, k->s->spec->process, e);
	if (r < 0)
		return r;
	*p = (struct program){ .root_fd = k->shares.root ? FD_NONE : k->b->root_disk_fd,
			       .gofer_fd = k->gofer_fd,
			       .broker_fd = k->broker_fd,
			       .shares = &k->shares,
			       .config_fd = k->config_fd,
			       .seccomp_fd = k->seccomp_fd,
			       .control_fd = k->control_fd,
			       .log_fd = k->log_fd,
			       .end_fd = k->end_fd,
			       .bound = k->b->bound };
	for (size_t i = 0; i < ARRAY_SIZE(p->stdio); i++)
		p->stdio[i] = k->s->spec->process->terminal ? k->terminal.slave : k->b->stdio[i];
	return 0;
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
	int r = program_start(&k->program, s->groups, &s->in.pid, &s->in.pidfd, &s->creator_fd, e);

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
	return r < 0 ? r : await(k, deadline, e);
}

static int make(struct making *k, nsec_t deadline, struct err *e)
{
	struct sandbox *s = k->s;
	int r;

	if (k->b->preserve_fds_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a sandbox cannot take over open descriptors of the host");
	s->state_fd = k->b->state_fd < 0
			      ? FD_NONE
			      : openat(k->b->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->state_fd < 0)
		return err_set(e, ERR_INTERNAL, EBADF, "a sandbox needs a state directory");
	s->memory = inside_memory(s->spec);
	s->swap = inside_swap(s->spec);
	s->pids = inside_pids(s->spec);
	r = write_config(k, e);
	r = r < 0 ? r : compile_filter(k, e);
	r = r < 0 ? r : shares_open(&k->shares, &s->arena, k->b, k->b->root_disk_fd <= 0, e);
	r = r < 0 ? r : hooked_begin(&s->hooked, &s->arena, s->id, k->b, e);
	r = r < 0 ? r : make_groups(s, k->b, e);
	r = r < 0 ? r : open_files(k, e);
	r = r < 0 ? r : begin(k, deadline, e);
	if (r == 0 && s->spec->process->terminal)
		r = terminal_give(&k->terminal, k->b->console_socket, &s->in.console_fd, e);
	return r < 0 ? r : pid_file_write(k->b->pid_file, s->in.pid, e);
}

int sandbox_create(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct making k = { .s = s,
			    .b = b,
			    .terminal = TERMINAL_INIT,
			    .gofer_fd = FD_NONE,
			    .broker_fd = FD_NONE,
			    .config_fd = FD_NONE,
			    .seccomp_fd = FD_NONE,
			    .control_fd = FD_NONE,
			    .log_fd = FD_NONE,
			    .end_fd = FD_NONE };
	int r;

	s->spec = b->spec;
	s->arena = ARENA_INIT(ARENA_MAX);
	s->state_fd = s->creator_fd = s->gofer_pidfd = s->broker_pidfd = FD_NONE;
	s->id = strdup(b->id);
	if (!s->id)
		return no_memory(e);
	r = make(&k, deadline, e);
	making_fini(&k);
	if (r == 0)
		s->hooked.poststop_due = s->spec->hooks[SPEC_HOOK_POSTSTOP].n != 0;
	return r; /* engine_create destroys what there is */
}

int sandbox_start(struct instance *in, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct sentry_request q = sentry_request(SENTRY_START);
	struct sentry_reply answer;
	int r = control_ask(s, &q, clock_deadline(START_WITHIN), &a, &answer, e);

	if (r < 0) {
		(void) sandbox_failure(s, e); /* it knows better why */
		return err_ctx(e, "unable to start container process");
	}
	close_fd(&s->creator_fd);
	return sandbox_hooks(s, SPEC_HOOK_POSTSTART, "running", FD_NONE, e);
}

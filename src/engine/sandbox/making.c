/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/making.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/seccomp.h"
#include "engine/sandbox/files.h"
#include "engine/sandbox/gofer.h"
#include "engine/sandbox/inside.h"
#include "fmt/json.h"

#define ARENA_MAX (64u << 20)

int making_init(struct making *k, struct instance *in, const struct bundle *b)
{
	struct sandbox *s = sandbox_of_instance(in);

	*k = (struct making){ .s = s,
			      .b = b,
			      .restore_fd = FD_NONE,
			      .terminal = TERMINAL_INIT,
			      .network = SANDBOX_NETWORK_INIT,
			      .gofer_fd = FD_NONE,
			      .broker_fd = FD_NONE,
			      .config_fd = FD_NONE,
			      .seccomp_fd = FD_NONE,
			      .control_fd = FD_NONE,
			      .log_fd = FD_NONE,
			      .end_fd = FD_NONE,
			      .lock_fd = FD_NONE };
	s->spec = b->spec;
	s->arena = ARENA_INIT(ARENA_MAX);
	s->state_fd = s->kernel_fd = s->creator_fd = s->gofer_pidfd = s->broker_pidfd = FD_NONE;
	s->id = strdup(b->id);
	return s->id ? 0 : -ENOMEM;
}

void making_fini(struct making *k)
{
	terminal_fini(&k->terminal);
	shares_close(&k->shares);
	sandbox_network_close(&k->network);
	close_fd(&k->gofer_fd);
	close_fd(&k->broker_fd);
	close_fd(&k->config_fd);
	close_fd(&k->seccomp_fd);
	close_fd(&k->control_fd);
	close_fd(&k->log_fd);
	close_fd(&k->end_fd);
	close_fd(&k->lock_fd);
}

/* ---- control groups ---------------------------------------------------------------------- */

/* Of a pod's sandbox that is all of the pod; of who joins one, its processes here, who do little.
 */
static struct spec_resources *host_part(struct making *k, struct err *e)
{
	struct sandbox *s = k->s;
	struct spec_resources *host = NULL;
	struct pod_size size = {};

	switch (k->pod.role) {
	case POD_NONE:
		host = inside_host_part(&s->arena, s->spec);
		break;
	case POD_SANDBOX:
		if (pod_size(s->spec, &size, e) < 0)
			return NULL;
		s->memory = size.memory;
		host = inside_pod_part(&s->arena, &size);
		break;
	case POD_MEMBER:
		host = arena_alloc(&s->arena, sizeof(*host));
		break;
	}
	if (!host)
		(void) err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	return host;
}

int making_groups(struct making *k, struct err *e)
{
	struct sandbox *s = k->s;
	const struct bundle *b = k->b;
	struct spec_resources *host = host_part(k, e);
	struct groups_options o = {
		.id = s->id,
		.path = s->spec->linux_.cgroups_path,
		.resources = host,
		.systemd = b->systemd_cgroup,
		.spec = s->spec,
		.state_fd = s->state_fd,
		.rootless = b->rootless,
	};
	struct groups_bounds bounds;
	int r;

	if (!host)
		return -1;
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
	r = r < 0 ? r : groups_save(s->groups, s->state_fd, e);
	if (r == 0 && k->pod.bounded) {
		groups_bounds(s->groups, &bounds);
		s->memory = inside_memory_within(bounds.memory);
	}
	return r;
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

int making_config(struct making *k, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *given = NULL;
	int r = read_config(k->s, k->b, &given, e);

	if (r < 0)
		return r;
	inside_config(&text, k->s->spec, given, k->pod.role, k->s->memory);
	r = buf_ok(&text) ? file_of(text.p, text.n, e)
			  : err_sys(e, -buf_error(&text), "write the sandbox's specification");
	k->config_fd = r < 0 ? FD_NONE : r;
	return r < 0 ? r : 0;
}

int making_filter(struct making *k, struct err *e)
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

/* ---- files ------------------------------------------------------------------------------- */

int making_state(struct making *k, struct err *e)
{
	struct sandbox *s = k->s;

	if (k->b->preserve_fds_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a sandbox cannot take over open descriptors of the host");
	s->state_fd = k->b->state_fd < 0
			      ? FD_NONE
			      : openat(k->b->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->state_fd < 0)
		return err_set(e, ERR_INTERNAL, EBADF, "a sandbox needs a state directory");
	s->kernel_fd = fcntl(s->state_fd, F_DUPFD_CLOEXEC, 3);
	if (s->kernel_fd < 0)
		return err_sys(e, errno, "the state directory");
	s->memory = inside_memory(s->spec);
	return 0;
}

int making_open(const struct making *k, const char *name, struct err *e)
{
	int fd = openat(k->s->state_fd, name,
			O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(e, errno, "open '%s'", name) : fd;
}

int making_files(struct making *k, struct err *e)
{
	pid_t gofer = 0;
	int r = k->log_fd = making_open(k, SANDBOX_LOG, e);

	if (r >= 0 && k->shares.n)
		r = gofer_start(&k->shares, k->s->groups, k->log_fd, &k->gofer_fd, &gofer,
				&k->s->gofer_pidfd, e);
	if (r >= 0 && k->shares.n)
		r = files_save(k->s, &k->shares, gofer, e);
	if (r >= 0 && k->s->spec->process->terminal)
		r = terminal_open(&k->terminal, k->s->spec->process, e);
	return r < 0 ? r : 0;
}

int making_stream(const struct making *k, size_t n)
{
	return k->s->spec->process->terminal ? k->terminal.slave : k->b->stdio[n];
}

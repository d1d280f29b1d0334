/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/subject.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/engine.h"
#include "svc/ahead.h"
#include "svc/attach.h"
#include "svc/workload.h"
#include "sys/spawn.h"

/* Where the probe stands inside a workload. */
#define PROBE_INSIDE "/.atoll-probe"

enum { ARGV_MAX = 64, PROCESSES_MAX = 64 };

static int start_process(const struct subject *s, const char *const *argv, size_t argv_n,
			 int out_fd, struct subject_run *run, struct err *e)
{
	char *words[ARGV_MAX + 2] = { NULL };
	struct spawn spawn = SPAWN_INIT;
	int r;

	if (argv_n > ARGV_MAX)
		return err_set(e, ERR_INVALID, E2BIG, "compare: more than %d words", ARGV_MAX);
	/* execve takes char *const, and changes none of them. */
	words[0] = (char *) (uintptr_t) s->probe;
	for (size_t i = 0; i < argv_n; i++)
		words[i + 1] = (char *) (uintptr_t) argv[i];
	spawn.path = s->probe;
	spawn.argv = words;
	spawn.stdio[1] = out_fd;
	spawn.stdio[2] = STDERR_FILENO;
	spawn.new_group = true; /* ^C on the terminal is for us to act on */
	spawn.death_signal = SIGKILL;
	r = spawn_process(&spawn, &run->pid, NULL);
	if (r < 0)
		return err_sys(e, -r, "start %s", s->probe);
	return 0;
}

static int start_workload(const struct subject *s, bool probe, const char **argv, size_t argv_n,
			  int out_fd, struct subject_run *run, struct err *e)
{
	static const char *entrypoint[] = { PROBE_INSIDE };
	struct mount_config mount = {
		.kind = MOUNT_BIND,
		.source = s->probe,
		.target = PROBE_INSIDE,
		.read_only = true,
	};
	struct workload_config config = WORKLOAD_CONFIG_INIT;
	struct attach_options attach = ATTACH_OPTIONS_INIT;
	auto_ahead struct ahead ahead = AHEAD_INIT;
	int exit_code = 0;

	config.image = s->compare->image;
	config.isolation = s->isolation;
	config.network = "none";
	config.command = argv;
	config.command_n = argv_n;
	config.attach_stdout = true;
	config.log_driver = "none";
	if (probe) {
		config.entrypoint_set = true;
		config.entrypoint = entrypoint;
		config.entrypoint_n = 1;
		config.mounts = &mount;
		config.mounts_n = 1;
		config.user = "0";
	}
	if (workload_create(s->compare->svc, &config, /* foreground= */ true, &ahead, run->id, e) <
	    0) {
		run->id[0] = '\0';
		return -1;
	}
	attach.sink[1] = out_fd;
	return workload_start(s->compare->svc, run->id, &ahead, &attach, &run->conn, &exit_code, e);
}

int subject_start(const struct subject *s, bool probe, const char *const *argv, size_t argv_n,
		  struct subject_run *ret, struct err *e)
{
	auto_run struct subject_run run = SUBJECT_RUN_INIT;
	auto_fd int write_fd = FD_NONE;
	const char *words[ARGV_MAX];
	int pair[2], r;

	if (argv_n > ARGV_MAX)
		return err_set(e, ERR_INVALID, E2BIG, "compare: more than %d words", ARGV_MAX);
	for (size_t i = 0; i < argv_n; i++)
		words[i] = argv[i];
	run.subject = s;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "compare: pipe");
	run.out_fd = pair[0];
	write_fd = pair[1];
	run.started = clock_mono();
	r = s->isolation ? start_workload(s, probe, words, argv_n, write_fd, &run, e)
			 : start_process(s, argv, argv_n, write_fd, &run, e);
	if (r < 0)
		return r;
	*ret = run;
	run = SUBJECT_RUN_INIT;
	return 0;
}

/* Wait for fd or for the user to cancel. */
static int wait_readable(const struct subject_run *r, int fd, bool *ret_cancelled, struct err *e)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = r->subject->compare->cancel_fd, .events = POLLIN },
	};

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "compare: poll");
	*ret_cancelled = p[1].fd >= 0 && p[1].revents != 0;
	return 0;
}

/* Messages of the session until the exit. */
static int wait_session(struct subject_run *r, int *ret_code, bool *ret_cancelled, struct err *e)
{
	for (;;) {
		auto_arena struct arena a = ARENA_INIT(1u << 20);
		struct session_event event;

		if (wait_readable(r, r->conn.fd, ret_cancelled, e) < 0)
			return -1;
		if (*ret_cancelled)
			return 0;
		if (session_next(&r->conn, &a, &event, e) < 0)
			return -1;
		switch (event.what) {
		case SESSION_OUTPUT:
		case SESSION_GAP:
		case SESSION_READY:
		case SESSION_CLOSED:
		case SESSION_KEPT:
			break;
		case SESSION_EXITED:
			*ret_code = (int) event.exited.code;
			return 0;
		case SESSION_HUNGUP:
			return err_set(e, ERR_REMOTE, 0, "compare: the workload's shim is gone");
		}
	}
}

static int wait_process(struct subject_run *r, int *ret_code, struct err *e)
{
	int status = 0;

	if (waitpid(r->pid, &status, 0) != r->pid)
		return err_sys(e, errno, "compare: wait for the probe");
	r->pid = 0;
	*ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}

int subject_wait(struct subject_run *r, int *ret_code, bool *ret_cancelled, struct err *e)
{
	*ret_cancelled = false;
	if (!r->subject->isolation)
		return wait_process(r, ret_code, e);
	return wait_session(r, ret_code, ret_cancelled, e);
}

int subject_stop(struct subject_run *r, struct err *e)
{
	int code = 0;

	if (r->subject->isolation)
		return workload_stop(r->subject->compare->svc, r->id, /* timeout_s= */ 10, NULL, e);
	if (kill(r->pid, SIGTERM) < 0)
		return err_sys(e, errno, "compare: stop the probe");
	return wait_process(r, &code, e);
}

/* The proportional share of a process, in bytes; 0 for one that has just gone. */
static uint64_t process_pss(pid_t pid)
{
	auto_buf struct buf text = BUF_INIT(1u << 16);
	char path[64];
	const char *line;
	struct str word;
	uint64_t kib = 0;

	(void) snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int) pid);
	if (file_read(AT_FDCWD, path, &text) < 0)
		return 0;
	line = strstr(buf_z(&text), "\nPss:");
	if (!line)
		return 0;
	word = str_trim(str_of(line + strlen("\nPss:")));
	word = str_cut(word, ' ', &(struct str){ 0 });
	if (num_parse_u64(word, 0, UINT64_MAX / 1024, &kib) < 0)
		return 0;
	return kib * 1024;
}

/* The children of a process with one thread, into pids[]; gives their number. */
static size_t process_children(pid_t pid, pid_t *pids, size_t max)
{
	auto_buf struct buf text = BUF_INIT(1u << 16);
	struct str rest;
	size_t n = 0;
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) pid, (int) pid);
	if (file_read(AT_FDCWD, path, &text) < 0)
		return 0;
	rest = str_trim(buf_str(&text));
	while (rest.n && n < max) {
		struct str word = str_cut(rest, ' ', &rest);
		uint32_t child = 0;

		if (num_parse_u32(word, 1, INT32_MAX, &child) == 0)
			pids[n++] = (pid_t) child;
	}
	return n;
}

int subject_overhead(const struct subject_run *r, uint64_t *ret_bytes, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct workload_detail detail;
	const struct engine_ops *engine;
	pid_t pids[PROCESSES_MAX];
	size_t n = 0;
	uint64_t bytes = 0;

	if (!r->subject->isolation) {
		*ret_bytes = 0;
		return 0;
	}
	if (workload_look(r->subject->compare->svc, r->id, /* size= */ false, &a, &detail, e) < 0)
		return -1;
	if (detail.info.record.status.shim_pid <= 0)
		return err_set(e, ERR_CONFLICT, 0, "compare: the workload has no shim");
	/* The shim and what it runs beside the workload; a machine is ours as a whole, with the
	 * memory that its guest has touched. */
	engine = engine_find(r->subject->isolation);
	pids[n++] = detail.info.record.status.shim_pid;
	for (size_t i = 0; i < n; i++) {
		if (pids[i] == detail.info.record.status.pid && !(engine && engine->own_kernel))
			continue;
		bytes += process_pss(pids[i]);
		n += process_children(pids[i], pids + n, PROCESSES_MAX - n);
	}
	*ret_bytes = bytes;
	return 0;
}

void subject_end(struct subject_run *r)
{
	struct err ignored;

	shim_conn_close(&r->conn);
	/* Gone already is as good; a failure to remove shows in `atoll ps`. */
	if (r->id[0])
		(void) workload_rm(r->subject->compare->svc, r->id, /* force= */ true,
				   /* volumes= */ true, &ignored);
	r->id[0] = '\0';
	if (r->pid > 0) {
		(void) kill(r->pid, SIGKILL);
		(void) waitpid(r->pid, NULL, 0);
		r->pid = 0;
	}
	close_fd(&r->out_fd);
}

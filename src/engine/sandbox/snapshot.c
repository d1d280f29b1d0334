/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint of a sandbox: its kernel writes all that the guest is into a file of the directory,
 * and holds the guest still for as long as its own files are copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/auto.h"
#include "engine/sandbox/control.h"
#include "engine/sandbox/sandbox.h"
#include "proto/sentry.h"
#include "sys/pidfd.h"

#define STATE_FILE "sandbox.state"
#define PART_FILE  "sandbox.state.part"
/* CRIU's, which podman looks for before it calls a directory a checkpoint; nothing is in it. */
#define INVENTORY     "inventory.img"
#define WRITE_WITHIN  (600 * NSEC_PER_SEC)
#define CREATE_WITHIN (600 * NSEC_PER_SEC)
#define END_WITHIN    (60 * NSEC_PER_SEC)

int sandbox_can_snapshot(const char *, struct err *)
{
	return 0;
}

static int check(const struct instance *in, const struct snapshot_options *o, struct err *e)
{
	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "a sandbox that is paused cannot be checkpointed: its kernel is "
			       "paused, too; resume it first");
	if (o->pre_dump || o->parent || o->page_server || o->lazy_pages || o->diff)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a sandbox's memory is written at once: --pre-dump, --parent-path, "
			       "--page-server, --lazy-pages and --diff are of others");
	return 0;
}

static int end(struct sandbox *s, struct err *e)
{
	int r = pidfd_kill(s->in.pidfd, SIGKILL);

	s->killed = true;
	if (r < 0 && r != -ESRCH)
		return err_sys(e, -r, "end the sandbox");
	r = pidfd_poll(s->in.pidfd, clock_deadline(END_WITHIN));
	return r > 0 ? 0
		     : err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the sandbox is kept, but does not end");
}

/* It failed: an earlier one stays. */
static int part_gone(int dirfd)
{
	(void) unlinkat(dirfd, PART_FILE, 0); /* or nobody takes it for one */
	return -1;
}

static int part_is_whole(int dirfd, struct err *e)
{
	auto_fd int fd = openat(dirfd, INVENTORY, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
				0600);

	if (fd >= 0 && renameat(dirfd, PART_FILE, dirfd, STATE_FILE) == 0)
		return 0;
	(void) err_sys(e, errno, "make '" STATE_FILE "' of the checkpoint");
	return part_gone(dirfd);
}

int sandbox_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
		     struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct sentry_request q = sentry_request(SENTRY_CHECKPOINT);
	struct sentry_reply answer;
	auto_fd int state = FD_NONE, sock = FD_NONE;
	int r = check(in, o, e);

	if (r == 0 && s->pod_path)
		r = err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			    "a container of a sandbox's pod cannot be kept: its kernel is the "
			    "whole pod's");
	if (r < 0)
		return r;
	state = openat(dirfd, PART_FILE, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (state < 0)
		return err_sys(e, errno, "make '" PART_FILE "' of the checkpoint");
	sock = control_dial(s, e);
	if (sock < 0)
		return part_gone(dirfd);
	q.out = state;
	r = control_ask_on(sock, &q, clock_deadline(WRITE_WITHIN), &a, &answer, e);
	if (r < 0) {
		(void) err_ctx(e, "checkpoint");
		return part_gone(dirfd);
	}
	/* It goes on when the connection is closed. */
	r = engine_copy_files(o, dirfd, e);
	r = r < 0 ? part_gone(dirfd) : part_is_whole(dirfd, e);
	return r < 0 || o->leave_running ? r : end(s, e);
}

int sandbox_restore(struct instance *in, const struct bundle *b, int dirfd,
		    const struct snapshot_options *o, struct err *e)
{
	auto_fd int state = openat(dirfd, STATE_FILE,
				   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (state < 0)
		return err_set(e, ERR_INVALID, errno,
			       "this is no checkpoint of a sandbox: it has no file '" STATE_FILE
			       "'");
	if (o->tcp_close || o->lazy_pages)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a sandbox's checkpoint has no connections to the outside, and all "
			       "of its memory: --tcp-close and --lazy-pages are of containers");
	r = sandbox_create_from(in, b, state, clock_deadline(CREATE_WITHIN), e);
	return r < 0 ? r : sandbox_start(in, e);
}

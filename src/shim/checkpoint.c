/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint and the start from one. CRIU's logs go to the workload's own directory: they are
 * wanted after a failure, when the images are removed.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/auto.h"
#include "shim/shim.h"

int life_checkpoint(struct shim *s, const struct shim_checkpoint *m, struct err *e)
{
	struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
	auto_fd int files = FD_NONE, disk = openat(s->c.bundle_fd, SNAPSHOT_DISK,
						   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (disk < 0 && errno != ENOENT)
		return err_sys(e, errno, "open the workload's disk");
	if (m->files) {
		files = openat(s->c.bundle_fd, "upper",
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (files < 0)
			return err_sys(e, errno, "open the workload's files");
	}
	o.spec = s->spec;
	o.program = *m->program ? m->program : NULL;
	o.work_fd = s->c.bundle_fd;
	o.files_fd = files;
	o.disk_fd = disk < 0 ? FD_NONE : disk;
	o.diff = m->diff;
	o.leave_running = m->leave_running;
	o.tcp_established = m->tcp_established;
	o.ext_unix_sk = m->ext_unix_sk;
	o.file_locks = m->file_locks;
	o.link_remap = m->link_remap;
	if (engine_snapshot(s->in, m->dir_fd, &o, e) < 0)
		return -1;
	/* Its end is what was asked for: no restart follows. The loop sees it in a moment. */
	if (!m->leave_running)
		s->stop_wanted = s->user_stopped = true;
	record_change(s, "checkpoint", 0);
	record_write(s, 0);
	return 0;
}

int life_restore(struct shim *s, const struct bundle *b, struct err *e)
{
	const struct shim_restore *from = &s->c.restore;
	struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;

	o.spec = s->spec;
	o.program = *from->program ? from->program : NULL;
	o.work_fd = s->c.bundle_fd;
	o.tcp_established = from->tcp_established;
	o.tcp_close = from->tcp_close;
	o.ext_unix_sk = from->ext_unix_sk;
	o.file_locks = from->file_locks;
	return engine_restore(s->in, b, s->c.checkpoint_fd, &o, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/auto.h"
#include "store/event.h"
#include "store/image.h"
#include "store/volume.h"
#include "store/workload.h"
#include "sys/tree.h"

static int remove_below(const char *dir, const char *name, struct err *e)
{
	auto_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "open '%s'", dir);
	int r = tree_unlink(fd, name);
	return r < 0 ? err_sys(e, -r, "remove '%s/%s'", dir, name) : 0;
}

int store_workload_sweep_run(const struct paths *p, const char *id, struct err *e)
{
	return remove_below(paths_runs(p).z, id, e);
}

int store_workload_sweep(const struct paths *p, const char *id, struct err *e)
{
	int r = store_workload_sweep_run(p, id, e);

	return r < 0 ? r : remove_below(paths_workloads(p).z, id, e);
}

int store_workload_set_aside(const struct paths *p, const char *id, struct err *e)
{
	struct path_text from = paths_workload(p, id), to = paths_aside(p, id);

	if (rename(from.z, to.z) < 0 && errno != ENOENT)
		return err_sys(e, errno, "set '%s' aside", from.z);
	return 0;
}

int store_workload_sweep_aside(const struct paths *p, const char *id, struct err *e)
{
	struct path_text aside = paths_aside(p, id);
	int r = tree_unlink(AT_FDCWD, aside.z);

	if (r < 0)
		return err_sys(e, -r, "remove '%s'", aside.z);
	/* Whoever should have set it aside may not have come to it. */
	return remove_below(paths_workloads(p).z, id, e);
}

/* In a write: all rows of the workload, and what is told of it. */
static int forget(struct store *s, const char *id, const struct volume_records *gone,
		  const struct event *last, size_t last_n, struct err *e)
{
	auto_buf struct buf attributes = BUF_INIT(64u << 10);
	struct event destroy = { .type = "container", .action = "destroy", .id = id };
	bool found = false;
	int r = store_image_unpin(s, id, e);

	if (r >= 0)
		r = store_workload_remove(s, id, &attributes, &found, e);
	for (size_t i = 0; r >= 0 && i < gone->n; i++)
		r = store_volume_remove(s, gone->v[i].name, e);
	if (r < 0 || !found)
		return r;
	for (size_t i = 0; r >= 0 && i < last_n; i++)
		r = store_event_add(s, &last[i], e);
	destroy.attributes = buf_z(&attributes);
	return r < 0 ? r : store_event_add(s, &destroy, e);
}

int store_workload_forget(struct store *s, const char *id, bool volumes, const struct event *last,
			  size_t last_n, enum store_sync sync, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct volume_records gone = {};
	int r = store_write(s, sync, e);

	if (r < 0)
		return r;
	if (volumes)
		r = store_volume_of(s, id, true, &a, &gone, e);
	if (r >= 0)
		r = forget(s, id, &gone, last, last_n, e);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	r = store_commit(s, e);
	for (size_t i = 0; r >= 0 && i < gone.n; i++)
		r = remove_below(paths_volumes(&s->paths).z, gone.v[i].name, e);
	return r;
}

int store_workload_discard(struct store *s, const char *id, bool volumes, enum store_sync sync,
			   struct err *e)
{
	int r = store_workload_forget(s, id, volumes, NULL, 0, sync, e);

	return r < 0 ? r : store_workload_sweep(&s->paths, id, e);
}

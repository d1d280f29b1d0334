/* SPDX-License-Identifier: Apache-2.0 */
#include "store/discard.h"

#include <errno.h>
#include <fcntl.h>

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

int store_workload_sweep(const struct paths *p, const char *id, struct err *e)
{
	struct path_text runs = paths_runs(p), workloads = paths_workloads(p);
	int r = remove_below(runs.z, id, e);

	if (r < 0)
		return r;
	return remove_below(workloads.z, id, e);
}

/* In a write: all rows of the workload. */
static int forget(struct store *s, const char *id, const struct volume_records *gone, struct err *e)
{
	struct arena a = ARENA_INIT(1u << 20);
	struct workload_record w;
	bool found = false;
	int r = store_workload_find(s, id, &a, &w, e);

	if (r < 0) {
		arena_fini(&a);
		return e->kind == ERR_NOT_FOUND ? 0 : r;
	}
	struct buf attributes = BUF_INIT(64u << 10);
	event_attributes(&attributes, w.name, w.image, w.labels);
	r = store_image_unpin(s, id, e);
	if (r >= 0)
		r = store_workload_remove(s, id, &found, e);
	for (size_t i = 0; r >= 0 && i < gone->n; i++)
		r = store_volume_remove(s, gone->v[i].name, e);
	if (r >= 0 && found)
		r = store_event_add(s,
				    &(struct event){ .type = "container",
						     .action = "destroy",
						     .id = id,
						     .attributes = buf_z(&attributes) },
				    e);
	buf_fini(&attributes);
	arena_fini(&a);
	return r;
}

int store_workload_discard(struct store *s, const char *id, bool volumes, enum store_sync sync,
			   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct volume_records gone = {};
	int r = store_write(s, sync, e);

	if (r < 0)
		return r;
	if (volumes)
		r = store_volume_of(s, id, true, &a, &gone, e);
	if (r >= 0)
		r = forget(s, id, &gone, e);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	r = store_commit(s, e);
	if (r < 0)
		return r;
	struct path_text top = paths_volumes(&s->paths);
	for (size_t i = 0; r >= 0 && i < gone.n; i++)
		r = remove_below(top.z, gone.v[i].name, e);
	if (r < 0)
		return r;
	return store_workload_sweep(&s->paths, id, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/running.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/auto.h"
#include "svc/heal.h"

int running_state_dir(const struct svc *s, const char *id)
{
	struct path_text path = paths_run(&s->paths, id);
	int fd = open(path.z, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int running_find(struct svc *s, const char *ref, char ret_id[static WORKLOAD_ID_MAX],
		 struct shim_conn *ret_conn, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct workload_record w;
	auto_fd int dir = FD_NONE;

	if (svc_store(s, e) < 0 || heal_find(s, ref, &a, &w, e) < 0)
		return -1;
	dir = running_state_dir(s, w.id);
	if (dir < 0 && dir != -ENOENT)
		return err_sys(e, -dir, "open the run directory of workload '%s'", w.name);
	if (dir < 0)
		return err_set(e, ERR_CONFLICT, 0, "workload '%s' is not running", w.name);
	if (shim_connect(dir, ret_conn, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		return err_set(e, ERR_CONFLICT, 0, "workload '%s' is not running", w.name);
	}
	(void) snprintf(ret_id, WORKLOAD_ID_MAX, "%s", w.id);
	return 0;
}

int running_connect(struct svc *s, const char *ref, struct shim_conn *ret_conn, struct err *e)
{
	char id[WORKLOAD_ID_MAX];

	return running_find(s, ref, id, ret_conn, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "fmt/json.h"
#include "image/resolve.h"
#include "store/discard.h"
#include "svc/plan.h"

#define RESOURCES_MAX (1u << 20) /* bytes of linux.resources as JSON */

/* Whatever cannot be said now is said, or refused, by the start itself. */
static void prepare(struct shim_conn *conn, const char *id, const struct workload_config *c)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf resources = BUF_INIT(RESOURCES_MAX);
	struct json_writer w = JSON_WRITER(&resources);
	struct shim_prepare p = { .id = id, .isolation = c->isolation ? c->isolation : "" };
	struct err ignored;

	p.network = !c->network || !*c->network || streq(c->network, "none");
	p.cgroups_path = plan_cgroups_path(c, id, &a);
	if (!p.cgroups_path || plan_resources(&c->resources, c, &w, NULL, &ignored) < 0 ||
	    !buf_ok(&resources))
		return;
	p.resources = buf_z(&resources);
	(void) supervise_prepare(conn, &p, &ignored);
}

int ahead_spawn(int state_fd, const char *id, const struct workload_config *c, bool child,
		struct shim_conn *ret_conn, struct err *e)
{
	int r = supervise_spawn(id, state_fd, child, ret_conn, e);

	if (r >= 0)
		prepare(ret_conn, id, c);
	return r;
}

void ahead_begin(struct ahead *a, struct svc *s, const char *id, const struct workload_config *c)
{
	struct path_text runs = paths_runs(&s->paths), run = paths_run(&s->paths, id);
	auto_fd int held = FD_NONE, dir = FD_NONE;
	struct err ignored;

	/* Held first: a directory that no record knows is rubbish to repair. */
	if (svc_hold(runs.z, false, &held, &ignored) < 0 || mkdir(run.z, 0700) < 0)
		return;
	a->paths = &s->paths;
	memcpy(a->id, id, strlen(id) + 1);
	dir = open(run.z, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || ahead_spawn(dir, id, c, a->short_lived, &a->conn, &ignored) < 0) {
		(void) rmdir(run.z); /* repair does it as well */
		return;
	}
	a->held_fd = take_fd(&held);
	a->state_fd = take_fd(&dir);
}

bool ahead_of(const struct ahead *a, const char *id)
{
	return a && a->conn.fd >= 0 && streq(a->id, id);
}

void ahead_fini(struct ahead *a)
{
	struct err ignored;

	bool useless = a->conn.fd >= 0 && !a->made; /* else its record knows the directory */

	shim_conn_close(&a->conn);
	if (useless)
		(void) store_workload_sweep_run(a->paths, a->id, &ignored); /* or repair */
	close_fd(&a->state_fd);
	close_fd(&a->held_fd);
	image_free(a->image);
	a->image = NULL;
	arena_fini(&a->arena);
}

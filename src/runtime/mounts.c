/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: change what is mounted in a running container. */
#include <errno.h>
#include <fcntl.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/live.h"
#include "runtime/state.h"

static int read_mounts(struct runtime *rt, const char *path, const struct spec_mount **ret_v,
		       size_t *ret_n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *v;
	bool input = streq(path, "-");
	int r = input ? fd_read_all(STDIN_FILENO, &text) : file_read(AT_FDCWD, path, &text);

	if (r < 0)
		return err_sys(e, -r, "read '%s'", path);
	r = json_parse(rt->arena, buf_str(&text), &v, e);
	r = r < 0 ? r : spec_mounts_decode(rt->arena, v, ret_v, ret_n, e);
	return r < 0 ? err_ctx(e, "'%s'", path) : 0;
}

static int run_mounts(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	const struct spec_mount *v = NULL;
	const struct spec *s = NULL;
	bool add = streq(args->v[0], "add");
	size_t n = 0;
	int r;

	(void) options;
	if (!add && !streq(args->v[0], "remove"))
		return err_set(e, ERR_INVALID, EINVAL, "mounts '%s': must be add or remove",
			       args->v[0]);
	r = read_mounts(rt, args->v[2], &v, &n, e);
	if (r == 0)
		r = container_open(rt, args->v[1], CONTAINER_CHANGE, &c, e);
	if (r == 0)
		r = container_spec(rt, &c, &s, e);
	if (r < 0)
		return r;
	if (container_pid(&c) == 0)
		return err_set(e, ERR_CONFLICT, 0, "container not running: '%s' is %s", c.id,
			       container_status(&c));
	if (!streq(c.engine, "container"))
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "container '%s': the engine %s cannot change mounts", c.id,
			       c.engine);
	return add ? live_mounts_add(c.in, s, v, n, e) : live_mounts_remove(c.in, s, v, n, e);
}

const struct verb verb_mounts = {
	.name = "mounts",
	.usage = "[add|remove] CONTAINER FILE",
	.help = "mount in a running container what FILE lists as JSON (-: standard input), or "
		"unmount",
	.min_args = 3,
	.max_args = 3,
	.run = run_mounts,
	.enters = true,
};

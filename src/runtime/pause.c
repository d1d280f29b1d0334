/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume. */
#include "base/auto.h"
#include "runtime/state.h"

static int run_pause(struct runtime *rt, const void *options, const struct strings *args,
		     struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	int r = container_open(rt, args->v[0], CONTAINER_CHANGE, &c, e);

	(void) options;
	if (r < 0)
		return r;
	if (c.state != ENGINE_RUNNING)
		return err_set(e, ERR_CONFLICT, 0, "container not running: '%s' is %s", c.id,
			       container_status(&c));
	r = engine_pause(c.in, e);
	return r < 0 ? r : engine_save(c.in, c.dir_fd, e);
}

static int run_resume(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	int r = container_open(rt, args->v[0], CONTAINER_CHANGE, &c, e);

	(void) options;
	if (r < 0)
		return r;
	if (c.state != ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, 0, "container not paused: '%s' is %s", c.id,
			       container_status(&c));
	r = engine_resume(c.in, e);
	return r < 0 ? r : engine_save(c.in, c.dir_fd, e);
}

const struct verb verb_pause = {
	.name = "pause",
	.usage = "CONTAINER",
	.help = "stop all processes of a container where they are",
	.min_args = 1,
	.max_args = 1,
	.run = run_pause,
};
const struct verb verb_resume = {
	.name = "resume",
	.usage = "CONTAINER",
	.help = "let the processes of a paused container go on",
	.min_args = 1,
	.max_args = 1,
	.run = run_resume,
};

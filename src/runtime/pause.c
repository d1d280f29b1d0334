/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume. */
#include "base/auto.h"
#include "runtime/state.h"

/* From the state `from`, called `word`, by one of the engine's wrappers. */
static int change(struct runtime *rt, const char *id, enum engine_state from, const char *word,
		  int (*wrapper)(struct instance *in, struct err *e), struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	int r = container_open(rt, id, CONTAINER_CHANGE, &c, e);

	if (r < 0)
		return r;
	if (c.state != from)
		return err_set(e, ERR_CONFLICT, 0, "container not %s: '%s' is %s", word, c.id,
			       container_status(&c));
	r = wrapper(c.in, e);
	return r < 0 ? r : engine_save(c.in, c.dir_fd, e);
}

static int run_pause(struct runtime *rt, const void *options, const struct strings *args,
		     struct err *e)
{
	(void) options;
	return change(rt, args->v[0], ENGINE_RUNNING, "running", engine_pause, e);
}

static int run_resume(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	(void) options;
	return change(rt, args->v[0], ENGINE_PAUSED, "paused", engine_resume, e);
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/saved.h"

#include <errno.h>

#include "base/auto.h"
#include "base/file.h"
#include "sys/process.h"

int saved_write(int state_fd, const char *name, const struct buf *text, struct err *e)
{
	int r = buf_ok(text) ? file_replace(state_fd, name, buf_str(text), 0600, false)
			     : buf_error(text);

	return r < 0 ? err_sys(e, -r, "writing '%s'", name) : 0;
}

int saved_read(struct arena *a, int state_fd, const char *name, size_t max,
	       const struct json_table *t, void *to, bool *ret_found, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(max);
	const struct json *root = NULL;
	int r = file_read(state_fd, name, &text);

	if (r == -ENOENT) {
		*ret_found = false;
		return 0;
	}
	if (r < 0)
		return err_sys(e, -r, "reading '%s'", name);
	r = json_parse(a, buf_str(&text), &root, e);
	r = r < 0 ? r : json_decode(a, root, t, to, "", e);
	if (r < 0)
		return err_ctx(e, "%s", name);
	*ret_found = true;
	return 0;
}

void saved_process(struct instance *in, const char *state, int64_t pid, uint64_t ident)
{
	in->state = engine_state_of(state);
	if (in->state == ENGINE_CREATING)
		in->state = ENGINE_FAILED; /* its creator crashed: what there is can be destroyed */
	in->pidfd = pid ? process_find((pid_t) pid, ident) : FD_NONE;
	in->pid = in->pidfd < 0 ? 0 : (pid_t) pid;
	if (in->pidfd < 0 && in->state != ENGINE_FAILED)
		in->state = ENGINE_STOPPED;
}

enum engine_state saved_frozen(enum engine_state saved, bool frozen)
{
	if (saved == ENGINE_RUNNING && frozen)
		return ENGINE_PAUSED;
	return saved == ENGINE_PAUSED && !frozen ? ENGINE_RUNNING : saved;
}

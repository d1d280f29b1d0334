/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/hooked.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/hooks.h"
#include "engine/engine.h"

static int keep(struct hooked *h, const char *bundle, const char *config, struct err *e)
{
	h->bundle_path = bundle ? strdup(bundle) : NULL;
	h->config_path = config ? strdup(config) : NULL;
	return (bundle && !h->bundle_path) || (config && !h->config_path)
		       ? err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory")
		       : 0;
}

int hooked_begin(struct hooked *h, struct arena *a, const char *id, const struct bundle *b,
		 struct err *e)
{
	const struct spec_hook_list *list = b->spec->hooks;
	char link[40], path[PATH_MAX];
	ssize_t n;

	h->late = list[SPEC_HOOK_POSTSTART].n || list[SPEC_HOOK_POSTSTOP].n;
	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", b->bundle_fd);
	n = b->bundle_fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
	if (n >= 0)
		path[n] = '\0';
	if (keep(h, n < 0 ? NULL : path, b->config_path, e) < 0)
		return -1;
	return hooks_state_text(a, b->spec, id, b->bundle_fd, &h->state_head, &h->state_tail, e);
}

int hooked_run(const struct hooked *h, const struct spec *spec, enum spec_hook_kind kind,
	       const char *status, pid_t pid, int cwd_fd, struct err *e)
{
	int output[2], r;

	if (!spec || !spec->hooks[kind].n || !h->state_head)
		return 0;
	r = hooks_open_output(spec, output, e);
	if (r < 0)
		return r;
	auto_fd int out = output[0];
	auto_fd int err = output[1];
	struct hooks_call call = {
		.list = &spec->hooks[kind],
		.kind = kind,
		.head = h->state_head,
		.tail = h->state_tail,
		.status = status,
		.pid = kind == SPEC_HOOK_POSTSTOP ? 0 : pid,
		.cwd_fd = cwd_fd,
		.output = (const int[]){ out, err },
	};

	return hooks_run(&call, e);
}

void hooked_fini(struct hooked *h)
{
	free(TAKE(h->bundle_path));
	free(TAKE(h->config_path));
}

void hooked_save(const struct hooked *h, struct json_writer *w)
{
	json_w_bool(w, "poststopDue", h->poststop_due);
	if (h->late && h->bundle_path)
		json_w_string(w, "bundle", h->bundle_path);
	if (h->late && h->bundle_path && h->config_path)
		json_w_string(w, "config", h->config_path);
}

int hooked_take(struct hooked *h, const char *bundle, const char *config, bool poststop_due,
		struct err *e)
{
	h->late = bundle != NULL;
	h->poststop_due = poststop_due;
	return keep(h, bundle, config, e);
}

int hooked_load(struct hooked *h, struct arena *a, const char *id, const struct spec **ret_spec,
		struct err *e)
{
	if (!h->late)
		return 0;
	return hooks_load(a, h->bundle_path, h->config_path, id, ret_spec, &h->state_head,
			  &h->state_tail, e);
}

int pid_file_write(const char *path, pid_t pid, struct err *e)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", (int) pid), r;
	auto_fd int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
			      : FD_NONE;

	if (!path)
		return 0;
	r = fd < 0 ? -errno : fd_write_all(fd, text, (size_t) n);
	return r < 0 ? err_sys(e, -r, "pid file '%.200s'", path) : 0;
}

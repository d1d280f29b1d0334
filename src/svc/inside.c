/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/file.h"
#include "engine/host.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "image/resolve.h"
#include "svc/bundle.h"
#include "svc/own_disk.h"
#include "svc/running.h"
#include "sys/pidfd.h"
#include "sys/process.h"
#include "sys/tree.h"

#define ANSWER_WITHIN (60 * NSEC_PER_SEC)
#define BOOT_WITHIN   (180 * NSEC_PER_SEC) /* an emulated one on a busy machine */
#define DISK_WITHIN   (30 * NSEC_PER_SEC)
#define CONFIG_MAX    (64u << 10)

static int open_bundle_dir(struct svc *s, const struct workload_record *w)
{
	struct path_text path = paths_workload(&s->paths, w->id);
	int fd = open(path.z, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? FD_NONE : fd;
}

bool inside_needed(struct svc *s, const struct workload_record *w)
{
	auto_fd int fd = open_bundle_dir(s, w);

	return fd >= 0 && own_disk_there(fd);
}

bool inside_here(const struct workload_record *w)
{
	const struct engine_ops *ops = engine_find(w->isolation);

	return ops && ops->files_here;
}

static int engine_for(const struct workload_record *w, struct instance **ret, struct err *e)
{
	const struct engine_ops *ops = engine_find(w->isolation);
	struct engine_caps caps = { .usable = true, .caps = ~0u };

	if (!ops)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "no engine '%s' in this build",
			       w->isolation);
	*ret = instance_new(ops, &caps);
	return *ret ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- while it runs ----------------------------------------------------------------------- */

static int open_running(struct svc *s, const struct workload_record *w, bool hold,
			struct inside *ret, struct err *e)
{
	auto_fd int state = running_state_dir(s, w->id);
	struct instance *in = NULL;
	int r = state < 0 ? err_sys(e, -state, "open the run directory of workload '%s'", w->name)
			  : engine_for(w, &in, e);

	if (r < 0)
		return r;
	r = engine_load(in, state, e);
	if (r < 0) {
		instance_free(in); /* nothing was loaded: only the memory */
		return r;
	}
	r = engine_files(in, hold, clock_deadline(ANSWER_WITHIN), &ret->files, e);
	instance_forget(in);
	return r;
}

/* ---- a machine for it -------------------------------------------------------------------- */

/* A container that is never started: of it nothing but the root is made. */
static void write_config(struct buf *out)
{
	static const char *const spaces[] = { "pid", "mount", "ipc", "uts", "network" };
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", "1.2.0");
	json_w_object(&w, "process");
	json_w_object(&w, "user");
	json_w_u64(&w, "uid", 0);
	json_w_u64(&w, "gid", 0);
	json_w_end(&w);
	json_w_array(&w, "args");
	json_w_string(&w, NULL, "/");
	json_w_end(&w);
	json_w_string(&w, "cwd", "/");
	json_w_end(&w);
	json_w_object(&w, "root");
	json_w_string(&w, "path", ".");
	json_w_end(&w);
	json_w_object(&w, "linux");
	json_w_array(&w, "namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "type", spaces[i]);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
	json_w_end(&w);
}

static int config_fd(const struct buf *text, struct err *e)
{
	auto_fd int fd = memfd_create("config.json", MFD_CLOEXEC);
	int r = !buf_ok(text) ? buf_error(text)
		: fd < 0      ? -errno
			      : fd_write_all(fd, text->p, text->n);

	return r < 0 ? err_sys(e, -r, "the plan of a machine") : take_fd(&fd);
}

static int create(const struct workload_record *w, const struct bundle *b, struct inside *ret,
		  struct err *e)
{
	struct engine_caps caps;
	const struct engine_ops *ops;
	struct host host;
	int r = host_probe(&host, e);

	r = r < 0 ? r : engine_pick(w->isolation, &host, b->spec, &ops, &caps, e);
	if (r < 0)
		return r;
	ret->in = instance_new(ops, &caps);
	if (!ret->in)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = engine_create(ret->in, b, clock_deadline(BOOT_WITHIN), e);
	return r < 0 ? r
		     : engine_files(ret->in, false, clock_deadline(ANSWER_WITHIN), &ret->files, e);
}

static int open_stopped(struct svc *s, const struct workload_record *w, struct inside *ret,
			struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX);
	auto_image struct image *im = NULL;
	auto_fd int dir = open_bundle_dir(s, w), disk = FD_NONE, upper = FD_NONE, config = FD_NONE,
		    state = FD_NONE;
	const struct spec *spec = NULL;
	const struct json *root = NULL;
	char config_path[40];
	int r = image_resolve(s->store, w->image_id, &im, e);

	r = r < 0 ? r : bundle_disks(s, im, dir, clock_deadline(DISK_WITHIN), &disk, &upper, e);
	if (r < 0)
		return r;
	write_config(&text);
	r = config = config_fd(&text, e);
	r = r < 0 ? r : json_parse(&a, buf_str(&text), &root, e);
	r = r < 0 ? r : spec_decode(&a, root, &spec, e);
	if (r < 0)
		return r;
	(void) snprintf(ret->dir, sizeof(ret->dir), "%s/inside-%d-%.12s", paths_tmp(&s->paths).z,
			(int) getpid(), w->id);
	if (mkdir(ret->dir, 0700) < 0 && errno != EEXIST) {
		r = err_sys(e, errno, "make '%s'", ret->dir);
		ret->dir[0] = '\0';
		return r;
	}
	state = open(ret->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (state < 0)
		return err_sys(e, errno, "open '%s'", ret->dir);
	(void) snprintf(config_path, sizeof(config_path), "/proc/self/fd/%d", config);
	const struct bundle b = {
		.id = w->id,
		.spec = spec,
		.bundle_fd = state,
		.root_fd = FD_NONE,
		.root_disk_fd = disk,
		.root_upper_fd = upper,
		.stdio = { FD_NONE, FD_NONE, FD_NONE },
		.console_socket = FD_NONE,
		.bound = true,
		.files_only = true,
		.no_cgroups = true,
		.config_path = config_path,
		.cache_fd = FD_NONE,
		.state_fd = state,
	};
	return create(w, &b, ret, e);
}

int inside_open(struct svc *s, const struct workload_record *w, bool hold, struct inside *ret,
		struct err *e)
{
	struct inside i = INSIDE_INIT;

	if (w->status.state == WORKLOAD_PAUSED && !inside_here(w))
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "the files of workload '%s' are read by its own kernel, which is "
			       "paused: unpause it first",
			       w->name);
	int r = w->status.pid > 0 && process_alive(w->status.pid, w->status.pid_ident)
			? open_running(s, w, hold, &i, e)
			: open_stopped(s, w, &i, e);

	if (r < 0) {
		inside_close(&i);
		return err_ctx(e, "the files of workload '%s'", w->name);
	}
	*ret = i;
	return 0;
}

void inside_close(struct inside *i)
{
	engine_files_close(&i->files);
	/* All is written; there is nothing in it that could end by itself. */
	if (i->in && i->in->pidfd >= 0)
		(void) pidfd_kill(i->in->pidfd, SIGKILL);
	instance_free(i->in);
	i->in = NULL;
	if (i->dir[0])
		(void) tree_unlink(AT_FDCWD, i->dir); /* else repair does */
	i->dir[0] = '\0';
}

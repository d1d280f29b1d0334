/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/engine.h"
#include "fmt/oci_image.h"
#include "image/resolve.h"
#include "svc/bundle_parts.h"
#include "svc/image_disk.h"
#include "svc/overlay.h"
#include "svc/own_disk.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/path.h"

#define PLAN_MAX    (4u << 20) /* bytes of a config.json */
#define DISK_WITHIN (60 * NSEC_PER_SEC)

void bundle_set_fini(struct bundle_set *b)
{
	close_fd(&b->root_fd);
	close_fd(&b->root_disk_fd);
	close_fd(&b->root_upper_fd);
	close_fd(&b->bundle_fd);
}

static int open_dir_at(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* An image of no layers still needs one to lay the upper on: an empty directory of the bundle. */
static int empty_layer(int bundle_fd, int *ret_fd, struct err *e)
{
	if (mkdirat(bundle_fd, "empty", 0755) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make an empty layer");
	int fd = open_dir_at(bundle_fd, "empty");
	if (fd < 0)
		return err_sys(e, -fd, "open the empty layer");
	*ret_fd = fd;
	return 0;
}

static int root_of(struct svc *s, const struct image *im, int bundle_fd, bool read_only,
		   bool thrown_away, int *ret_root_fd, struct err *e)
{
	int layers[OCI_LAYERS_MAX];
	size_t n = 0;
	int r = image_layer_fds(s->store, im, layers, &n, e);

	if (r < 0)
		return r;
	if (n == 0) {
		r = empty_layer(bundle_fd, &layers[0], e);
		if (r < 0)
			return r;
		n = 1;
	}
	auto_fd int upper = open_dir_at(bundle_fd, "upper");
	auto_fd int work = read_only ? FD_NONE : open_dir_at(bundle_fd, "work");
	if (upper < 0 || (work < 0 && !read_only))
		r = err_sys(e, upper < 0 ? -upper : -work, "open the workload's own layer");
	else if (!read_only)
		r = overlay_mount(layers, n, upper, work, thrown_away, ret_root_fd, e);
	else {
		/* The upper as the top lower layer: nothing of it can be changed this way. */
		int all[OCI_LAYERS_MAX + 1];

		all[0] = upper;
		memcpy(all + 1, layers, n * sizeof(*layers));
		r = n + 1 > OCI_LAYERS_MAX
			    ? err_set(e, ERR_EXHAUSTED, E2BIG, "too many layers to look at")
			    : overlay_mount(all, n + 1, FD_NONE, FD_NONE, false, ret_root_fd, e);
	}
	for (size_t i = 0; i < n; i++)
		(void) close(layers[i]);
	return r;
}

static int open_bundle(struct svc *s, const char *id, struct path_text *ret_path, int *ret_fd,
		       struct err *e)
{
	*ret_path = paths_workload(&s->paths, id);
	int fd = open(ret_path->z, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno,
			       "the directory of workload %.12s ('%s') is gone: remove the "
			       "workload, or run: atoll system repair",
			       id, ret_path->z);
	*ret_fd = fd;
	return 0;
}

int bundle_root(struct svc *s, const struct workload_record *w, bool read_only, int *ret_root_fd,
		struct err *e)
{
	auto_image struct image *im = NULL;
	auto_fd int bundle_fd = FD_NONE;
	struct path_text path;
	int r = image_resolve(s->store, w->image_id, &im, e);

	if (r >= 0)
		r = open_bundle(s, w->id, &path, &bundle_fd, e);
	return r < 0 ? r : root_of(s, im, bundle_fd, read_only, false, ret_root_fd, e);
}

void plan_image_of(const struct oci_run_config *c, struct plan_image *ret)
{
	*ret = (struct plan_image){
		.entrypoint = c->entrypoint,
		.entrypoint_n = c->entrypoint_n,
		.command = c->cmd,
		.command_n = c->cmd_n,
		.env = c->env,
		.env_n = c->env_n,
		.volumes = c->volumes,
		.volumes_n = c->volumes_n,
		.user = c->user,
		.workdir = c->working_dir,
		.stop_signal = c->stop_signal,
		.labels = c->labels,
		.labels_n = c->labels_n,
	};
	if (c->healthcheck) {
		const struct oci_healthcheck *h = c->healthcheck;

		ret->health = (struct health_config){
			.test = h->test,
			.test_n = h->test_n,
			.interval_ns = h->interval,
			.timeout_ns = h->timeout,
			.start_period_ns = h->start_period,
			.retries = h->retries > 0 && h->retries <= UINT32_MAX
					   ? (uint32_t) h->retries
					   : 0,
		};
	}
}

/* The working directory is made when the image has none, as docker does; by descriptor. */
static int make_workdir(int root_fd, const char *cwd, struct err *e)
{
	if (!cwd || !*cwd || streq(cwd, "/"))
		return 0;
	auto_fd int fd = path_open_in(root_fd, cwd, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd >= 0)
		return 0;
	auto_fd int made = path_make_dir(root_fd, cwd, 0755);
	return made < 0 ? err_sys(e, -made, "make the working directory '%s' of the workload", cwd)
			: 0;
}

static bool upper_is_empty(int bundle_fd)
{
	auto_dir DIR *upper = dir_open(bundle_fd, "upper");

	return upper && !dir_next(upper);
}

static const struct engine_ops *engine_of(const struct workload_config *c)
{
	return engine_find(c->isolation && *c->isolation ? c->isolation : "container");
}

/*
 * A root that the workload cannot change, and that nobody has changed: the image's files, which a
 * machine reads from a disk sooner than from the host's directories. Without one it goes too.
 */
static int root_disk(struct svc *s, const struct workload_config *c, const struct image *im,
		     int bundle_fd)
{
	const struct engine_ops *ops = engine_of(c);
	int fd = FD_NONE;
	struct err why;

	if (!ops || !ops->root_disk || !c->read_only || !upper_is_empty(bundle_fd))
		return FD_NONE;
	if (image_disk(s, im, clock_deadline(DISK_WITHIN), &fd, &why) < 0) {
		if (why.kind != ERR_UNSUPPORTED)
			svc_notice(s, "%s; going on without", why.msg);
		return FD_NONE;
	}
	return fd;
}

int bundle_disks(struct svc *s, const struct image *im, int bundle_fd, nsec_t deadline,
		 int *ret_disk_fd, int *ret_upper_fd, struct err *e)
{
	auto_fd int disk = FD_NONE;
	int r = image_disk(s, im, deadline, &disk, e);

	r = r < 0 ? r : own_disk_open(bundle_fd, deadline, ret_upper_fd, e);
	if (r == 0)
		*ret_disk_fd = take_fd(&disk);
	return r;
}

/* Nobody looks at its files after this boot. */
static bool is_volatile(const struct workload_config *c)
{
	return c->auto_remove || c->volatile_root;
}

/* What it takes to give the workload a disk, and the disk. */
static int make_own_disk(struct svc *s, const struct engine_ops *ops,
			 const struct workload_config *c, const struct image *im, int bundle_fd,
			 struct err *e)
{
	nsec_t deadline = clock_deadline(DISK_WITHIN);
	auto_fd int disk = FD_NONE;
	int r = engine_can_root_upper(ops, deadline, e);

	r = r < 0 ? r : image_disk(s, im, deadline, &disk, e);
	return r < 0 ? r : own_disk_make(s, bundle_fd, c->disk_size, !is_volatile(c), deadline, e);
}

/*
 * A workload whose kernel can have a disk of its own gets one at its first start, unless its root
 * was changed before, by `cp` or by an older Atoll: then it stays a directory. So it does where
 * something is missing, unless the user wants a size, which a directory has not.
 */
static int own_disks(struct svc *s, const struct workload_config *c, const struct image *im,
		     struct bundle_set *b, struct err *e)
{
	const struct engine_ops *ops = engine_of(c);
	bool there = own_disk_there(b->bundle_fd);
	struct err why;
	int r;

	if (!ops || !ops->can_root_upper || c->read_only)
		return 0;
	if (!there && !upper_is_empty(b->bundle_fd)) {
		if (c->disk_size)
			return err_set(
				e, ERR_CONFLICT, EEXIST,
				"its files were changed before its first start, and lie in a "
				"directory, whose size has no limit (--storage-opt size=)");
		return 0;
	}
	if (!there) {
		r = make_own_disk(s, ops, c, im, b->bundle_fd, &why);
		if (r < 0 && (c->disk_size || why.kind == ERR_INTERNAL)) {
			*e = why;
			return err_ctx(e, "a disk for the workload");
		}
		if (r < 0 && why.kind != ERR_UNSUPPORTED)
			svc_notice(s, "%s; going on without a disk", why.msg);
		if (r < 0)
			return 0;
	}
	return bundle_disks(s, im, b->bundle_fd, clock_deadline(DISK_WITHIN), &b->root_disk_fd,
			    &b->root_upper_fd, e);
}

int bundle_open(struct svc *s, const struct workload_record *w, const struct workload_config *c,
		const struct image *im, struct bundle_set *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf text = BUF_INIT(PLAN_MAX);
	struct bundle_set b = BUNDLE_SET_INIT;
	struct plan_image image;
	struct plan_input in = { .id = w->id, .config = c, .image = &image };
	struct bundle_parts parts = {};
	int r = open_bundle(s, w->id, &b.path, &b.bundle_fd, e);

	if (r >= 0)
		r = own_disks(s, c, im, &b, e); /* before anything is written beside it */
	if (r >= 0)
		r = root_of(s, im, b.bundle_fd, false, is_volatile(c), &b.root_fd, e);
	if (r < 0)
		goto close_set;
	in.names_inside = b.root_upper_fd >= 0;
	plan_image_of(im->config->config, &image);
	in.root_fd = b.root_fd;
	in.run_dir = b.path.z;
	r = bundle_namespaces(s, w, c, &a, &in, e);
	if (r >= 0)
		r = bundle_mounts(s, w, c, b.root_fd, &a, &parts, e);
	if (r >= 0)
		r = bundle_files(s, w, c, b.bundle_fd, &a, &in, e);
	if (r >= 0 && b.root_upper_fd < 0)
		r = make_workdir(b.root_fd, c->workdir && *c->workdir ? c->workdir : image.workdir,
				 e);
	if (r < 0)
		goto close_set;
	if (b.root_disk_fd < 0)
		b.root_disk_fd = root_disk(s, c, im, b.bundle_fd);
	in.mounts = parts.mounts;
	in.mounts_n = parts.mounts_n;
	r = plan_write(s, &in, &a, &text, e);
	if (r >= 0) {
		/* Written anew for every start: a power cut loses nothing by it. */
		r = file_replace(b.bundle_fd, "config.json", buf_str(&text), 0600, false);
		if (r < 0)
			r = err_sys(e, -r, "write '%s/config.json'", b.path.z);
	}
	if (r < 0)
		goto close_set;
	*ret = b;
	return 0;

close_set:
	bundle_set_fini(&b);
	return r;
}

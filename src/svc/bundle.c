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
#include "fmt/oci_image.h"
#include "image/resolve.h"
#include "svc/bundle_parts.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/path.h"

#define PLAN_MAX (4u << 20) /* bytes of a config.json */

void bundle_set_fini(struct bundle_set *b)
{
	close_fd(&b->root_fd);
	close_fd(&b->bundle_fd);
}

/*
 * The same mount by option strings, for kernels before 6.13, whose overlay takes no descriptors.
 * fsconfig bounds a value at 255 bytes, so the names are the shortest there are: the descriptors'
 * numbers, seen from /proc/self/fd. That is room for 60 layers and more.
 */
static int overlay_by_names(const int *layers, size_t n, int upper, int work, bool thrown_away)
{
	auto_buf struct buf lower = BUF_INIT(255);
	char upper_name[16], work_name[16];
	struct mount_option opts[5] = {};
	size_t opts_n = 0;

	for (size_t i = 0; i < n; i++)
		buf_addf(&lower, "%s%d", i ? ":" : "", layers[i]);
	if (!buf_ok(&lower))
		return -E2BIG;
	(void) snprintf(upper_name, sizeof(upper_name), "%d", upper);
	(void) snprintf(work_name, sizeof(work_name), "%d", work);
	opts[opts_n++] = (struct mount_option){ .key = "lowerdir", .value = buf_z(&lower) };
	if (upper >= 0) {
		opts[opts_n++] = (struct mount_option){ .key = "upperdir", .value = upper_name };
		opts[opts_n++] = (struct mount_option){ .key = "workdir", .value = work_name };
	}
	if (thrown_away)
		opts[opts_n++] = (struct mount_option){ .key = "volatile" };
	if (ns_in_user())
		opts[opts_n++] = (struct mount_option){ .key = "userxattr" };
	auto_fd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || chdir("/proc/self/fd") < 0)
		return -errno;
	int fd = mount_new("overlay", opts, opts_n, 0, NULL);
	if (fchdir(here) < 0) {
		int r = -errno;

		if (fd >= 0)
			(void) close(fd);
		return r;
	}
	return fd;
}

/*
 * layers: top first. upper FD_NONE: read-only. Gives the detached mount. thrown_away: nothing of
 * the upper is looked at after its workload (--rm), so nothing of it need reach the disk: neither
 * at fsync() nor, which everybody would wait for, when the mount goes (volatile, Linux 5.10).
 */
static int overlay(const int *layers, size_t n, int upper, int work, bool thrown_away, int *ret_fd,
		   struct err *e)
{
	auto_free struct mount_option *opts = calloc(n + 4, sizeof(*opts));
	char why[MOUNT_WHY_MAX] = "";
	size_t opts_n = 0;

	if (!opts)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		opts[opts_n++] =
			(struct mount_option){ .key = "lowerdir+", .is_fd = true, .fd = layers[i] };
	if (upper >= 0) {
		opts[opts_n++] =
			(struct mount_option){ .key = "upperdir", .is_fd = true, .fd = upper };
		opts[opts_n++] =
			(struct mount_option){ .key = "workdir", .is_fd = true, .fd = work };
	}
	if (ns_in_user())
		opts[opts_n++] = (struct mount_option){ .key = "userxattr" };
	if (thrown_away) {
		opts[opts_n++] = (struct mount_option){ .key = "volatile" };
		/* Marks of a start before this one: the kernel refuses what a crash may have left
		 * half written, and this machine has not crashed since, or the record would be
		 * gone. */
		(void) unlinkat(work, "work/incompat/volatile/dirty", 0);
		(void) unlinkat(work, "work/incompat/volatile", AT_REMOVEDIR);
	}
	int fd = mount_new("overlay", opts, opts_n, 0, why);
	/* Before 6.5, whose overlay knows the old mount interface only, EOPNOTSUPP says that. */
	if (fd == -EINVAL || fd == -EOPNOTSUPP)
		fd = overlay_by_names(layers, n, upper, work, thrown_away);
	if (fd == -E2BIG)
		return err_set(e, ERR_UNSUPPORTED, E2BIG,
			       "an image of %zu layers needs Linux 6.13: merge some of them "
			       "(atoll export, atoll import)",
			       n);
	if (fd < 0)
		return err_sys(e, -fd, "mount the root file system (overlay of %zu layers)%s%s", n,
			       *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
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
		r = overlay(layers, n, upper, work, thrown_away, ret_root_fd, e);
	else {
		/* The upper as the top lower layer: nothing of it can be changed this way. */
		int all[OCI_LAYERS_MAX + 1];

		all[0] = upper;
		memcpy(all + 1, layers, n * sizeof(*layers));
		r = n + 1 > OCI_LAYERS_MAX
			    ? err_set(e, ERR_EXHAUSTED, E2BIG, "too many layers to look at")
			    : overlay(all, n + 1, FD_NONE, FD_NONE, false, ret_root_fd, e);
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
		r = root_of(s, im, b.bundle_fd, false, c->auto_remove, &b.root_fd, e);
	if (r < 0)
		goto close_set;
	plan_image_of(im->config->config, &image);
	in.root_fd = b.root_fd;
	in.run_dir = b.path.z;
	r = bundle_namespaces(s, w, c, &a, &in, e);
	if (r >= 0)
		r = bundle_mounts(s, w, c, b.root_fd, &a, &parts, e);
	if (r >= 0)
		r = bundle_files(s, w, c, b.bundle_fd, &a, &in, e);
	if (r >= 0)
		r = make_workdir(b.root_fd, c->workdir && *c->workdir ? c->workdir : image.workdir,
				 e);
	if (r < 0)
		goto close_set;
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

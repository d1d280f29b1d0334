/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff and commit: what a workload's own layer holds beside its image's. The overlay's upper
 * directory has what was added and changed, and a character device 0:0 for what was deleted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "image/resolve.h"
#include "svc/heal.h"
#include "svc/image.h"
#include "svc/tree_end.h"
#include "svc/workload.h"
#include "sys/path.h"

#define DEPTH_MAX 512 /* directories below each other: each holds a descriptor */

struct walk {
	struct arena *arena;
	const int *layers; /* top first */
	size_t layers_n;
	struct diff *found;
	size_t skipped; /* mount points, which nobody changed */
	struct err *e;
};

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Whether one layer answers for the path: has it, or hides what is below. */
static bool layer_says(int layer, const char *path, bool *ret_there)
{
	char part[4096];
	struct stat st;

	for (size_t n = 1; path[n - 1]; n++) { /* every parent in turn, then the path itself */
		if (path[n] && path[n] != '/')
			continue;
		if (n >= sizeof(part))
			return false;
		memcpy(part, path, n);
		part[n] = 0;
		auto_fd int fd = path_open_how(layer, part, O_PATH | O_NOFOLLOW, 0,
					       RESOLVE_NO_SYMLINKS);
		if (fd < 0 || fstat(fd, &st) < 0)
			return false;
		*ret_there = !path[n] && !is_whiteout(&st);
		if (!path[n] || is_whiteout(&st) || !S_ISDIR(st.st_mode))
			return true;
	}
	return false;
}

static bool in_image(const struct walk *k, const char *path)
{
	bool there = false;

	for (size_t i = 0; i < k->layers_n; i++)
		if (layer_says(k->layers[i], path, &there))
			return there;
	return false;
}

/* Empty mount points that a start makes where the image lacks them. */
static bool is_mount_point(const char *path, const struct stat *st)
{
	static const char *const points[] = { "/dev",	    "/proc",	     "/sys",
					      "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
					      "/etc/mtab" };

	if (strncmp(path, "/dev/", 5) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		if (streq(path, points[i]))
			return S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode) || st->st_size == 0;
	}
	return false;
}

static int add(struct walk *k, char kind, const char *path)
{
	struct diff_entry *en = arena_push(k->arena, &k->found->v, &k->found->n, sizeof(*en));

	if (!en)
		return err_set(k->e, ERR_EXHAUSTED, ENOMEM, "too many changes");
	*en = (struct diff_entry){ .kind = kind, .path = path };
	return 0;
}

static int walk_dir(struct walk *k, int dir_fd, const char *path, unsigned depth)
{
	auto_dir DIR *d = dir_open(dir_fd, ".");
	struct dirent *entry;
	int r = 0;

	if (!d)
		return err_sys(k->e, errno, "read '%s'", path);
	if (depth > DEPTH_MAX)
		return err_set(k->e, ERR_EXHAUSTED, ELOOP, "'%s': nested too deeply", path);
	while (r == 0 && (entry = dir_next(d))) {
		const char *below = arena_printf(k->arena, "%s/%s", path, entry->d_name);
		struct stat st;

		if (!below)
			return err_set(k->e, ERR_EXHAUSTED, ENOMEM, "too many changes");
		if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* it runs on, and has deleted it */
		if (!is_whiteout(&st) && is_mount_point(below, &st)) {
			k->skipped++;
			continue;
		}
		size_t at = k->found->n, skipped = k->skipped;
		bool existed = in_image(k, below);
		r = add(k, is_whiteout(&st) ? 'D' : existed ? 'C' : 'A', below);
		if (r == 0 && S_ISDIR(st.st_mode)) {
			auto_fd int fd = openat(dir_fd, entry->d_name,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (fd >= 0)
				r = walk_dir(k, fd, below, depth + 1);
			/* It was copied up only to hold those. */
			if (existed && k->skipped > skipped && k->found->n == at + 1)
				k->found->n = at;
		}
	}
	return r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct diff_entry *) a)->path, ((const struct diff_entry *) b)->path);
}

int workload_diff(struct svc *s, const char *ref, struct arena *a, struct diff *ret, struct err *e)
{
	auto_image struct image *im = NULL;
	auto_tree_root struct tree_root upper = TREE_ROOT_INIT;
	int layers[OCI_LAYERS_MAX];
	struct workload_record w;
	struct diff found = { 0 };
	struct walk k = { .arena = a, .layers = layers, .found = &found, .e = e };
	int r = heal_find(s, ref, a, &w, e);

	if (r >= 0)
		r = tree_upper(s, &w, false, &upper, e);
	if (r >= 0)
		r = image_resolve(s->store, *w.image_id ? w.image_id : w.image, &im, e);
	if (r >= 0)
		r = image_layer_fds(s->store, im, layers, &k.layers_n, e);
	if (r < 0)
		return r;
	r = walk_dir(&k, upper.fd, "", 0);
	for (size_t i = 0; i < k.layers_n; i++)
		(void) close(layers[i]);
	if (r < 0)
		return r;
	if (found.n)
		qsort(found.v, found.n, sizeof(*found.v), by_path);
	*ret = found;
	return 0;
}

/* ---- commit ----------------------------------------------------------------------------- */

/* The image's configuration with what the workload was given over it. */
static int merge(struct arena *a, const struct oci_run_config *image,
		 const struct workload_config *c, struct oci_run_config *ret, struct err *e)
{
	struct oci_run_config m = *image;
	const char **env = arena_array(a, image->env_n + c->env_n + 1, sizeof(*env));
	size_t n = 0;

	if (!env)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < image->env_n + c->env_n; i++) {
		const char *one = i < image->env_n ? image->env[i] : c->env[i - image->env_n];
		const char *sign = strchr(one, '=');
		size_t length = sign ? (size_t) (sign - one) + 1 : strlen(one) + 1, at = 0;

		while (at < n && strncmp(env[at], one, length) != 0)
			at++;
		env[at] = one;
		n += at == n;
	}
	m.env = env;
	m.env_n = n;
	if (c->entrypoint_set) {
		m.entrypoint = c->entrypoint;
		m.entrypoint_n = c->entrypoint_n;
		m.cmd = NULL;
		m.cmd_n = 0;
	}
	if (c->command) {
		m.cmd = c->command;
		m.cmd_n = c->command_n;
	}
	if (c->user)
		m.user = c->user;
	if (c->workdir)
		m.working_dir = c->workdir;
	if (c->stop_signal)
		m.stop_signal = c->stop_signal;
	if (c->labels_n) {
		m.labels = c->labels;
		m.labels_n = c->labels_n;
	}
	*ret = m;
	return 0;
}

static int commit(struct svc *s, const struct workload_detail *look, const struct image *im,
		  const struct commit_options *o, int upper, struct arena *a,
		  char ret_image_id[static IMAGE_ID_TEXT_MAX], struct err *e)
{
	const struct workload_record *w = &look->info.record;
	struct svc_image_result made;
	struct oci_run_config config;
	struct svc_image_commit req = {
		.base_id = im->id_text,
		.upper_fd = upper,
		.config = &config,
		.name = o->reference,
		.author = o->author,
		.message = o->message,
		.created_by = w->command,
		.changes = o->changes,
		.changes_n = o->changes_n,
	};
	int r = merge(a, im->config->config, &look->config, &config, e);

	if (r == 0)
		r = svc_image_commit(s, &req, &made, e);
	if (r < 0)
		return r;
	if (made.n)
		(void) snprintf(ret_image_id, IMAGE_ID_TEXT_MAX, "%s", made.items[0].id);
	svc_image_result_fini(&made);
	return 0;
}

int workload_commit(struct svc *s, const char *ref, const struct commit_options *o,
		    char ret_image_id[static IMAGE_ID_TEXT_MAX], struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_image struct image *im = NULL;
	auto_tree_root struct tree_root upper = TREE_ROOT_INIT;
	auto_fd int upper_fd = FD_NONE;
	struct workload_detail look;
	const struct workload_record *w = &look.info.record;
	bool pause = false;
	int r = workload_look(s, ref, false, &a, &look, e);

	if (r == 0) {
		pause = w->status.state == WORKLOAD_RUNNING && !o->no_pause;
		r = tree_upper(s, w, pause, &upper, e);
	}
	if (r == 0)
		r = tree_root_dir(&upper, &upper_fd, e);
	if (r == 0)
		r = image_resolve(s->store, *w->image_id ? w->image_id : w->image, &im, e);
	if (r < 0)
		return r;
	if (upper.inside.files.top_fd >= 0)
		pause = false; /* it is held in there: its kernel has to go on */
	if (pause)
		r = workload_pause(s, w->id, e);
	if (r < 0)
		return r;
	r = commit(s, &look, im, o, upper_fd, &a, ret_image_id, e);
	if (pause) {
		struct err late;

		if (workload_unpause(s, w->id, &late) < 0 && r == 0) {
			*e = late; /* the image is made; what matters more is what stands still */
			r = err_ctx(e, "the image %s is made", ret_image_id);
		}
	}
	return r;
}

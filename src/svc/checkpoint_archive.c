/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint as one file, for another installation:
 *
 *	atoll-checkpoint.json	what it is of: name, image, configuration
 *	checkpoint.tar		the images, or a machine's state, memory and disk: a flat directory
 *	rootfs-diff.tar		the workload's own layer, as a layer of an image
 *
 * Volumes stay where they are. A machine goes on with volumes that are the very same alone, under
 * the same kernel and build. An archive may come from anywhere: its trees are unpacked by the
 * confined worker, and what it says of the workload is checked as if a user had said it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/engine.h"
#include "fmt/json.h"
#include "fmt/tar_write.h"
#include "image/archive.h"
#include "image/content.h"
#include "image/resolve.h"
#include "image/worker.h"
#include "svc/checkpoint.h"
#include "svc/heal.h"
#include "svc/workload.h"
#include "sys/tree.h"

#define MEMBER_TEXT   "atoll-checkpoint.json"
#define MEMBER_IMAGES "checkpoint.tar"
#define MEMBER_FILES  "rootfs-diff.tar"
#define TEXT_MAX      (4u << 20) /* bytes of MEMBER_TEXT */
#define CHUNK	      (256u << 10)

struct described {
	uint32_t version;
	const char *name, *image, *image_id, *isolation;
	const struct json *config;
};

static const struct json_field described_fields[] = {
	JSON_U32_FIELD(struct described, version, "version", 1, 1, JSON_REQUIRED),
	JSON_STRING_FIELD(struct described, name, "name", JSON_REQUIRED),
	JSON_STRING_FIELD(struct described, image, "image", JSON_REQUIRED),
	JSON_STRING_FIELD(struct described, image_id, "imageId", JSON_REQUIRED),
	JSON_STRING_FIELD(struct described, isolation, "isolation", JSON_REQUIRED),
	JSON_VALUE_FIELD(struct described, config, "config", JSON_REQUIRED),
};
static const struct json_table described_table = JSON_TABLE(struct described, described_fields,
							    JSON_UNKNOWN_REFUSE);

/* What is kept of it is a machine, which holds itself still for it. */
static bool is_machine(const char *isolation)
{
	const struct engine_ops *ops = engine_find(isolation);

	return ops && ops->own_kernel;
}

/* ---- out ---------------------------------------------------------------------------------- */

static int put(int fd, const void *p, size_t n, struct err *e)
{
	int r = fd_write_all(fd, p, n);

	return r < 0 ? err_sys(e, -r, "write the archive") : 0;
}

static int put_header(int fd, const char *name, uint64_t size, struct err *e)
{
	auto_buf struct buf b = BUF_INIT(64u << 10);
	const struct tar_entry n = {
		.name = str_of(name), .type = TAR_FILE, .mode = 0600, .size = size
	};

	tar_write_header(&b, &n);
	return buf_ok(&b) ? put(fd, b.p, b.n, e)
			  : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int put_padding(int fd, uint64_t size, struct err *e)
{
	static const char zeros[TAR_BLOCK];

	return put(fd, zeros, tar_padding(size), e);
}

static int put_file(int fd, const char *name, int from, uint64_t size, struct err *e)
{
	auto_free char *chunk = malloc(CHUNK);
	int r = chunk ? put_header(fd, name, size, e)
		      : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	for (uint64_t at = 0; r == 0 && at < size;) {
		ssize_t n = pread(from, chunk, CHUNK, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (uint64_t) n > size - at)
			return err_sys(e, n < 0 ? errno : EIO, "read what was packed");
		r = put(fd, chunk, (size_t) n, e);
		at += (uint64_t) n;
	}
	return r == 0 ? put_padding(fd, size, e) : r;
}

/* A directory as a tar in a file of tmp, whose size is known then, and into the archive. */
static int put_tree(struct content *c, const char *member, int dir_fd, bool upper, int out_fd,
		    struct err *e)
{
	char name[CONTENT_NAME_MAX];
	struct pack_request pack = {
		.dir_fd = dir_fd, .overlay_upper = upper, .sparse = !upper, .mtime_max = INT64_MAX
	};
	auto_fd int file = content_tmp_file(c, name, e);
	struct unpack_result packed;
	int r;

	if (file < 0)
		return file;
	content_tmp_drop(c, name); /* the descriptor keeps it */
	pack.out_fd = file;
	r = worker_pack(&pack, &packed, e);
	return r < 0 ? r : put_file(out_fd, member, file, packed.tar_bytes, e);
}

static int put_text(const struct workload_record *w, const char *config, int out_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct json_writer j = JSON_WRITER(&text);
	const struct json *v;
	int r = json_parse(&a, str_of(config), &v, e);

	if (r < 0)
		return err_ctx(e, "the configuration of workload '%s'", w->name);
	json_w_object(&j, NULL);
	json_w_u64(&j, "version", 1);
	json_w_string(&j, "name", w->name);
	json_w_string(&j, "image", w->image);
	json_w_string(&j, "imageId", w->image_id);
	json_w_string(&j, "isolation", w->isolation);
	json_w_value(&j, "config", v);
	json_w_end(&j);
	if (!buf_ok(&text))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = put_header(out_fd, MEMBER_TEXT, text.n, e);
	r = r < 0 ? r : put(out_fd, text.p, text.n, e);
	return r < 0 ? r : put_padding(out_fd, text.n, e);
}

/*
 * The workload's files of the moment of its images: those of a container, which has ended or is
 * paused; or the copy that a machine's snapshot has made. Gives.
 */
static int open_files(struct svc *s, const struct workload_record *w, bool machine, int images_fd)
{
	struct path_text path = paths_workload(&s->paths, w->id);
	auto_fd int dir = machine ? FD_NONE : open(path.z, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return openat(machine ? images_fd : dir, machine ? SNAPSHOT_FILES : "upper",
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int export_all(struct svc *s, const struct workload_record *w, const char *config,
		      const struct checkpoint_options *o, struct content *c, int images_fd,
		      int out_fd, struct err *e)
{
	struct checkpoint_options how = *o;
	auto_fd int files = FD_NONE;
	static const char end[2 * TAR_BLOCK];
	int r;

	how.files = is_machine(w->isolation);
	r = checkpoint_dump(s, w, &how, images_fd, e);
	if (r < 0)
		return r;
	files = open_files(s, w, how.files, images_fd);
	if (files < 0)
		return err_sys(e, errno, "open the files of workload '%s'", w->name);
	r = put_text(w, config, out_fd, e);
	if (r == 0 && how.files) /* they lie among the images, which are a flat directory */
		r = put_tree(c, MEMBER_FILES, files, true, out_fd, e);
	if (r == 0 && how.files && tree_unlink(images_fd, SNAPSHOT_FILES) < 0)
		return err_sys(e, errno, "remove the copy of the files of '%s'", w->name);
	r = r < 0 ? r : put_tree(c, MEMBER_IMAGES, images_fd, false, out_fd, e);
	if (r == 0 && !how.files)
		r = put_tree(c, MEMBER_FILES, files, true, out_fd, e);
	return r < 0 ? r : put(out_fd, end, sizeof(end), e);
}

int workload_checkpoint_export(struct svc *s, const char *ref, const struct checkpoint_options *o,
			       int out_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_content struct content c = { .layers_fd = FD_NONE,
					  .blobs_fd = FD_NONE,
					  .tmp_fd = FD_NONE };
	char name[CONTENT_NAME_MAX];
	auto_fd int images = FD_NONE;
	struct workload_record w;
	const char *config = NULL;
	struct err ignored;
	bool pause;
	int r = svc_store(s, e);

	r = r < 0 ? r : heal_find(s, ref, &a, &w, e);
	r = r < 0 ? r : store_workload_config(s->store, w.id, &a, &config, e);
	r = r < 0 ? r : checkpoint_possible(&w, o, "before its files are exported", e);
	if (r < 0)
		return r;
	r = content_open(&c, s->store, CONTENT_ADD, e);
	if (r < 0)
		return r;
	content_tmp_name(&c, "checkpoint", name);
	if (mkdirat(c.tmp_fd, name, 0700) < 0)
		return err_sys(e, errno, "make a place for the checkpoint");
	images = openat(c.tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	pause = o->leave_running && w.status.state == WORKLOAD_RUNNING && !is_machine(w.isolation);
	r = images < 0 ? err_sys(e, errno, "make a place for the checkpoint")
	    : pause    ? workload_pause(s, w.id, e)
		       : 0;
	pause = pause && r == 0;
	r = r < 0 ? r : export_all(s, &w, config, o, &c, images, out_fd, e);
	if (pause && workload_unpause(s, w.id, r < 0 ? &ignored : e) < 0 && r == 0)
		r = -1;
	content_tmp_drop(&c, name);
	return r < 0 ? err_ctx(e, "export a checkpoint of '%s'", w.name) : 0;
}

/* ---- in ----------------------------------------------------------------------------------- */

static int unpack(struct archive *ar, const char *member, int dir_fd, bool plain, struct err *e)
{
	struct archive_part part = { .owned_fd = FD_NONE };
	struct unpack_request q = {
		.copy_fd = FD_NONE, .dir_fd = dir_fd, .plain_tree = plain, .no_owner = plain
	};
	struct unpack_result result;
	int r = archive_part(ar, member, &part, e);

	if (r < 0)
		return r;
	q.in_fd = part.owned_fd >= 0 ? part.owned_fd : part.fd;
	q.in_range = true;
	q.in_off = part.off;
	q.in_size = part.size;
	r = worker_unpack(&q, &result, e);
	archive_part_fini(&part);
	return r < 0 ? err_ctx(e, "%s", member) : 0;
}

/* CRIU opens its images by name and follows links: there shall be files and nothing else. */
static int check_images(int dir_fd, struct err *e)
{
	auto_dir DIR *d = dir_open(dir_fd, ".");

	if (!d)
		return err_sys(e, errno, "look at the checkpoint");
	for (struct dirent *de; (de = dir_next(d));) {
		struct stat st;

		if (fstatat(dir_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, errno, "look at the checkpoint");
		if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
			return err_set(e, ERR_INVALID, EINVAL,
				       MEMBER_IMAGES ": '%.100s' is no plain file: the archive is "
						     "not one that was exported here",
				       de->d_name);
	}
	return 0;
}

static int read_text(struct archive *ar, struct arena *a, struct described *d,
		     struct workload_config *c, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX), config = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&config);
	const struct json *root;
	int r = archive_read(ar, MEMBER_TEXT, &text, e);

	r = r < 0 ? r : json_parse(a, buf_str(&text), &root, e);
	r = r < 0 ? r : json_decode(a, root, &described_table, d, "", e);
	if (r < 0)
		return err_ctx(e, MEMBER_TEXT);
	json_w_value(&w, NULL, d->config);
	if (!buf_ok(&config))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = workload_config_read(a, buf_str(&config), c, e);
	return r < 0 ? err_ctx(e, MEMBER_TEXT) : 0;
}

int checkpoint_image(struct svc *s, const char *name, const char *image_id, const char **ret_ref,
		     struct err *e)
{
	auto_image struct image *named = NULL, *im = NULL;
	struct err ignored;

	if (image_resolve(s->store, name, &named, &ignored) == 0 &&
	    streq(named->id_text, image_id)) {
		*ret_ref = name;
		return 0;
	}
	if (image_resolve(s->store, image_id, &im, &ignored) < 0 || !streq(im->id_text, image_id))
		return err_set(
			e, ERR_NOT_FOUND, ENOENT,
			"the checkpoint is of image '%.60s' (%.80s), which is not here: load "
			"it first",
			name, image_id);
	*ret_ref = image_id;
	return 0;
}

/* A file of the host as CRIU's configuration: only its owner may name one. */
static void drop_annotations(struct workload_config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->annotations_n; i++) {
		if (strncmp(c->annotations[i].key, "org.criu.", 9) != 0)
			c->annotations[n++] = c->annotations[i];
	}
	c->annotations_n = n;
}

static int fill(struct svc *s, struct archive *ar, const char *id,
		const struct checkpoint_options *o, struct err *e)
{
	struct path_text path = paths_workload(&s->paths, id);
	auto_fd int dir = open(path.z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int upper = FD_NONE, images = FD_NONE;
	struct restore_point from = { .files_fd = FD_NONE, .options = o };
	int r;

	if (dir < 0)
		return err_sys(e, errno, "open '%s'", path.z);
	upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0 || mkdirat(dir, "import", 0700) < 0)
		return err_sys(e, errno, "make '%s/import'", path.z);
	images = openat(dir, "import", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (images < 0)
		return err_sys(e, errno, "open '%s/import'", path.z);
	r = unpack(ar, MEMBER_FILES, upper, false, e);
	r = r < 0 ? r : unpack(ar, MEMBER_IMAGES, images, true, e);
	r = r < 0 ? r : check_images(images, e);
	from.dir_fd = images;
	r = r < 0 ? r : workload_start_from(s, id, &from, NULL, NULL, NULL, e);
	(void) tree_unlink(dir, "import"); /* else it goes with the workload */
	return r;
}

int workload_checkpoint_import(struct svc *s, const char *path, const char *name,
			       const struct checkpoint_options *o,
			       char ret_id[static WORKLOAD_ID_MAX], struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(64u << 20);
	auto_content struct content content = { .layers_fd = FD_NONE,
						.blobs_fd = FD_NONE,
						.tmp_fd = FD_NONE };
	auto_archive struct archive ar = { .fd = FD_NONE, .dir_fd = FD_NONE };
	struct workload_config c;
	struct described d = {};
	char id[WORKLOAD_ID_MAX];
	struct err ignored;
	int r = svc_store(s, e);

	r = r < 0 ? r : content_open(&content, s->store, CONTENT_ADD, e);
	r = r < 0 ? r : archive_open(&ar, &content, path, FD_NONE, e);
	r = r < 0 ? r : read_text(&ar, &a, &d, &c, e);
	r = r < 0 ? r : checkpoint_image(s, d.image, d.image_id, &c.image, e);
	if (r < 0)
		return err_ctx(e, "import the checkpoint '%s'", path);
	c.name = name ? name : d.name;
	c.isolation = d.isolation;
	c.auto_remove = false;
	c.snapshot = NULL;
	drop_annotations(&c);
	r = workload_create(s, &c, false, NULL, id, e);
	if (r < 0)
		return err_ctx(e, "import the checkpoint '%s'", path);
	r = fill(s, &ar, id, o, e);
	if (r < 0) {
		(void) workload_rm(s, id, true, false, &ignored); /* the first failure counts */
		return err_ctx(e, "import the checkpoint '%s'", path);
	}
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "fmt/oci_image.h"
#include "image/content.h"
#include "image/resolve.h"
#include "svc/image.h"
#include "svc/image_disk_child.h"
#include "svc/image_parts.h"
#include "svc/overlay.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define PROGRAM	 "mkfs.erofs"
#define LOG_MAX	 ((size_t) 1 << 20)
#define UUID_MAX 37
#define PIECE	 ((size_t) 1 << 30)
#define BLOCK	 4096
/*
 * 2100-01-01: the time of the disk itself, the same for all so that the same files are the same
 * bytes, and the latest that a file can have: it has to be after those.
 */
#define DISK_TIME "4102444800"

/* One name for the same content, always: a random one would make each disk another. */
static void uuid_of(const struct digest *d, char ret[static UUID_MAX])
{
	const uint8_t *b = d->b;

	(void) snprintf(ret, UUID_MAX,
			"%02x%02x%02x%02x-%02x%02x-8%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0],
			b[1], b[2], b[3], b[4], b[5], b[6] & 15u, b[7], b[8] & 15u, b[9], b[10],
			b[11], b[12], b[13], b[14], b[15]);
}

/* What it said last, in one line. */
static void last_words(int log_fd, char *ret, size_t max)
{
	auto_buf struct buf log = BUF_INIT(LOG_MAX);
	struct str rest, line = { 0 };

	ret[0] = '\0';
	if (lseek(log_fd, 0, SEEK_SET) < 0 || fd_read_all(log_fd, &log) < 0)
		return;
	for (rest = str_trim(buf_str(&log)); rest.p;)
		line = str_cut(rest, '\n', &rest);
	line = str_trim(line);
	(void) snprintf(ret, max, "%.*s", (int) line.n, line.p ? line.p : "");
}

int image_disk_run(const struct image_disk_child *child, nsec_t deadline, struct err *e)
{
	auto_fd int pidfd = FD_NONE;
	char words[300];
	siginfo_t info;
	pid_t pid = ns_clone(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC, FD_NONE, &pidfd);

	if (pid < 0)
		return err_sys(e, -pid, "start %s", child->name);
	if (pid == 0)
		image_disk_child(child);
	int r = pidfd_reap_by(pidfd, deadline, &info);
	if (r < 0)
		return err_sys(e, -r, "wait for %s", child->name);
	if (r == 0)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "%s did not end in time", child->name);
	if (pidfd_status(&info) == 0)
		return 0;
	last_words(child->log_fd, words, sizeof(words));
	return err_set(e, ERR_INTERNAL, 0, "%s %s (status %d): %s", child->name,
		       pidfd_status(&info) == IMAGE_DISK_CHILD_FAILED ? "could not be started"
								      : "failed",
		       pidfd_status(&info), words);
}

int image_tree(struct svc *s, const struct image *im, int empty_fd, int *ret_fd, struct err *e)
{
	const struct mount_change change = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
					     .userns_fd = FD_NONE };
	int layers[OCI_LAYERS_MAX + 1], tree = FD_NONE;
	size_t n = 0;
	int r = image_layer_fds(s->store, im, layers, &n, e);

	if (r < 0)
		return r;
	layers[n] = empty_fd; /* two lower layers is the least without an upper one */
	if (n == 1 && empty_fd < 0) {
		tree = mount_clone(layers[0], "", false);
		r = tree < 0 ? err_sys(e, -tree, "the image's files") : 0;
	} else {
		r = overlay_mount(layers, n == 1 ? 2 : n, FD_NONE, FD_NONE, false, &tree, e);
	}
	for (size_t i = 0; i < n; i++)
		(void) close(layers[i]);
	if (r < 0)
		return r;
	r = mount_change(tree, "", false, &change);
	if (r < 0) {
		(void) close(tree);
		return err_sys(e, -r, "the image's files");
	}
	*ret_fd = tree;
	return 0;
}

static int check_size(int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size == 0 || st.st_size % BLOCK)
		return err_set(e, ERR_INTERNAL, 0, PROGRAM " made no disk");
	return 0;
}

/* place: an empty directory of tmp; where the child alone sees the tree. */
static int fill(struct svc *s, const struct image *im, const char *program, const char *place,
		int disk_fd, nsec_t deadline, struct err *e)
{
	auto_fd int place_fd = open(place, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), tree = FD_NONE;
	auto_fd int log_fd = memfd_create(PROGRAM, MFD_CLOEXEC);
	char uuid[UUID_MAX], name[] = PROGRAM, strict[] = "--preserve-mtime", quiet[] = "-d1",
			     uuid_option[UUID_MAX + 2], disk[] = IMAGE_DISK_NAME,
			     from[PATHS_FULL_MAX], epoch[] = "SOURCE_DATE_EPOCH=" DISK_TIME,
			     path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *argv[] = { name, quiet, strict, uuid_option, disk, from, NULL };
	char *env[] = { epoch, path, locale, NULL };

	if (place_fd < 0 || null_fd < 0 || log_fd < 0)
		return err_sys(e, errno, "make the disk of an image");
	uuid_of(&im->row.chains[im->row.chains_n - 1], uuid);
	(void) snprintf(uuid_option, sizeof(uuid_option), "-U%s", uuid);
	(void) snprintf(from, sizeof(from), "%s", place);
	int r = image_tree(s, im, place_fd, &tree, e);
	if (r < 0)
		return r;
	const struct image_disk_child child = { .program = program,
						.name = PROGRAM,
						.argv = argv,
						.env = env,
						.tree_fd = tree,
						.place = place,
						.disk_fd = disk_fd,
						.null_fd = null_fd,
						.log_fd = log_fd };
	r = image_disk_run(&child, deadline, e);
	return r < 0 ? r : check_size(disk_fd, e);
}

static int make(struct svc *s, struct content *c, const struct image *im,
		const struct digest *chain, nsec_t deadline, struct err *e)
{
	char program[SPAWN_PATH_MAX], place_name[CONTENT_NAME_MAX], disk_name[CONTENT_NAME_MAX];
	char place[PATHS_FULL_MAX];

	if (spawn_find(PROGRAM, program) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOENT,
			       PROGRAM " is not in PATH (Debian's package: erofs-utils)");
	content_tmp_name(c, "tree", place_name);
	int n = snprintf(place, sizeof(place), "%s/%s", paths_tmp(&s->paths).z, place_name);
	if (n >= (int) sizeof(place) || mkdir(place, 0700) < 0)
		return err_sys(e, errno, "make a directory in %s", paths_tmp(&s->paths).z);
	auto_fd int fd = content_tmp_file(c, disk_name, e);
	int r = fd < 0 ? fd : fill(s, im, program, place, fd, deadline, e);
	if (r == 0)
		r = content_disk_keep(c, fd, disk_name, chain, e);
	if (r < 0 && fd >= 0)
		content_tmp_drop(c, disk_name);
	content_tmp_drop(c, place_name);
	return r < 0 ? err_ctx(e, "the disk of image %.19s", im->id_text) : 0;
}

int image_disk(struct svc *s, const struct image *im, nsec_t deadline, int *ret_fd, struct err *e)
{
	auto_content struct content c = { .layers_fd = FD_NONE,
					  .blobs_fd = FD_NONE,
					  .tmp_fd = FD_NONE };
	int r, fd;

	if (!im->row.chains_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "image %.19s has no layers",
			       im->id_text);
	const struct digest *chain = &im->row.chains[im->row.chains_n - 1];
	/* Adding: no sweeper takes it for rubbish before it is opened. */
	r = content_open(&c, s->store, CONTENT_ADD, e);
	if (r < 0)
		return r;
	fd = content_disk_open(&c, chain);
	if (fd == -ENOENT) {
		auto_fd int lock = content_lock(&c, chain, e);

		if (lock < 0)
			return lock;
		fd = content_disk_open(&c, chain); /* another one made it meanwhile */
		if (fd == -ENOENT) {
			r = make(s, &c, im, chain, deadline, e);
			if (r < 0)
				return r;
			fd = content_disk_open(&c, chain);
		}
	}
	if (fd < 0)
		return err_sys(e, -fd, "open the disk of image %.19s", im->id_text);
	*ret_fd = fd;
	return 0;
}

int image_disk_save(struct svc *s, const struct svc_image_save *req, struct err *e)
{
	auto_image struct image *im = NULL;
	auto_fd int fd = FD_NONE;
	ssize_t n;
	int r;

	if (req->images_n != 1)
		return err_set(e, ERR_INVALID, EINVAL, "a disk is of one image, not of %zu",
			       req->images_n);
	r = image_resolve(s->store, req->images[0], &im, e);
	if (r == 0)
		r = image_disk(s, im, NSEC_NEVER, &fd, e);
	if (r < 0)
		return r;
	while ((n = sendfile(req->out_fd, fd, NULL, PIECE)) > 0)
		;
	return n < 0 ? err_sys(e, errno, "write the disk of image %.19s", im->id_text) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/own_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "image/content.h"
#include "svc/image_disk_child.h"
#include "sys/spawn.h"
#include "sys/tree.h"

#define PROGRAM	    "mkfs.ext4"
#define MIB	    (UINT64_C(1) << 20)
#define JOURNAL_MAX 64 /* MiB: of the host's disk it takes as much, in time */
#define JOURNAL_MIN 4
#define LOCK_AGAIN  (20 * NSEC_PER_MSEC)

/*
 * All of it said here: what the host's mke2fs.conf has is for its own disks. Inode tables and
 * journal are not written: the file is zero where nothing is.
 */
#define FEATURES                                                                                   \
	"none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"          \
	"large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
#define EXTENDED "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"

bool own_disk_there(int bundle_fd)
{
	return faccessat(bundle_fd, PATHS_DISK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

uint64_t own_disk_bytes(int bundle_fd)
{
	struct stat st;

	return fstatat(bundle_fd, PATHS_DISK, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : (uint64_t) st.st_blocks * 512;
}

static int format(const char *program, int disk_fd, uint64_t size, nsec_t deadline, struct err *e)
{
	auto_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_fd int log_fd = memfd_create(PROGRAM, MFD_CLOEXEC);
	uint64_t journal = size / MIB / 64;
	char name[] = PROGRAM, quiet[] = "-q", force[] = "-F", block[] = "-b4096",
	     inode[] = "-I256", reserved[] = "-m0", label[] = "-Latoll", only[] = "-O",
	     features[] = FEATURES, with[] = "-E", extended[] = EXTENDED, log[] = "-J",
	     log_size[32], disk[] = IMAGE_DISK_NAME, config[] = "MKE2FS_CONFIG=/dev/null",
	     path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *argv[] = { name,	   label, quiet,    force, block,    inode, reserved, only,
			 features, with,  extended, log,   log_size, disk,  NULL };
	char *env[] = { config, path, locale, NULL };

	if (null_fd < 0 || log_fd < 0)
		return err_sys(e, errno, "make a disk");
	journal = journal < JOURNAL_MIN	  ? JOURNAL_MIN
		  : journal > JOURNAL_MAX ? JOURNAL_MAX
					  : journal;
	(void) snprintf(log_size, sizeof(log_size), "size=%u", (unsigned) journal);
	const struct image_disk_child child = { .program = program,
						.name = PROGRAM,
						.argv = argv,
						.env = env,
						.tree_fd = FD_NONE,
						.disk_fd = disk_fd,
						.null_fd = null_fd,
						.log_fd = log_fd };
	return image_disk_run(&child, deadline, e);
}

static int make_empty(struct svc *s, struct content *c, const char *path, uint64_t size,
		      nsec_t deadline, struct err *e)
{
	char program[SPAWN_PATH_MAX], tmp[CONTENT_NAME_MAX];
	struct path_text disks = paths_disks(&s->paths);
	int r;

	if (spawn_find(PROGRAM, program) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOENT,
			       PROGRAM " is not in PATH (Debian's package: e2fsprogs)");
	auto_fd int fd = content_tmp_file(c, tmp, e);
	if (fd < 0)
		return fd;
	r = ftruncate(fd, (off_t) size) < 0
		    ? err_sys(e, errno, "a file of %llu bytes", (unsigned long long) size)
		    : format(program, fd, size, deadline, e);
	/* Found by its name alone later, as an image's disk. */
	if (r == 0 && (fsync(fd) < 0 || (mkdir(disks.z, 0700) < 0 && errno != EEXIST) ||
		       renameat(c->tmp_fd, tmp, AT_FDCWD, path) < 0))
		r = err_sys(e, errno, "keep an empty disk in %s", disks.z);
	if (r < 0)
		content_tmp_drop(c, tmp);
	return r;
}

static int open_empty(struct svc *s, struct content *c, uint64_t size, nsec_t deadline, int *ret_fd,
		      struct err *e)
{
	struct digest what = { .b = "ext4" };
	char path[PATHS_FULL_MAX];
	int n = snprintf(path, sizeof(path), "%s/ext4-%llu", paths_disks(&s->paths).z,
			 (unsigned long long) size);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r = 0;

	if (n >= (int) sizeof(path))
		return err_sys(e, ENAMETOOLONG, "an empty disk");
	if (fd < 0 && errno == ENOENT) {
		for (size_t i = 0; i < sizeof(size); i++)
			what.b[8 + i] = (uint8_t) (size >> (8 * i));
		auto_fd int lock = content_lock(c, &what, e);

		if (lock < 0)
			return lock;
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT) {
			r = make_empty(s, c, path, size, deadline, e);
			if (r < 0)
				return r;
			fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		}
	}
	if (fd < 0)
		return err_sys(e, errno, "open '%s'", path);
	*ret_fd = fd;
	return 0;
}

int own_disk_make(struct svc *s, int bundle_fd, uint64_t size, bool durable, nsec_t deadline,
		  struct err *e)
{
	auto_content struct content c = { .layers_fd = FD_NONE,
					  .blobs_fd = FD_NONE,
					  .tmp_fd = FD_NONE };
	auto_fd int empty = FD_NONE, disk = FD_NONE;
	int r = content_open(&c, s->store, CONTENT_ADD, e);

	size = size ? size : OWN_DISK_SIZE;
	r = r < 0 ? r : open_empty(s, &c, size, deadline, &empty, e);
	if (r < 0)
		return r;
	disk = openat(bundle_fd, PATHS_DISK_NEW,
		      O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (disk < 0)
		return err_sys(e, errno, "make the disk of a workload");
	r = ioctl(disk, FICLONE, empty) == 0 ? 0 : tree_copy_data(empty, disk, size);
	if (r == 0 && ((durable && fsync(disk) < 0) ||
		       renameat(bundle_fd, PATHS_DISK_NEW, bundle_fd, PATHS_DISK) < 0))
		r = -errno;
	if (r < 0)
		(void) unlinkat(bundle_fd, PATHS_DISK_NEW, 0);
	return r < 0 ? err_sys(e, -r, "make the disk of a workload") : 0;
}

int own_disk_open(int bundle_fd, nsec_t deadline, int *ret_fd, struct err *e)
{
	const struct timespec again = { .tv_nsec = (long) LOCK_AGAIN };
	auto_fd int fd = openat(bundle_fd, PATHS_DISK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open the disk of the workload");
	/* Its machine may be about to end; the kernel tells nobody when a lock becomes free. */
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock the disk of the workload");
		if (clock_mono() >= deadline)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "the disk of the workload is in use: a machine has it, of a "
				       "start or of another command that looks at its files");
		(void) nanosleep(&again, NULL);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

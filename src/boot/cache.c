/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/cache.h"

#include <errno.h>
#include <fcntl.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/auto.h"
#include "base/file.h"
#include "boot/input.h"
#include "sys/tree.h"

#define FILE_BYTES_MAX ((size_t) 1 << 30)
#define PAGE	       ((size_t) 4096)

static bool same_content(int dirfd, const char *name, const struct prepared_file *f)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_input struct input in = INPUT_INIT;
	struct err e;

	return fd >= 0 && input_read(fd, name, "", FILE_BYTES_MAX, &in, &e) == 0 &&
	       digest_eq(&in.digest, &f->digest);
}

static bool looks_good(int dirfd, const char *name, const struct prepared_file *f)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && prepared_intact(f, &st);
}

static int write_record(int dirfd, const struct prepared *p)
{
	auto_buf struct buf text = BUF_INIT(PREPARED_RECORD_MAX);

	prepared_write(p, &text);
	return buf_ok(&text) ? file_replace(dirfd, PREPARED_RECORD, buf_str(&text), 0400, false)
			     : -EFBIG;
}

/* Gives the directory and its record; a negative number: there is none. */
static int open_record(int cache_fd, const char *hex, struct prepared *ret)
{
	auto_fd int dirfd = openat(cache_fd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(PREPARED_RECORD_MAX);

	if (dirfd < 0 || file_read(dirfd, PREPARED_RECORD, &text) < 0 ||
	    prepared_read(buf_str(&text), ret) < 0)
		return -ENOENT;
	return take_fd(&dirfd);
}

bool cache_has(const struct cache *c, const char *hex)
{
	struct prepared p;
	auto_fd int dirfd = open_record(c->fd, hex, &p);

	if (dirfd < 0 || !looks_good(dirfd, PREPARED_VMLINUX, &p.vmlinux) ||
	    !looks_good(dirfd, PREPARED_INITRAMFS, &p.initramfs))
		return false;
	if (c->boot[0] && streq(c->boot, p.boot))
		return true;
	if (!same_content(dirfd, PREPARED_VMLINUX, &p.vmlinux) ||
	    !same_content(dirfd, PREPARED_INITRAMFS, &p.initramfs))
		return false;
	(void) snprintf(p.boot, sizeof(p.boot), "%s", c->boot);
	(void) !write_record(dirfd, &p); /* else they are compared again next time */
	return true;
}

/* What nobody makes any more, and links that lead nowhere. With the lock. */
static void sweep(int cache_fd)
{
	auto_dir DIR *d = dir_open(cache_fd, ".");
	struct dirent *entry;
	struct stat st;

	while (d && (entry = dir_next(d))) {
		struct str name = str_of(entry->d_name);

		if (str_starts(name, PREPARED_NEW))
			(void) !tree_unlink(cache_fd, entry->d_name); /* the next one tries again */
		else if (str_starts(name, "@") && fstatat(cache_fd, entry->d_name, &st, 0) < 0 &&
			 errno == ENOENT)
			(void) unlinkat(cache_fd, entry->d_name, 0); /* as above */
	}
}

int cache_lock(const struct cache *c, int *ret_lock_fd, struct err *e)
{
	auto_fd int fd = openat(c->fd, PREPARED_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				0600);

	if (fd < 0)
		return err_sys(e, errno, "lock the prepared kernels");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "lock the prepared kernels");
	sweep(c->fd);
	*ret_lock_fd = take_fd(&fd);
	return 0;
}

static struct prepared_file file_of(struct str content)
{
	struct prepared_file f = { .size = content.n };

	(void) SHA256((const unsigned char *) content.p, content.n, f.digest.b);
	return f;
}

static bool zeros_at(struct str content, size_t at)
{
	static const char zeros[PAGE];

	return at < content.n &&
	       memcmp(content.p + at, zeros, content.n - at < PAGE ? content.n - at : PAGE) == 0;
}

/* Pages of zeros become holes, which atoll-vmm need not copy into each guest. */
static int write_sparse(int fd, struct str content)
{
	for (size_t at = 0, from = 0; at < content.n; from = at) {
		int r;

		while (at < content.n && !zeros_at(content, at))
			at += content.n - at < PAGE ? content.n - at : PAGE;
		r = fd_write_all(fd, content.p + from, at - from);
		if (r < 0)
			return r;
		while (zeros_at(content, at))
			at += content.n - at < PAGE ? content.n - at : PAGE;
		if (lseek(fd, (off_t) at, SEEK_SET) < 0)
			return -errno;
	}
	return ftruncate(fd, (off_t) content.n) < 0 ? -errno : 0;
}

static int write_file(int dirfd, const char *name, struct str content, struct err *e)
{
	static const struct timespec never[2] = {};
	/* An emulator without rights opens what it is given anew; the directory keeps others out.
	 */
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int r = fd < 0 ? -errno : write_sparse(fd, content);

	if (r == 0 && futimens(fd, never) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "write the prepared %s", name) : 0;
}

/*
 * The same kernel with another agent (an update of ours) shares the larger file. Only with one that
 * is known to be good: of this boot, and with the digest that is wanted.
 */
static bool link_vmlinux(int cache_fd, int dirfd, const struct prepared *p)
{
	auto_dir DIR *d = dir_open(cache_fd, ".");
	struct digest name;
	struct dirent *entry;

	while (d && p->boot[0] && (entry = dir_next(d))) {
		struct prepared other;

		if (digest_parse_hex(str_of(entry->d_name), &name) < 0)
			continue;
		auto_fd int from = open_record(cache_fd, entry->d_name, &other);
		/* File systems without links get a file each. */
		if (from >= 0 && streq(other.boot, p->boot) &&
		    digest_eq(&other.vmlinux.digest, &p->vmlinux.digest) &&
		    looks_good(from, PREPARED_VMLINUX, &p->vmlinux) &&
		    linkat(from, PREPARED_VMLINUX, dirfd, PREPARED_VMLINUX, 0) == 0)
			return true;
	}
	return false;
}

static int fill(const struct cache *c, int dirfd, struct prepared *p, struct str vmlinux,
		struct str initramfs, struct err *e)
{
	int r = 0;

	memcpy(p->boot, c->boot, sizeof(p->boot));
	p->vmlinux = file_of(vmlinux);
	p->initramfs = file_of(initramfs);
	if (!link_vmlinux(c->fd, dirfd, p))
		r = write_file(dirfd, PREPARED_VMLINUX, vmlinux, e);
	if (r == 0)
		r = write_file(dirfd, PREPARED_INITRAMFS, initramfs, e);
	if (r < 0)
		return r;
	r = write_record(dirfd, p);
	return r < 0 ? err_sys(e, -r, "write the record of a prepared kernel") : 0;
}

int cache_make(const struct cache *c, const char *hex, struct prepared *p, struct str vmlinux,
	       struct str initramfs, struct err *e)
{
	const int cache_fd = c->fd;
	auto_fd int dirfd = FD_NONE;
	int r = 0;

	if (mkdirat(cache_fd, PREPARED_NEW "kernel", 0700) < 0)
		return err_sys(e, errno, "make a directory for a prepared kernel");
	dirfd = openat(cache_fd, PREPARED_NEW "kernel", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		r = err_sys(e, errno, "make a directory for a prepared kernel");
	if (r == 0)
		r = fill(c, dirfd, p, vmlinux, initramfs, e);
	if (r == 0 && renameat(cache_fd, hex, cache_fd, PREPARED_NEW "damaged") < 0 &&
	    errno != ENOENT)
		r = err_sys(e, errno, "set a damaged kernel aside");
	if (r == 0 && renameat(cache_fd, PREPARED_NEW "kernel", cache_fd, hex) < 0)
		r = err_sys(e, errno, "keep a prepared kernel");
	/* Of what was made, or of the damaged one: what resists is the next one's to remove. */
	(void) !tree_unlink(cache_fd, PREPARED_NEW "kernel");
	(void) !tree_unlink(cache_fd, PREPARED_NEW "damaged");
	return r;
}

void cache_stamp(const struct cache *c, const char *name, const char *hex)
{
	static const char made[] = PREPARED_NEW "link";

	if (symlinkat(hex, c->fd, made) == 0 && renameat(c->fd, made, c->fd, name) < 0)
		(void) unlinkat(c->fd, made, 0); /* else the next one removes it */
}

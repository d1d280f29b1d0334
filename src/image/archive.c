/* SPDX-License-Identifier: Apache-2.0 */
#include "image/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/shown.h"
#include "sys/path.h"

#define ARENA_MAX ((size_t) 256 << 20)
#define LINKS_MAX 8

void archive_part_fini(struct archive_part *p)
{
	close_fd(&p->owned_fd);
}

/* Plain tar in a seekable file can be used where it is. */
static bool is_plain_file(int fd)
{
	unsigned char magic[4];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0 ||
	    pread(fd, magic, sizeof(magic), 0) != sizeof(magic))
		return false;
	if (memcmp(magic, "\x1f\x8b", 2) == 0 || memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return false;
	return memcmp(magic,
		      "\xfd"
		      "7zX",
		      4) != 0 &&
	       memcmp(magic, "BZh", 3) != 0;
}

/* Into a file of tmp that has no name any more. */
static int spool(struct archive *ar, struct content *c, int in, struct err *e)
{
	char name[CONTENT_NAME_MAX];
	struct unpack_result res;
	int r;

	ar->fd = content_tmp_file(c, name, e);
	if (ar->fd < 0)
		return ar->fd;
	content_tmp_drop(c, name);
	r = worker_expand(in, ar->fd, 0, &res, e);
	return r < 0 ? err_ctx(e, "read the archive") : 0;
}

int archive_open(struct archive *ar, struct content *c, const char *path, int fd, struct err *e)
{
	auto_fd int own = FD_NONE;
	struct stat st;
	int r;

	*ar = (struct archive){ .arena = ARENA_INIT(ARENA_MAX), .fd = FD_NONE, .dir_fd = FD_NONE };
	if (path) {
		own = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (own < 0)
			return err_sys(e, errno, "open %s", path);
		fd = own;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at the archive");
	if (S_ISDIR(st.st_mode)) {
		ar->dir_fd = take_fd(&own);
		return ar->dir_fd >= 0 ? 0
				       : err_set(e, ERR_INVALID, EISDIR,
						 "the input is a directory: name it instead");
	}
	if (!is_plain_file(fd)) {
		r = spool(ar, c, fd, e);
		if (r < 0)
			return r;
	} else if (own >= 0) {
		ar->fd = take_fd(&own);
	} else {
		ar->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (ar->fd < 0)
			return err_sys(e, errno, "hold the archive");
	}
	return worker_index(ar->fd, &ar->arena, &ar->members, &ar->members_n, e);
}

void archive_close(struct archive *ar)
{
	arena_fini(&ar->arena);
	close_fd(&ar->fd);
	close_fd(&ar->dir_fd);
}

/* The last member of the name: that is what unpacking would leave. */
static const struct archive_member *find(const struct archive *ar, const char *name)
{
	for (size_t i = ar->members_n; i-- > 0;)
		if (streq(ar->members[i].name, name))
			return &ar->members[i];
	return NULL;
}

/* "../a/layer.tar" as seen from "b/layer.tar": what older docker wrote for a layer used twice. */
static const char *link_target(struct archive *ar, const char *from, const char *link)
{
	const char *slash = strrchr(from, '/');
	size_t dir = slash ? (size_t) (slash - from) : 0;

	while (strncmp(link, "../", 3) == 0 && dir) {
		const char *up = memrchr(from, '/', dir);

		dir = up ? (size_t) (up - from) : 0;
		link += 3;
	}
	return arena_printf(&ar->arena, "%.*s%s%s", (int) dir, from, dir ? "/" : "", link);
}

static const struct archive_member *find_file(struct archive *ar, const char *name)
{
	for (unsigned i = 0; i < LINKS_MAX && name; i++) {
		const struct archive_member *m = find(ar, name);

		if (!m || !m->link)
			return m && !m->dir ? m : NULL;
		/* A hard link names its target from the top; a symbolic one from where it is. */
		name = find(ar, m->link) ? m->link : link_target(ar, m->name, m->link);
	}
	return NULL;
}

bool archive_has(struct archive *ar, const char *name)
{
	struct archive_part p;
	struct err e = {};

	if (archive_part(ar, name, &p, &e) < 0)
		return false;
	archive_part_fini(&p);
	return true;
}

int archive_part(struct archive *ar, const char *name, struct archive_part *ret_part, struct err *e)
{
	const struct archive_member *m;
	auto_fd int fd = FD_NONE;
	struct stat st;

	if (ar->dir_fd < 0) {
		m = find_file(ar, name);
		if (!m)
			return err_set(e, ERR_NOT_FOUND, ENOENT, "the archive has no '%s'",
				       shown_of(str_of(name)).z);
		*ret_part = (struct archive_part){
			.fd = ar->fd, .owned_fd = FD_NONE, .off = m->off, .size = m->size
		};
		return 0;
	}
	/* Nothing outside of the directory is a part of it, whatever it links to. */
	fd = path_open_in(ar->dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -fd, "'%s' in the directory", shown_of(str_of(name)).z);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at '%s'", shown_of(str_of(name)).z);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "'%s' in the directory is no plain file",
			       shown_of(str_of(name)).z);
	*ret_part = (struct archive_part){
		.fd = fd, .owned_fd = fd, .off = 0, .size = (uint64_t) st.st_size
	};
	(void) take_fd(&fd);
	return 0;
}

int archive_read(struct archive *ar, const char *name, struct buf *ret_text, struct err *e)
{
	struct archive_part p;
	uint64_t at = 0;
	int r = archive_part(ar, name, &p, e);

	if (r < 0)
		return r;
	if (p.size > ret_text->max)
		r = err_set(e, ERR_EXHAUSTED, EFBIG, "'%s' is %llu bytes, more than %zu",
			    shown_of(str_of(name)).z, (unsigned long long) p.size, ret_text->max);
	while (r == 0 && at < p.size) {
		char *to = buf_room(ret_text, (size_t) (p.size - at));
		ssize_t n = to ? pread(p.fd, to, (size_t) (p.size - at), (off_t) (p.off + at)) : -1;

		if (n < 0 && errno == EINTR && to)
			continue;
		if (n <= 0) {
			r = err_set(e, to && n == 0 ? ERR_INVALID : ERR_EXHAUSTED,
				    to && n == 0 ? EBADMSG : ENOMEM, "'%s' cannot be read whole",
				    shown_of(str_of(name)).z);
			break;
		}
		buf_grew(ret_text, (size_t) n);
		at += (uint64_t) n;
	}
	archive_part_fini(&p);
	return r;
}

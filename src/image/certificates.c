/* SPDX-License-Identifier: Apache-2.0 */
#include "image/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/home.h"

#define PEM_MAX ((size_t) 4 << 20)

struct path {
	char z[1024];
};

void certificates_close(struct certificates *c)
{
	close_fd(&c->ca);
	close_fd(&c->cert);
	close_fd(&c->key);
}

/* X.cert to X.key, and back: the other's name. */
static bool partner(const char *dir, const char *name, const char *of, const char *other,
		    struct path *ret)
{
	size_t n = strlen(name) - strlen(of);

	(void) snprintf(ret->z, sizeof(ret->z), "%s/%.*s%s", dir, (int) n, name, other);
	return access(ret->z, F_OK) == 0;
}

static int add_ca(struct buf *all, const char *path, struct err *e)
{
	auto_buf struct buf one = BUF_INIT(PEM_MAX);
	int r = file_read(AT_FDCWD, path, &one);

	if (r < 0)
		return err_sys(e, -r, "read %s", path);
	buf_addstr(all, buf_str(&one));
	buf_addc(all, '\n');
	return 0;
}

static int take_pair(const char *cert, const char *key, struct certificates *c, struct err *e)
{
	if (c->cert >= 0)
		return 0;
	c->cert = open(cert, O_RDONLY | O_CLOEXEC);
	if (c->cert < 0)
		return err_sys(e, errno, "read %s", cert);
	c->key = open(key, O_RDONLY | O_CLOEXEC);
	return c->key < 0 ? err_sys(e, errno, "read %s", key) : 0;
}

static int take(const char *dir, const char *name, struct buf *cas, struct certificates *c,
		struct err *e)
{
	struct path path, other;

	(void) snprintf(path.z, sizeof(path.z), "%s/%s", dir, name);
	if (str_ends(str_of(name), ".crt"))
		return add_ca(cas, path.z, e);
	if (str_ends(str_of(name), ".cert")) {
		if (!partner(dir, name, ".cert", ".key", &other))
			return err_set(e, ERR_INVALID, ENOENT, "%s has no %s", path.z, other.z);
		return take_pair(path.z, other.z, c, e);
	}
	if (str_ends(str_of(name), ".key") && !partner(dir, name, ".key", ".cert", &other))
		return err_set(e, ERR_INVALID, ENOENT, "%s has no %s", path.z, other.z);
	return 0;
}

static int put(const struct buf *cas, struct certificates *c, struct err *e)
{
	int r = buf_error(cas);

	if (r < 0 || !cas->n)
		return r < 0 ? err_sys(e, -r, "keep certificates") : 0;
	c->ca = memfd_create("certificates", MFD_CLOEXEC);
	r = c->ca < 0 ? -errno : fd_write_all(c->ca, cas->p, cas->n);
	if (r == 0 && lseek(c->ca, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "keep certificates") : 0;
}

static int take_dir(DIR *d, const char *dir, struct certificates *c, struct err *e)
{
	auto_buf struct buf cas = BUF_INIT(PEM_MAX);
	struct dirent *entry;
	int r = 0;

	while (r == 0 && (entry = dir_next(d)))
		r = take(dir, entry->d_name, &cas, c, e);
	return r < 0 ? r : put(&cas, c, e);
}

int certificates_find(const char *host, struct certificates *ret, struct err *e)
{
	struct certificates c = { FD_NONE, FD_NONE, FD_NONE };
	struct path dirs[3];

	(void) snprintf(dirs[0].z, sizeof(dirs[0].z), "%s/.config/containers/certs.d/%s",
			home_user(), host);
	(void) snprintf(dirs[1].z, sizeof(dirs[1].z), "/etc/containers/certs.d/%s", host);
	(void) snprintf(dirs[2].z, sizeof(dirs[2].z), "/etc/docker/certs.d/%s", host);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		auto_dir DIR *d = dir_open(AT_FDCWD, dirs[i].z);

		if (!d)
			continue;
		if (take_dir(d, dirs[i].z, &c, e) < 0) {
			certificates_close(&c);
			return -EINVAL;
		}
		break;
	}
	*ret = c;
	return 0;
}

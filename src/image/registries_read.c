/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registries_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/home.h"
#include "fmt/toml.h"

#define DROP_INS_MAX 256
#define SYSTEM	     "/etc/containers"
#define OWN	     ".config/containers"
#define CHOSEN	     "containers/short-name-aliases.conf"

struct path {
	char z[1024];
};

/* *ret_there may be NULL. */
static int take(struct registries *c, const char *path, bool *ret_there, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TOML_TEXT_MAX);
	int r = file_read(AT_FDCWD, path, &text);

	if (ret_there)
		*ret_there = r != -ENOENT && r != -ENOTDIR;
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? err_sys(e, -r, "read %s", path) : registries_add(c, buf_str(&text), path, e);
}

static int take_main(struct registries *c, struct err *e)
{
	const char *named = secure_getenv("CONTAINERS_REGISTRIES_CONF");
	bool there = false;
	struct path p;
	int r;

	if (named && *named) {
		r = take(c, named, &there, e);
		return r == 0 && !there ? err_sys(e, ENOENT, "read %s", named) : r;
	}
	(void) snprintf(p.z, sizeof(p.z), "%s/" OWN "/registries.conf", home_user());
	r = take(c, p.z, &there, e);
	return r < 0 || there ? r : take(c, SYSTEM "/registries.conf", NULL, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int take_drop_ins(struct registries *c, const char *dir, struct err *e)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, dir);
	char(*names)[NAME_MAX + 1] = NULL;
	struct dirent *entry;
	size_t n = 0;
	int r = 0;

	if (!d)
		return 0;
	names = calloc(DROP_INS_MAX, sizeof(*names));
	if (!names)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	while (r == 0 && (entry = dir_next(d))) {
		if (!str_ends(str_of(entry->d_name), ".conf"))
			continue;
		if (n == DROP_INS_MAX)
			r = err_set(e, ERR_EXHAUSTED, E2BIG, "%s has more than %d files", dir,
				    DROP_INS_MAX);
		else
			(void) snprintf(names[n++], sizeof(*names), "%s", entry->d_name);
	}
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct path p;

		(void) snprintf(p.z, sizeof(p.z), "%s/%s", dir, names[i]);
		r = take(c, p.z, NULL, e);
	}
	free(names);
	return r;
}

/* ---- what was chosen ---- */

static struct path chosen(void)
{
	const char *cache = secure_getenv("XDG_CACHE_HOME");
	struct path p;

	if (geteuid() == 0)
		(void) snprintf(p.z, sizeof(p.z), "/var/cache/" CHOSEN);
	else if (cache && *cache == '/')
		(void) snprintf(p.z, sizeof(p.z), "%s/" CHOSEN, cache);
	else
		(void) snprintf(p.z, sizeof(p.z), "%s/.cache/" CHOSEN, home_user());
	return p;
}

int registries_read(struct registries *c, struct err *e)
{
	struct path own, kept = chosen();
	int r = take_main(c, e);

	(void) snprintf(own.z, sizeof(own.z), "%s/" OWN "/registries.conf.d", home_user());
	r = r < 0 ? r : take_drop_ins(c, SYSTEM "/registries.conf.d", e);
	r = r < 0 ? r : take_drop_ins(c, own.z, e);
	return r < 0 ? r : take(c, kept.z, NULL, e);
}

int registries_keep_alias(const char *name, const char *value, struct err *e)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	auto_buf struct buf text = BUF_INIT(TOML_TEXT_MAX);
	struct path p = chosen();
	char *slash = strrchr(p.z, '/'); /* it has one */
	auto_fd int fd = FD_NONE;
	int r = take(&c, p.z, NULL, e);

	if (r < 0)
		return r;
	registries_write_alias(&text, &c, name, value);
	*slash = '\0';
	r = buf_error(&text);
	r = r < 0 ? r : dir_make_all(p.z, 0755);
	if (r == 0) {
		fd = open(p.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : file_replace(fd, slash + 1, buf_str(&text), 0644, false);
	}
	return r < 0 ? err_sys(e, -r, "write %s/%s", p.z, slash + 1) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/hostroot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/saved.h"
#include "engine/engine.h"
#include "fmt/spec.h"
#include "sys/mount.h"

#define FILE_NAME "hostroot.json"
#define TEXT_MAX  (16u << 10)

int hostroot_check(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;

	if (l->ns[SPEC_NS_MOUNT].present)
		return 0;
	if (l->masked_paths_n || l->readonly_paths_n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.maskedPaths, readonlyPaths: unable to restrict sys entries "
			       "without a private MNT namespace");
	if (l->ns[SPEC_NS_USER].present)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"linux.namespaces: with a user namespace it takes a mount namespace: "
			"the host's cannot be mounted in from there");
	return 0;
}

int hostroot_find(const struct bundle *b, struct hostroot *ret, struct err *e)
{
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD, r;
	auto_fd int fd = FD_NONE;
	char link[40], path[4096];
	ssize_t n;

	if (b->spec->linux_.ns[SPEC_NS_MOUNT].present)
		return 0;
	if (b->root_fd >= 0)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "linux.namespaces: a root file system without a path takes a mount "
			       "namespace");
	fd = openat(from, b->spec->root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "root file system '%s'", b->spec->root->path);
	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	if (path[0] != '/' || !path[1])
		return err_set(e, ERR_INVALID, EINVAL,
			       "root file system '%s': the host's own root takes a mount namespace",
			       b->spec->root->path);
	r = mount_id(fd, &ret->before, NULL);
	if (r < 0)
		return err_sys(e, -r, "root file system '%s'", path);
	ret->path = strdup(path);
	return ret->path ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

void hostroot_remove(const struct hostroot *h)
{
	auto_fd int fd = h->path ? open(h->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				 : FD_NONE;
	uint64_t now = 0;

	if (fd >= 0 && mount_id(fd, &now, NULL) == 0 && now != h->before)
		(void) mount_detach(h->path); /* best effort: somebody may have been faster */
}

void hostroot_fini(struct hostroot *h)
{
	free(TAKE(h->path));
}

struct record {
	const char *path;
	uint64_t before;
};

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, path, "path", JSON_REQUIRED),
	JSON_U64_FIELD(struct record, before, "before", 0, UINT64_MAX, JSON_REQUIRED),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

int hostroot_save(const struct hostroot *h, int state_fd, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);

	if (!h->path)
		return 0;
	json_w_object(&w, NULL);
	json_w_string(&w, "path", h->path);
	json_w_u64(&w, "before", h->before);
	json_w_end(&w);
	return saved_write(state_fd, FILE_NAME, &text, e);
}

int hostroot_load(struct hostroot *ret, int state_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(TEXT_MAX * 4);
	struct record rec = {};
	bool found;
	int r = saved_read(&a, state_fd, FILE_NAME, TEXT_MAX, &record_table, &rec, &found, e);

	if (r < 0 || !found)
		return r;
	ret->before = rec.before;
	ret->path = strdup(rec.path);
	return ret->path ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

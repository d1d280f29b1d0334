/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/place.h"

#include <string.h>

#include "kernel/vfs/names.h"

const struct cred place_root = { .effective = CRED_ALL,
				 .permitted = CRED_ALL,
				 .bounding = CRED_ALL };

/* One that is there, or is made. */
static int step(const struct walk *w, const char *path, struct path *ret)
{
	int r = walk(w, path, WALK_FOLLOW | WALK_DIRECTORY, ret);

	if (r != -ENOENT)
		return r;
	r = names_create(w, path, S_IFDIR | 0755, 0, NULL);
	return r < 0 ? r : walk(w, path, WALK_FOLLOW | WALK_DIRECTORY, ret);
}

int place_make(const struct path *root, const char *path, struct path *ret)
{
	const struct walk w = { .root = root, .start = root, .who = &place_root };
	size_t len = strlen(path);
	char part[PATH_ROOM];
	struct path at = {};

	if (path[0] != '/' || len >= sizeof(part))
		return -EINVAL;
	for (size_t n = 1; n <= len; n++) {
		int r;

		if (path[n] != '/' && path[n] != '\0')
			continue;
		path_unref(&at);
		memcpy(part, path, n);
		part[n] = '\0';
		r = step(&w, part, &at);
		if (r < 0)
			return r;
	}
	*ret = at;
	return 0;
}

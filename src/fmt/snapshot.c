/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/snapshot.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fmt/json.h"

#define MOUNTS_MAX 4096
#define PATH_BYTES 4096

static const struct json_field mount_fields[] = {
	JSON_STRING_FIELD(struct snapshot_mount, at, "at", JSON_REQUIRED),
	JSON_STRING_FIELD(struct snapshot_mount, source, "source", JSON_REQUIRED),
	JSON_STRING_FIELD(struct snapshot_mount, below, "below", JSON_REQUIRED),
};
static const struct json_table mount_table = JSON_TABLE(struct snapshot_mount, mount_fields,
							JSON_UNKNOWN_REFUSE);
static const struct json_field group_fields[] = {
	JSON_STRING_FIELD(struct snapshot_group, name, "name", JSON_REQUIRED),
	JSON_STRING_FIELD(struct snapshot_group, path, "path", JSON_REQUIRED),
};
static const struct json_table group_table = JSON_TABLE(struct snapshot_group, group_fields,
							JSON_UNKNOWN_REFUSE);
static const struct json_field fields[] = {
	JSON_U32_FIELD(struct snapshot, version, "version", 1, 1, JSON_REQUIRED),
	JSON_STRINGS_FIELD(struct snapshot, streams, streams_n, "streams", JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct snapshot, mounts, mounts_n, "mounts", &mount_table, JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct snapshot, groups, groups_n, "cgroups", &group_table, JSON_REQUIRED),
};
static const struct json_table table = JSON_TABLE(struct snapshot, fields, JSON_UNKNOWN_REFUSE);

void snapshot_encode(const struct snapshot *s, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", 1);
	json_w_array(&w, "streams");
	for (size_t i = 0; i < s->streams_n; i++)
		json_w_string(&w, NULL, s->streams[i]);
	json_w_end(&w);
	json_w_array(&w, "mounts");
	for (size_t i = 0; i < s->mounts_n; i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "at", s->mounts[i].at);
		json_w_string(&w, "source", s->mounts[i].source);
		json_w_string(&w, "below", s->mounts[i].below);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_array(&w, "cgroups");
	for (size_t i = 0; i < s->groups_n; i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "name", s->groups[i].name);
		json_w_string(&w, "path", s->groups[i].path);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
}

/* No component "." or "..", none empty. */
static bool clean_path(const char *p)
{
	if (strlen(p) >= PATH_BYTES)
		return false;
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (*p == '/' && !*++p)
			return false;
	}
	return true;
}

static bool digits(const char **p, const char *set)
{
	size_t n = strspn(*p, set);

	*p += n;
	return n > 0 && n <= 16;
}

bool snapshot_is_stream(const char *key)
{
	static const char hex[] = "0123456789abcdef";

	if (strncmp(key, "pipe:[", 6) == 0) {
		key += 6;
		return digits(&key, "0123456789") && streq(key, "]");
	}
	if (strncmp(key, "file[", 5) != 0)
		return false;
	key += 5;
	return digits(&key, hex) && *key++ == ':' && digits(&key, hex) && streq(key, "]");
}

static int check(const struct snapshot *s, struct err *e)
{
	if (s->streams_n != SNAPSHOT_STREAMS || s->mounts_n > MOUNTS_MAX ||
	    s->groups_n > MOUNTS_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "%zu streams and %zu mounts", s->streams_n,
			       s->mounts_n);
	for (size_t i = 0; i < s->streams_n; i++) {
		if (s->streams[i][0] && !snapshot_is_stream(s->streams[i]))
			return err_set(e, ERR_INVALID, EINVAL, "streams[%zu]: '%.60s'", i,
				       s->streams[i]);
	}
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct snapshot_mount *m = &s->mounts[i];

		if (m->at[0] != '/' || !clean_path(m->at + 1) || !clean_path(m->below) ||
		    !m->source[0])
			return err_set(e, ERR_INVALID, EINVAL, "mounts[%zu]: '%.60s', '%.60s'", i,
				       m->at, m->below);
	}
	return 0;
}

int snapshot_decode(struct arena *a, struct str text, const struct snapshot **ret_s, struct err *e)
{
	struct snapshot *s = arena_alloc(a, sizeof(*s));
	const struct json *root;
	int r = s ? json_parse(a, text, &root, e)
		  : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");

	r = r < 0 ? r : json_decode(a, root, &table, s, "", e);
	r = r < 0 ? r : check(s, e);
	if (r < 0)
		return err_ctx(e, SNAPSHOT_FILE " of the checkpoint");
	*ret_s = s;
	return 0;
}

void snapshot_descriptors_encode(const char *const *links, size_t n, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_array(&w, NULL);
	for (size_t i = 0; i < n; i++)
		json_w_string(&w, NULL, links[i]);
	json_w_end(&w);
}

int snapshot_descriptors_decode(struct arena *a, struct str text, const char ***ret_links,
				size_t *ret_n, struct err *e)
{
	const struct json *root;
	const char **links;
	int r = json_parse(a, text, &root, e);

	if (r < 0)
		return err_ctx(e, SNAPSHOT_DESCRIPTORS " of the checkpoint");
	if (root->type != JSON_ARRAY || root->n > MOUNTS_MAX)
		return err_set(e, ERR_INVALID, EINVAL,
			       SNAPSHOT_DESCRIPTORS " of the checkpoint: not a list of texts");
	links = arena_array(a, root->n + 1, sizeof(*links));
	if (!links)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < root->n; i++) {
		links[i] = json_string(&root->items[i]);
		if (!links[i])
			return err_set(
				e, ERR_INVALID, EINVAL,
				SNAPSHOT_DESCRIPTORS " of the checkpoint: [%zu] is not a text", i);
	}
	*ret_links = links;
	*ret_n = root->n;
	return 0;
}

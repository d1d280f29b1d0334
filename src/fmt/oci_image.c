/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_image.h"

#include <errno.h>
#include <string.h>

/* The keys of an object as strings: "ExposedPorts" and "Volumes" are maps to empty objects. */
static int decode_keys(struct arena *a, const struct json *v, const char ***ret_keys, size_t *ret_n,
		       const char *path, struct err *e)
{
	const char **keys;

	if (v->type != JSON_OBJECT)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an object", path);
	keys = arena_array(a, v->members_n + 1, sizeof(*keys));
	if (!keys)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: no memory left", path);
	for (size_t i = 0; i < v->members_n; i++)
		keys[i] = v->members[i].key.p;
	*ret_keys = keys;
	*ret_n = v->members_n;
	return 0;
}

static int decode_ports(struct arena *a, const struct json *v, void *to, const char *path,
			struct err *e)
{
	struct oci_run_config *c =
		(void *) ((char *) to - offsetof(struct oci_run_config, exposed_ports));

	return decode_keys(a, v, &c->exposed_ports, &c->exposed_ports_n, path, e);
}

static int decode_volumes(struct arena *a, const struct json *v, void *to, const char *path,
			  struct err *e)
{
	struct oci_run_config *c =
		(void *) ((char *) to - offsetof(struct oci_run_config, volumes));

	return decode_keys(a, v, &c->volumes, &c->volumes_n, path, e);
}

static int decode_digest(struct arena *a, const struct json *v, void *to, const char *path,
			 struct err *e)
{
	const char *z = json_string(v);

	(void) a; /* the table's signature has it */
	if (!z || digest_parse(str_of(z), to) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: must be a digest, sha256: and 64 lower-case hex digits", path);
	return 0;
}

static int decode_diff_ids(struct arena *a, const struct json *v, void *to, const char *path,
			   struct err *e)
{
	struct oci_image_config *c =
		(void *) ((char *) to - offsetof(struct oci_image_config, diff_ids));
	const struct json *ids = json_get(v, "diff_ids");
	const char *type = json_string(json_get(v, "type"));

	if (v->type != JSON_OBJECT)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an object", path);
	if (type && !streq(type, "layers"))
		return err_set(e, ERR_INVALID, EINVAL, "%s.type: must be \"layers\"", path);
	if (!ids || ids->type == JSON_NULL)
		return 0;
	if (ids->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s.diff_ids: must be an array", path);
	if (ids->n > OCI_LAYERS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "%s.diff_ids: %zu layers, %d are the most",
			       path, ids->n, OCI_LAYERS_MAX);
	c->diff_ids = arena_array(a, ids->n + 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: no memory left", path);
	for (size_t i = 0; i < ids->n; i++) {
		int r = decode_digest(a, &ids->items[i], &c->diff_ids[i], "rootfs.diff_ids", e);

		if (r < 0)
			return r;
	}
	c->diff_ids_n = ids->n;
	return 0;
}

static const struct json_field health_fields[] = {
	JSON_STRINGS_FIELD(struct oci_healthcheck, test, test_n, "Test", 0),
	JSON_I64_FIELD(struct oci_healthcheck, interval, "Interval", 0, INT64_MAX, 0),
	JSON_I64_FIELD(struct oci_healthcheck, timeout, "Timeout", 0, INT64_MAX, 0),
	JSON_I64_FIELD(struct oci_healthcheck, start_period, "StartPeriod", 0, INT64_MAX, 0),
	JSON_I64_FIELD(struct oci_healthcheck, start_interval, "StartInterval", 0, INT64_MAX, 0),
	JSON_I64_FIELD(struct oci_healthcheck, retries, "Retries", 0, 1000000, 0),
};
static const struct json_table health_table = JSON_TABLE(struct oci_healthcheck, health_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field run_fields[] = {
	JSON_STRING_FIELD(struct oci_run_config, user, "User", 0),
	JSON_STRING_FIELD(struct oci_run_config, working_dir, "WorkingDir", 0),
	JSON_STRING_FIELD(struct oci_run_config, stop_signal, "StopSignal", 0),
	JSON_STRING_FIELD(struct oci_run_config, hostname, "Hostname", 0),
	JSON_STRING_FIELD(struct oci_run_config, domainname, "Domainname", 0),
	JSON_STRINGS_FIELD(struct oci_run_config, env, env_n, "Env", 0),
	JSON_STRINGS_FIELD(struct oci_run_config, entrypoint, entrypoint_n, "Entrypoint", 0),
	JSON_STRINGS_FIELD(struct oci_run_config, cmd, cmd_n, "Cmd", 0),
	JSON_STRINGS_FIELD(struct oci_run_config, shell, shell_n, "Shell", 0),
	JSON_STRINGS_FIELD(struct oci_run_config, on_build, on_build_n, "OnBuild", 0),
	JSON_CUSTOM_FIELD(struct oci_run_config, exposed_ports, "ExposedPorts", decode_ports, 0),
	JSON_CUSTOM_FIELD(struct oci_run_config, volumes, "Volumes", decode_volumes, 0),
	JSON_MAP_FIELD(struct oci_run_config, labels, labels_n, "Labels", 0),
	JSON_OBJECT_FIELD(struct oci_run_config, healthcheck, "Healthcheck", &health_table, 0),
};
static const struct json_table run_table = JSON_TABLE(struct oci_run_config, run_fields,
						      JSON_UNKNOWN_IGNORE);

static const struct json_field history_fields[] = {
	JSON_STRING_FIELD(struct oci_history, created, "created", 0),
	JSON_STRING_FIELD(struct oci_history, created_by, "created_by", 0),
	JSON_STRING_FIELD(struct oci_history, author, "author", 0),
	JSON_STRING_FIELD(struct oci_history, comment, "comment", 0),
	JSON_BOOL_FIELD(struct oci_history, empty_layer, "empty_layer", 0),
};
static const struct json_table history_table = JSON_TABLE(struct oci_history, history_fields,
							  JSON_UNKNOWN_IGNORE);

static const struct json_field config_fields[] = {
	JSON_STRING_FIELD(struct oci_image_config, created, "created", 0),
	JSON_STRING_FIELD(struct oci_image_config, author, "author", 0),
	JSON_STRING_FIELD(struct oci_image_config, architecture, "architecture", 0),
	JSON_STRING_FIELD(struct oci_image_config, os, "os", 0),
	JSON_STRING_FIELD(struct oci_image_config, variant, "variant", 0),
	JSON_STRING_FIELD(struct oci_image_config, os_version, "os.version", 0),
	JSON_STRING_FIELD(struct oci_image_config, comment, "comment", 0),
	JSON_OBJECT_FIELD(struct oci_image_config, config, "config", &run_table, 0),
	JSON_CUSTOM_FIELD(struct oci_image_config, diff_ids, "rootfs", decode_diff_ids,
			  JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct oci_image_config, history, history_n, "history", &history_table, 0),
};
static const struct json_table config_table = JSON_TABLE(struct oci_image_config, config_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field platform_fields[] = {
	JSON_STRING_FIELD(struct oci_platform, architecture, "architecture", 0),
	JSON_STRING_FIELD(struct oci_platform, os, "os", 0),
	JSON_STRING_FIELD(struct oci_platform, variant, "variant", 0),
};
static const struct json_table platform_table = JSON_TABLE(struct oci_platform, platform_fields,
							   JSON_UNKNOWN_IGNORE);

static const struct json_field descriptor_fields[] = {
	JSON_STRING_FIELD(struct oci_descriptor, media_type, "mediaType", 0),
	JSON_CUSTOM_FIELD(struct oci_descriptor, digest, "digest", decode_digest, JSON_REQUIRED),
	JSON_U64_FIELD(struct oci_descriptor, size, "size", 0, INT64_MAX, 0),
	JSON_OBJECT_FIELD(struct oci_descriptor, platform, "platform", &platform_table, 0),
	JSON_MAP_FIELD(struct oci_descriptor, annotations, annotations_n, "annotations", 0),
};
static const struct json_table descriptor_table =
	JSON_TABLE(struct oci_descriptor, descriptor_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field manifest_fields[] = {
	JSON_STRING_FIELD(struct oci_manifest, media_type, "mediaType", 0),
	JSON_OBJECT_FIELD(struct oci_manifest, config, "config", &descriptor_table, JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct oci_manifest, layers, layers_n, "layers", &descriptor_table, 0),
};
static const struct json_table manifest_table = JSON_TABLE(struct oci_manifest, manifest_fields,
							   JSON_UNKNOWN_IGNORE);

static const struct json_field index_fields[] = {
	JSON_STRING_FIELD(struct oci_index, media_type, "mediaType", 0),
	JSON_ARRAY_FIELD(struct oci_index, manifests, manifests_n, "manifests", &descriptor_table,
			 JSON_REQUIRED),
};
static const struct json_table index_table = JSON_TABLE(struct oci_index, index_fields,
							JSON_UNKNOWN_IGNORE);

static const struct json_field archive_fields[] = {
	JSON_STRING_FIELD(struct docker_archive_image, config, "Config", JSON_REQUIRED),
	JSON_STRINGS_FIELD(struct docker_archive_image, repo_tags, repo_tags_n, "RepoTags", 0),
	JSON_STRINGS_FIELD(struct docker_archive_image, layers, layers_n, "Layers", 0),
};
static const struct json_table archive_table = JSON_TABLE(struct docker_archive_image,
							  archive_fields, JSON_UNKNOWN_IGNORE);

/* Parse and decode a document into a new struct of the table's size. */
static int decode(struct arena *a, struct str text, const struct json_table *table,
		  const char *what, void **ret, const struct json **ret_tree, struct err *e)
{
	const struct json *tree = NULL;
	void *to = arena_alloc(a, table->size);
	int r;

	if (!to)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: no memory left", what);
	r = json_parse(a, text, &tree, e);
	if (r == 0)
		r = json_decode(a, tree, table, to, "", e);
	if (r < 0)
		return err_ctx(e, "%s", what);
	*ret = to;
	*ret_tree = tree;
	return 0;
}

int oci_image_config_decode(struct arena *a, struct str text, struct oci_image_config **ret_config,
			    struct err *e)
{
	void *to = NULL;
	const struct json *tree = NULL;
	struct oci_image_config *c;
	int r = decode(a, text, &config_table, "image configuration", &to, &tree, e);

	if (r < 0)
		return r;
	c = to;
	c->tree = tree;
	if (!c->config)
		c->config = arena_alloc(a, sizeof(*c->config));
	if (!c->config)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "image configuration: no memory left");
	*ret_config = c;
	return 0;
}

int oci_manifest_decode(struct arena *a, struct str text, struct oci_manifest **ret_manifest,
			struct err *e)
{
	void *to = NULL;
	const struct json *tree = NULL;
	struct oci_manifest *m;
	int r = decode(a, text, &manifest_table, "image manifest", &to, &tree, e);

	if (r < 0)
		return r;
	m = to;
	if (m->layers_n > OCI_LAYERS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "image manifest: %zu layers, %d are the most", m->layers_n,
			       OCI_LAYERS_MAX);
	*ret_manifest = m;
	return 0;
}

int oci_index_decode(struct arena *a, struct str text, struct oci_index **ret_index, struct err *e)
{
	void *to = NULL;
	const struct json *tree = NULL;
	int r = decode(a, text, &index_table, "image index", &to, &tree, e);

	if (r == 0)
		*ret_index = to;
	return r;
}

int docker_archive_decode(struct arena *a, struct str text,
			  struct docker_archive_image **ret_images, size_t *ret_n, struct err *e)
{
	static const char what[] = "manifest.json of the archive";
	const struct json *tree = NULL;
	struct docker_archive_image *images;
	int r = json_parse(a, text, &tree, e);

	if (r < 0)
		return err_ctx(e, "%s", what);
	if (tree->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an array", what);
	images = arena_array(a, tree->n + 1, sizeof(*images));
	if (!images)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: no memory left", what);
	for (size_t i = 0; i < tree->n; i++) {
		r = json_decode(a, &tree->items[i], &archive_table, &images[i], "", e);
		if (r < 0)
			return err_ctx(e, "%s, image %zu", what, i);
		if (images[i].layers_n > OCI_LAYERS_MAX)
			return err_set(e, ERR_EXHAUSTED, E2BIG, "%s: %zu layers, %d are the most",
				       what, images[i].layers_n, OCI_LAYERS_MAX);
	}
	*ret_images = images;
	*ret_n = tree->n;
	return 0;
}

const char *json_pair_find(const struct json_pair *pairs, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (streq(pairs[i].key, key))
			return pairs[i].value;
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON documents of images: the image configuration (OCI image-spec 1.1 with docker's
 * additions: Healthcheck, Shell, OnBuild), manifests and indexes (OCI and docker schema 2 alike),
 * and the manifest.json of a docker archive. Decoded by tables into an arena; unknown keys are
 * ignored, as the specification asks, so a configuration is passed on as its bytes, never
 * re-encoded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "fmt/json.h"

#define OCI_LAYERS_MAX 500 /* what one overlay mount takes on every supported kernel */

#define MEDIA_OCI_INDEX	      "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER	      "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_LAYER_GZIP  "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_OCI_LAYER_ZSTD  "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_DOCKER_INDEX    "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct oci_healthcheck {
	const char **test; /* ["NONE"], ["CMD", ...], ["CMD-SHELL", text]; NULL-terminated */
	size_t test_n;
	int64_t interval, timeout, start_period, start_interval; /* ns; 0: default */
	int64_t retries;
};

/* What a container of the image runs as, unless the user says otherwise. Absent: NULL, 0. */
struct oci_run_config {
	const char *user; /* "uid[:gid]" or names */
	const char *working_dir;
	const char *stop_signal; /* "SIGTERM", "15" */
	const char *hostname, *domainname;
	const char **env; /* "K=V" */
	size_t env_n;
	const char **entrypoint;
	size_t entrypoint_n;
	const char **cmd;
	size_t cmd_n;
	const char **shell;
	size_t shell_n;
	const char **on_build;
	size_t on_build_n;
	const char **exposed_ports; /* the keys: "80/tcp" */
	size_t exposed_ports_n;
	const char **volumes; /* the keys: absolute paths */
	size_t volumes_n;
	struct json_pair *labels;
	size_t labels_n;
	struct oci_healthcheck *healthcheck; /* NULL when the image has none */
};

struct oci_history {
	const char *created, *created_by, *author, *comment;
	bool empty_layer;
};

struct oci_image_config {
	const char *created; /* RFC 3339 text */
	const char *author, *architecture, *os, *variant, *os_version;
	const char *comment;
	struct oci_run_config *config; /* never NULL after decoding */
	struct digest *diff_ids;       /* bottom to top */
	size_t diff_ids_n;
	struct oci_history *history;
	size_t history_n;
	const struct json *tree; /* the whole document */
};

struct oci_platform {
	const char *architecture, *os, *variant;
};

struct oci_descriptor {
	const char *media_type;
	struct digest digest;
	uint64_t size;
	struct oci_platform *platform; /* or NULL */
	struct json_pair *annotations;
	size_t annotations_n;
};

struct oci_manifest {
	const char *media_type; /* or NULL */
	struct oci_descriptor *config;
	struct oci_descriptor *layers;
	size_t layers_n;
};

struct oci_index {
	const char *media_type;
	struct oci_descriptor *manifests;
	size_t manifests_n;
};

/* One image of a docker archive: paths inside the archive. */
struct docker_archive_image {
	const char *config;
	const char **repo_tags;
	size_t repo_tags_n;
	const char **layers;
	size_t layers_n;
};

/* All fail: INVALID (naming the field), EXHAUSTED (the arena's maximum, or too many layers). */
[[nodiscard]] int oci_image_config_decode(struct arena *a, struct str text,
					  struct oci_image_config **ret_config, struct err *e);
[[nodiscard]] int oci_manifest_decode(struct arena *a, struct str text,
				      struct oci_manifest **ret_manifest, struct err *e);
[[nodiscard]] int oci_index_decode(struct arena *a, struct str text, struct oci_index **ret_index,
				   struct err *e);
[[nodiscard]] int docker_archive_decode(struct arena *a, struct str text,
					struct docker_archive_image **ret_images, size_t *ret_n,
					struct err *e);

/* The value of an annotation or label, or NULL. */
const char *json_pair_find(const struct json_pair *pairs, size_t n, const char *key);

/*
 * A new configuration from *c (import, commit, bootstrap): fixed key order, no blanks, so that the
 * same content gives the same digest. tree is not consulted.
 */
void oci_image_config_write(struct buf *out, const struct oci_image_config *c);
void oci_manifest_write(struct buf *out, const struct oci_manifest *m);
void oci_index_write(struct buf *out, const struct oci_index *x);

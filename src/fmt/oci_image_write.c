/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing image documents. The order of keys is fixed and nothing depends on the machine: the
 * digest of a configuration is the image's id, and the same content must give the same id.
 */
#include "fmt/oci_image.h"

static void write_opt(struct json_writer *w, const char *key, const char *z)
{
	if (z && *z)
		json_w_string(w, key, z);
}

static void write_list(struct json_writer *w, const char *key, const char *const *z, size_t n)
{
	if (n)
		json_w_strings(w, key, z);
}

static void write_keys(struct json_writer *w, const char *key, const char *const *z, size_t n)
{
	if (!n)
		return;
	json_w_object(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_object(w, z[i]);
		json_w_end(w);
	}
	json_w_end(w);
}

static void write_pairs(struct json_writer *w, const char *key, const struct json_pair *p, size_t n)
{
	if (!n)
		return;
	json_w_object(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_string(w, p[i].key, p[i].value);
	json_w_end(w);
}

static void write_number(struct json_writer *w, const char *key, int64_t v)
{
	if (v)
		json_w_i64(w, key, v);
}

static void write_health(struct json_writer *w, const struct oci_healthcheck *h)
{
	json_w_object(w, "Healthcheck");
	write_list(w, "Test", h->test, h->test_n);
	write_number(w, "Interval", h->interval);
	write_number(w, "Timeout", h->timeout);
	write_number(w, "StartPeriod", h->start_period);
	write_number(w, "StartInterval", h->start_interval);
	write_number(w, "Retries", h->retries);
	json_w_end(w);
}

static void write_run(struct json_writer *w, const struct oci_run_config *c)
{
	json_w_object(w, "config");
	write_opt(w, "Hostname", c->hostname);
	write_opt(w, "Domainname", c->domainname);
	write_opt(w, "User", c->user);
	write_keys(w, "ExposedPorts", c->exposed_ports, c->exposed_ports_n);
	write_list(w, "Env", c->env, c->env_n);
	write_list(w, "Entrypoint", c->entrypoint, c->entrypoint_n);
	write_list(w, "Cmd", c->cmd, c->cmd_n);
	if (c->healthcheck)
		write_health(w, c->healthcheck);
	write_keys(w, "Volumes", c->volumes, c->volumes_n);
	write_opt(w, "WorkingDir", c->working_dir);
	write_list(w, "OnBuild", c->on_build, c->on_build_n);
	write_pairs(w, "Labels", c->labels, c->labels_n);
	write_opt(w, "StopSignal", c->stop_signal);
	write_list(w, "Shell", c->shell, c->shell_n);
	json_w_end(w);
}

void oci_image_config_write(struct buf *out, const struct oci_image_config *c)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	write_opt(&w, "created", c->created);
	write_opt(&w, "author", c->author);
	write_opt(&w, "comment", c->comment);
	json_w_string(&w, "architecture", c->architecture ? c->architecture : "");
	write_opt(&w, "variant", c->variant);
	json_w_string(&w, "os", c->os ? c->os : "linux");
	write_opt(&w, "os.version", c->os_version);
	if (c->config)
		write_run(&w, c->config);
	json_w_object(&w, "rootfs");
	json_w_string(&w, "type", "layers");
	json_w_array(&w, "diff_ids");
	for (size_t i = 0; i < c->diff_ids_n; i++) {
		char text[DIGEST_TEXT_MAX];

		digest_text(&c->diff_ids[i], text);
		json_w_string(&w, NULL, text);
	}
	json_w_end(&w);
	json_w_end(&w);
	if (c->history_n) {
		json_w_array(&w, "history");
		for (size_t i = 0; i < c->history_n; i++) {
			const struct oci_history *h = &c->history[i];

			json_w_object(&w, NULL);
			write_opt(&w, "created", h->created);
			write_opt(&w, "created_by", h->created_by);
			write_opt(&w, "author", h->author);
			write_opt(&w, "comment", h->comment);
			if (h->empty_layer)
				json_w_bool(&w, "empty_layer", true);
			json_w_end(&w);
		}
		json_w_end(&w);
	}
	json_w_end(&w);
}

static void write_descriptor(struct json_writer *w, const char *key, const struct oci_descriptor *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(&d->digest, text);
	json_w_object(w, key);
	write_opt(w, "mediaType", d->media_type);
	json_w_string(w, "digest", text);
	json_w_u64(w, "size", d->size);
	write_pairs(w, "annotations", d->annotations, d->annotations_n);
	if (d->platform) {
		json_w_object(w, "platform");
		write_opt(w, "architecture", d->platform->architecture);
		write_opt(w, "os", d->platform->os);
		write_opt(w, "variant", d->platform->variant);
		json_w_end(w);
	}
	json_w_end(w);
}

void oci_manifest_write(struct buf *out, const struct oci_manifest *m)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_u64(&w, "schemaVersion", 2);
	json_w_string(&w, "mediaType", m->media_type ? m->media_type : MEDIA_OCI_MANIFEST);
	if (m->config)
		write_descriptor(&w, "config", m->config);
	json_w_array(&w, "layers");
	for (size_t i = 0; i < m->layers_n; i++)
		write_descriptor(&w, NULL, &m->layers[i]);
	json_w_end(&w);
	json_w_end(&w);
}

void oci_index_write(struct buf *out, const struct oci_index *x)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_u64(&w, "schemaVersion", 2);
	json_w_string(&w, "mediaType", x->media_type ? x->media_type : MEDIA_OCI_INDEX);
	json_w_array(&w, "manifests");
	for (size_t i = 0; i < x->manifests_n; i++)
		write_descriptor(&w, NULL, &x->manifests[i]);
	json_w_end(&w);
	json_w_end(&w);
}

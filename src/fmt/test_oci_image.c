/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/oci_image.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char config_text[] =
	"{\"created\":\"2024-01-02T03:04:05Z\",\"architecture\":\"amd64\",\"os\":\"linux\","
	"\"config\":{\"User\":\"1:2\",\"ExposedPorts\":{\"80/tcp\":{}},\"Env\":[\"A=b\"],"
	"\"Cmd\":[\"sh\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":1000000000,"
	"\"Retries\":3},\"Volumes\":{\"/data\":{}},\"WorkingDir\":\"/w\","
	"\"Labels\":{\"k\":\"v\"},\"StopSignal\":\"SIGINT\"},"
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX "\"]},"
	"\"history\":[{\"created_by\":\"x\"},{\"created_by\":\"y\",\"empty_layer\":true}]}";

static void test_config(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(1 << 16);
	struct oci_image_config *c = NULL;
	struct err e = {};

	CHECK(oci_image_config_decode(&a, str_of(config_text), &c, &e) == 0);
	if (!c)
		return;
	CHECK_STR(c->config->user, "1:2");
	CHECK(c->config->exposed_ports_n == 1 && streq(c->config->exposed_ports[0], "80/tcp"));
	CHECK(c->config->volumes_n == 1 && streq(c->config->volumes[0], "/data"));
	CHECK(c->diff_ids_n == 1 && c->history_n == 2 && c->history[1].empty_layer);
	CHECK(c->config->healthcheck && c->config->healthcheck->retries == 3);
	CHECK_STR(json_pair_find(c->config->labels, c->config->labels_n, "k"), "v");
	/* What was written in the writer's own order comes back byte for byte. */
	oci_image_config_write(&b, c);
	CHECK_STR(buf_z(&b), config_text);
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"rootfs\":[]}",
		"{\"rootfs\":{\"diff_ids\":{}}}",
		"{\"rootfs\":{\"diff_ids\":[\"sha256:xyz\"]}}",
		"{\"rootfs\":{\"type\":\"tree\"}}",
		"{\"rootfs\":{},\"config\":{\"Env\":\"A=b\"}}",
		"{\"rootfs\":{},\"config\":{\"Volumes\":[\"/x\"]}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct oci_image_config *c = NULL;
		struct err e = {};

		CHECK(oci_image_config_decode(&a, str_of(bad[i]), &c, &e) < 0);
		CHECK(e.kind == ERR_INVALID && e.msg[0]);
	}
}

static void test_manifest(void)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\","
		"\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"sha256:" HEX
		"\",\"size\":7},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER_GZIP
		"\",\"digest\":\"sha256:" HEX "\",\"size\":9}]}";
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(1 << 16);
	struct oci_manifest *m = NULL;
	struct err e = {};

	CHECK(oci_manifest_decode(&a, str_of(text), &m, &e) == 0);
	if (!m)
		return;
	CHECK(m->config->size == 7 && m->layers_n == 1 && m->layers[0].size == 9);
	oci_manifest_write(&b, m);
	CHECK_STR(buf_z(&b), text);
	CHECK(oci_manifest_decode(&a, STR("{\"layers\":[]}"), &m, &e) < 0);
	CHECK(oci_manifest_decode(&a,
				  STR("{\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":-1}}"),
				  &m, &e) < 0);
}

static void test_archive(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct docker_archive_image *images = NULL;
	size_t n = 0;
	struct err e = {};

	CHECK(docker_archive_decode(&a,
				    STR("[{\"Config\":\"c.json\",\"RepoTags\":null,"
					"\"Layers\":[\"a/layer.tar\"]}]"),
				    &images, &n, &e) == 0);
	CHECK(n == 1 && images && streq(images[0].config, "c.json") && images[0].layers_n == 1);
	CHECK(docker_archive_decode(&a, STR("{}"), &images, &n, &e) < 0);
	CHECK(docker_archive_decode(&a, STR("[{}]"), &images, &n, &e) < 0);
}

int main(void)
{
	test_config();
	test_bad();
	test_manifest();
	test_archive();
	return test_done();
}

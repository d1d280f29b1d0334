/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of images; a configuration that decodes is written and decodes again. */
#include <stdlib.h>

#include "fmt/oci_image.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20);
	struct str text = { (const char *) data, size };
	struct oci_image_config *config = NULL;
	struct oci_manifest *manifest = NULL;
	struct oci_index *index = NULL;
	struct docker_archive_image *images = NULL;
	size_t n = 0;
	struct err e;

	if (oci_image_config_decode(&a, text, &config, &e) == 0) {
		oci_image_config_write(&out, config);
		if (buf_ok(&out) && oci_image_config_decode(&a, buf_str(&out), &config, &e) < 0 &&
		    e.kind != ERR_EXHAUSTED)
			abort();
	}
	if (oci_manifest_decode(&a, text, &manifest, &e) == 0 && !manifest->config)
		abort();
	(void) oci_index_decode(&a, text, &index, &e);
	(void) docker_archive_decode(&a, text, &images, &n, &e);
	return 0;
}

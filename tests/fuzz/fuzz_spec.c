/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: what decodes keeps its promises about lengths and strings. */
#include <stdlib.h>

#include "fmt/json.h"
#include "fmt/spec.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const struct json *root = NULL;
	const struct spec *spec = NULL;
	const struct spec_process *process = NULL;
	const struct spec_resources *resources = NULL;
	const struct spec_mount *mounts = NULL;
	size_t mounts_n = 0;
	struct err e;

	if (json_parse(&a, (struct str){ (const char *) data, size }, &root, &e) < 0)
		return 0;
	if (spec_decode(&a, root, &spec, &e) == 0 && !spec)
		abort();
	/* The parts are documents of their own for exec and update. */
	if (spec_process_decode(&a, root, &process, &e) == 0 && !process)
		abort();
	if (spec_resources_decode(&a, root, &resources, &e) == 0 && !resources)
		abort();
	if (spec_mounts_decode(&a, root, &mounts, &mounts_n, &e) == 0 && !mounts)
		abort();
	return 0;
}

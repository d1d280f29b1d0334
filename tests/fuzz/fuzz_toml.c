/* SPDX-License-Identifier: Apache-2.0 */
/* A document of TOML; what comes of it is a tree that JSON's writer takes. */
#include <stdlib.h>

#include "fmt/toml.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20);
	const struct json *root = NULL, *again = NULL;
	struct json_writer w = JSON_WRITER(&out);
	struct err e;

	if (toml_parse(&a, (struct str){ (const char *) data, size }, &root, &e) < 0)
		return 0;
	if (root->type != JSON_OBJECT)
		abort();
	json_w_value(&w, NULL, root);
	if (buf_ok(&out) && json_parse(&a, buf_str(&out), &again, &e) < 0 &&
	    e.kind != ERR_EXHAUSTED)
		abort();
	return 0;
}

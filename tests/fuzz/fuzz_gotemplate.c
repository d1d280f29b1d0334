/* SPDX-License-Identifier: Apache-2.0 */
/* A template over a fixed document: any template ends, within its bounds. */
#include <stdlib.h>

#include "fmt/gotemplate.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char document[] =
		"{\"ID\":\"abc\",\"N\":-3,\"F\":1.5,\"B\":true,\"L\":[1,\"two\",[3],{\"x\":4}],"
		"\"M\":{\"a\":\"1\",\"b\":\"2\"},\"Z\":null,\"S\":\"a,b,c\"}";
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_buf struct buf out = BUF_INIT(1u << 20);
	const struct gotemplate *t = NULL;
	const struct gotemplate_env env = { .header = false };
	const struct json *root = NULL;
	struct err e;

	if (gotemplate_parse(&a, (struct str){ (const char *) data, size }, &t, &e) < 0)
		return 0;
	if (json_parse(&a, str_of(document), &root, &e) < 0)
		abort();
	(void) gotemplate_run(t, root, &env, &a, &out, &e); /* a failure is as good */
	return 0;
}

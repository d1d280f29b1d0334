/* SPDX-License-Identifier: Apache-2.0 */
/* Parse a document; what parses is written and parsed again, and must then be the same text. */
#include <stdlib.h>

#include "fmt/json.h"
#include "fuzz.h"

static bool write_text(const struct json *v, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_value(&w, NULL, v);
	return buf_ok(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf first = BUF_INIT(16u << 20), second = BUF_INIT(16u << 20);
	const struct json *root = NULL, *again = NULL;
	struct err e;

	if (json_parse(&a, (struct str){ (const char *) data, size }, &root, &e) < 0)
		return 0;
	if (!write_text(root, &first))
		return 0;
	if (json_parse(&a, buf_str(&first), &again, &e) < 0) {
		/* Only memory may be the reason: the writer's text is valid. */
		if (e.kind != ERR_EXHAUSTED)
			abort();
		return 0;
	}
	if (write_text(again, &second) && !str_eq(buf_str(&first), buf_str(&second)))
		abort();
	return 0;
}

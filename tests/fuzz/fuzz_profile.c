/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp profile of the user's: what is accepted is written as JSON that parses again. */
#include <stdlib.h>

#include "fuzz.h"
#include "svc/plan_process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const caps[] = { "CAP_CHOWN", "CAP_SYS_ADMIN", NULL };
	auto_buf struct buf out = BUF_INIT(4u << 20);
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	struct json_writer w = JSON_WRITER(&out);
	char *text = str_dup((struct str){ (const char *) data, size });
	const struct json *root;
	struct err e;

	if (!text)
		return 0;
	int r = plan_seccomp_profile(&w, NULL, text, caps, &e);
	free(text);
	if (r >= 0 && buf_ok(&out) && json_parse(&a, buf_str(&out), &root, &e) < 0)
		abort();
	return 0;
}

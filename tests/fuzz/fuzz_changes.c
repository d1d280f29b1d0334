/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of --change, one a line, upon one configuration; what comes out can be written. */
#include <stdlib.h>

#include "fmt/changes.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf out = BUF_INIT(16u << 20);
	struct oci_run_config run = {};
	struct oci_image_config config = { .config = &run };
	struct oci_image_config *again = NULL;
	struct str rest = { (const char *) data, size };
	struct err e;

	if (memchr(data, '\0', size))
		return 0; /* arguments of a command line hold none */
	while (rest.p && rest.n) {
		struct str line = str_cut(rest, '\n', &rest);

		(void) changes_apply(&a, &run, line, &e); /* refusing is fine */
	}
	oci_image_config_write(&out, &config);
	if (buf_ok(&out) && oci_image_config_decode(&a, buf_str(&out), &again, &e) < 0 &&
	    e.kind != ERR_EXHAUSTED && run.labels_n == 0)
		abort();
	return 0;
}

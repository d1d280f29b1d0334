/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of criu's; whatever it says is borrowed from the message and lies within it. */
#include <stdlib.h>

#include "fmt/criu.h"
#include "fuzz.h"

static void within(struct str s, const uint8_t *data, size_t size)
{
	const char *from = (const char *) data;

	if (s.n && (s.p < from || s.p + s.n > from + size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct criu_response m;

	if (criu_decode((struct str){ (const char *) data, size }, &m) < 0)
		return 0;
	within(m.script, data, size);
	within(m.message, data, size);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Modules: what was stripped is a module still, with nothing more to strip. */
#include <stdlib.h>

#include "base/auto.h"
#include "fmt/kmod.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf once = BUF_INIT(16u << 20), twice = BUF_INIT(16u << 20);

	if (kmod_strip((struct str){ (const char *) data, size }, &once) < 0)
		return 0;
	if (kmod_strip(buf_str(&once), &twice) < 0 || !str_eq(buf_str(&once), buf_str(&twice)))
		abort();
	return 0;
}

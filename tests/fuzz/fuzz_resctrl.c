/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of resctrl: what is combined is whole lines. */
#include <stdlib.h>

#include "fmt/resctrl.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf out = BUF_INIT(1u << 20);
	struct str rest, all = { (const char *) data, size };
	struct str first = str_cut(all, '\0', &rest);
	char *l3 = str_dup(first);

	(void) resctrl_same(first, rest);
	if (l3) {
		resctrl_schemata(l3, l3, NULL, 0, &out);
		if (buf_ok(&out) && out.n && out.p[out.n - 1] != '\n')
			abort();
	}
	free(l3);
	return 0;
}

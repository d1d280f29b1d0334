/* SPDX-License-Identifier: Apache-2.0 */
/* Decode a datagram of the shim's protocol; what decodes is encoded again to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proto/shim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_buf struct buf b = BUF_INIT(SHIM_MESSAGE_MAX);
	struct str bytes = { (const char *) data, size };
	int fds[SHIM_FDS_MAX];
	struct shim_msg m, again;
	size_t fds_n = 0;

	if (size > SHIM_MESSAGE_MAX || shim_decode(&a, bytes, NULL, 0, &m) < 0)
		return 0;
	if (shim_encode(&m, &b, fds, &fds_n) < 0 || fds_n)
		abort();
	/* Fields that say nothing may have been there: they are not written. */
	if (shim_decode(&a, buf_str(&b), NULL, 0, &again) < 0 || again.type != m.type || b.n > size)
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A file of the cache of compiled filters: what is taken from it is a whole, bounded program. The
 * first two bytes say how much of the rest is the key. */
#include <stdlib.h>

#include "engine/container/seccomp_cache.h"
#include "fuzz.h"
#include "sys/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const char *bytes = (const char *) data + 2;
	struct sock_fprog prog = {};
	size_t n;

	if (size < 2)
		return 0;
	size -= 2;
	n = (size_t) data[0] | (size_t) data[1] << 8;
	if (size < 24 + n)
		n = 0;
	if (seccomp_cache_parse(&a, (struct str){ bytes, size }, (struct str){ bytes + 24, n },
				&prog) &&
	    (!prog.len || !seccomp_valid(prog.filter, prog.len)))
		abort();
	return 0;
}

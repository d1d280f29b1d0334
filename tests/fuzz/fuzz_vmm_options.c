/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of atoll-vmm, one word per line. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "fuzz.h"
#include "vmm/options.h"

enum { WORDS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	char *argv[WORDS_MAX + 1] = { NULL };
	struct str rest = { (const char *) data, size };
	struct options o;
	struct err e;
	int argc = 0;

	while (rest.n && argc < WORDS_MAX) {
		struct str word = str_cut(rest, '\n', &rest);

		argv[argc] = arena_dup(&a, word);
		if (!argv[argc++])
			return 0;
	}
	if (options_parse(argc, argv, &o, &e) < 0)
		return 0;
	if (o.cpus < 1 || o.disks_n > OPTION_DISKS_MAX || o.nets_n > OPTION_NETS_MAX ||
	    o.vsock.forwards_n > OPTION_FORWARDS_MAX)
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A command line, one word per line, against the largest option table there is: run's. */
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"
#include "cli/verbs.h"
#include "fuzz.h"

enum { WORDS_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	char *argv[WORDS_MAX + 1] = { NULL };
	enum option_outcome outcome = OPTION_PARSED;
	struct option_args args = { .n = 0 };
	struct str rest = { (const char *) data, size };
	void *options = arena_alloc(&a, verb_run.size);
	int argc = 0;
	struct err e;

	while (rest.n && argc < WORDS_MAX) {
		struct str word = str_cut(rest, '\n', &rest);

		argv[argc] = arena_dup(&a, word);
		if (!argv[argc++])
			return 0;
	}
	if (!options)
		return 0;
	if (verb_run.defaults)
		memcpy(options, verb_run.defaults, verb_run.size);
	if (option_parse(&verb_run, argc, argv, &a, options, &outcome, &args, &e) < 0)
		return 0;
	if (args.n > (size_t) argc)
		abort();
	return 0;
}

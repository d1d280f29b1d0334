/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a verb by table: "--name value", "--name=value", "-n value", and with one dash too,
 * as the tools that call OCI runtimes write them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum option_kind {
	OPTION_FLAG,	/* bool; "--name=false" turns it off */
	OPTION_STRING,	/* const char * */
	OPTION_STRINGS, /* struct strings: may be repeated */
};

struct strings {
	const char **v; /* NULL-terminated */
	size_t n;
};

struct option {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	size_t offset;
	const char *value; /* what stands for it in --help; NULL for flags */
	const char *help;
};

struct option_table {
	const struct option *v;
	size_t n;
	bool first; /* options stand before the arguments; what follows them is passed on */
};

/*
 * Parse argv[0..argc) into *to (zeroed by the caller) and the arguments that are no option, in the
 * arena, NULL-terminated. INVALID names the option; *ret_help: --help or -h was there.
 */
[[nodiscard]] int options_parse(const struct option_table *t, char *const *argv, size_t argc,
				struct arena *a, void *to, struct strings *ret_args, bool *ret_help,
				struct err *e);

void options_help(const struct option_table *t); /* on standard output */

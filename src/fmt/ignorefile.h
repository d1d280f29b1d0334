/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .dockerignore and .containerignore: patterns of names that are no part of a build's context, one
 * a line, "!" for exceptions, the last that fits decides; and the patterns of COPY, which are the
 * same without "**" (Go's filepath.Match: "*" and "?" but "/", [classes], "\\").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct ignore_pattern {
	const char *text; /* clean, without "/" at the front or the end */
	bool except;
};

struct ignorefile {
	struct ignore_pattern *v;
	size_t n;
	bool has_exceptions;
};

/* Fails: INVALID (a pattern that is none, with its line), EXHAUSTED. */
[[nodiscard]] int ignorefile_parse(struct arena *a, struct str text, struct ignorefile *ret,
				   struct err *e);
/* Whether a name ("dir/file") is left out, itself or by one of the directories it is in. */
bool ignorefile_has(const struct ignorefile *f, const char *name);

/* "*.c" of "main.c": the whole name has to fit; "**" is any number of directories. */
bool ignore_fits(const char *pattern, const char *name);
/* -EINVAL: a class that is not closed, a backslash at the end. */
[[nodiscard]] int ignore_check(const char *pattern);

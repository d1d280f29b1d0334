/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of Go's text/template that `--format` needs, over a JSON tree: fields, variables,
 * pipelines, parentheses, if/else if/else, range (with break, continue, else), with, comments,
 * blank trimming, and the functions and or not eq ne lt le gt ge len index slice print printf
 * println, and docker's json join split lower upper title truncate pad. Not here: define, template,
 * block, methods (but see gotemplate_env.hidden), tables (cli/table.h).
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"

struct gotemplate; /* parsed; lives in its arena */

#define GOTEMPLATE_TEXT_MAX (64u << 10) /* bytes of a template */

/* ERR_INVALID names line and column: "template: 1:12: ...". The text must outlive the result. */
[[nodiscard]] int gotemplate_parse(struct arena *a, struct str text,
				   const struct gotemplate **ret_t, struct err *e);

struct gotemplate_env {
	/* A table's head is made by running the template over the titles of its columns: functions
	 * that would mangle a title (json, join, split, truncate) leave it alone. */
	bool header;
	/* Members of the root object that `json .` must not show, or NULL. A field given arguments
	 * is indexed by them: {{.Label "x"}}. */
	const struct json *hidden;
};

/*
 * Run over data and append to out, whose maximum bounds it. Values made on the way live in a.
 * ERR_INVALID: a field that is not there, wrong types; EXHAUSTED: too much output or work.
 */
[[nodiscard]] int gotemplate_run(const struct gotemplate *t, const struct json *data,
				 const struct gotemplate_env *env, struct arena *a, struct buf *out,
				 struct err *e);

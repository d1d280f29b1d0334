/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parsed template is made of: shared by its parser, its interpreter and its functions, and
 * by nobody else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fmt/gotemplate.h"

enum expr_kind {
	EXPR_DOT,     /* "." */
	EXPR_ROOT,    /* "$" */
	EXPR_VAR,     /* "$name" */
	EXPR_LITERAL, /* a string, a number, true, false, nil */
	EXPR_CALL,    /* a function's name; only first in a command */
	EXPR_PIPE,    /* ( pipeline ) */
};

enum function {
	FN_AND,
	FN_EQ,
	FN_GE,
	FN_GT,
	FN_INDEX,
	FN_JOIN,
	FN_JSON,
	FN_LE,
	FN_LEN,
	FN_LOWER,
	FN_LT,
	FN_NE,
	FN_NOT,
	FN_OR,
	FN_PAD,
	FN_PRINT,
	FN_PRINTF,
	FN_PRINTLN,
	FN_SLICE,
	FN_SPLIT,
	FN_TITLE,
	FN_TRUNCATE,
	FN_UPPER,
};

struct pipeline;

struct expr {
	enum expr_kind kind;
	enum function fn;
	const struct pipeline *pipe;
	const struct json *literal; /* NULL: nil */
	struct str var;
	struct str *fields; /* the chain after it: .A.B */
	size_t fields_n;
	uint32_t at; /* offset in the text */
};

struct command {
	struct expr *operands;
	size_t n;
	uint32_t at;
};

struct pipeline {
	struct str vars[2]; /* declared or assigned; the second for range's $i, $v */
	size_t vars_n;
	bool assign; /* "=", not ":=" */
	struct command *commands;
	size_t n;
	uint32_t at;
};

enum node_kind {
	NODE_TEXT,
	NODE_ACTION,
	NODE_IF,
	NODE_RANGE,
	NODE_WITH,
	NODE_BREAK,
	NODE_CONTINUE
};

struct node {
	enum node_kind kind;
	struct str text;
	struct pipeline *pipe;
	struct node *body, *otherwise;
	struct node *next;
	uint32_t at;
};

struct gotemplate {
	struct str text;
	struct node *first;
};

#define GOTEMPLATE_DEPTH_MAX 48
#define GOTEMPLATE_STEPS_MAX 20000000u /* nodes and operands evaluated in one run */

/* "template: LINE:COLUMN: message" for an offset in the text. */
[[gnu::format(printf, 4, 5)]] int gotemplate_error(struct err *e, struct str text, uint32_t at,
						   const char *fmt, ...);

/* false when there is no such function. */
bool gotemplate_function(struct str name, enum function *ret_fn);

/* Whether Go calls it true: not nil, false, 0, or empty. */
bool gotemplate_truth(const struct json *v);

/* Text as Go's %v prints it. NULL is nil. */
void gotemplate_print(const struct json *v, struct buf *out);

/*
 * Every function but `and` and `or`, which the interpreter evaluates itself because they leave
 * operands alone. Messages carry no position: the caller adds it.
 */
[[nodiscard]] int gotemplate_call(enum function fn, const struct json *const *args, size_t n,
				  const struct gotemplate_env *env, struct arena *a,
				  const struct json **ret_v, struct err *e);

/* Element of an array, member of an object by each key in turn. */
[[nodiscard]] int gotemplate_index(const struct json *v, const struct json *const *keys, size_t n,
				   const struct json **ret_v, struct err *e);

/* Whether an object is what Go would hold in a map of strings: a lookup may miss. */
bool gotemplate_is_map(const struct json *v);

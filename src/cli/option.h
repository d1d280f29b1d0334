/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table per verb: the parser, --help, the man page and the completions of three shells are all
 * made from it, so that none can lie about the others. The syntax is docker's: "--flag value",
 * "--flag=value", "-f value", "-fvalue", clustered shorts "-it", booleans with "=false", repeated
 * flags, "--" ending them. Not here: what a verb does with its options.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct cli;

enum option_kind {
	OPTION_BOOL,	     /* bool */
	OPTION_STRING,	     /* const char * */
	OPTION_LIST,	     /* struct option_list: the flag may be repeated */
	OPTION_INT,	     /* int64_t, within min..max */
	OPTION_BYTES,	     /* int64_t: "512m", and "-1" where min is negative */
	OPTION_DURATION,     /* int64_t nanoseconds: "1m30s" */
	OPTION_NANO,	     /* int64_t: a decimal number in units of 1e-9 ("1.5" processors) */
	OPTION_REFUSED,	     /* known to docker, not to us: an error saying `why` */
	OPTION_REFUSED_BOOL, /* the same of a flag without a value */
};

/* What a shell offers after a flag or as an operand. */
enum option_complete {
	OPTION_COMPLETE_NONE,
	OPTION_COMPLETE_FILE,
	OPTION_COMPLETE_DIR,
	OPTION_COMPLETE_CONTAINER,
	OPTION_COMPLETE_RUNNING,
	OPTION_COMPLETE_IMAGE,
	OPTION_COMPLETE_VOLUME,
	OPTION_COMPLETE_NETWORK,
	OPTION_COMPLETE_KERNEL,
	OPTION_COMPLETE_SNAPSHOT,
	OPTION_COMPLETE_SHELL,
};

struct option_list {
	const char **items;
	size_t n;
};

struct option {
	const char *name; /* without "--" */
	char letter;	  /* 0: none */
	enum option_kind kind;
	enum option_complete complete;
	size_t offset;	   /* of the member in the verb's options struct */
	size_t set_offset; /* of a bool that tells whether it was given, or 0: not wanted */
	const char *value; /* the name of its value in texts: "list", "bytes" */
	const char *help;  /* one line, no full stop */
	const char *words; /* what may follow, separated by blanks: offered, not enforced */
	const char *why;   /* of a refused one */
	int64_t min, max;  /* INT; both 0: any */
	bool hidden;
};

#define OPTION_ITEM_(struct_, member, kind_, name_, letter_)                                       \
	.name = (name_), .letter = (letter_), .kind = (kind_), .offset = offsetof(struct_, member)

/* Whether an optional value was given is a bool `MEMBER_set` beside it. */
#define OPTION_SET(struct_, member) .set_offset = offsetof(struct_, member##_set)

struct option_args {
	const char *const *argv; /* operands; NULL-terminated */
	size_t n;
};

struct verb {
	const char *usage;   /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
	const char *summary; /* one line, no full stop */
	const char *about; /* paragraphs for --help and the man page, separated by \n\n; or NULL */
	const char *example; /* lines for the man page; or NULL */
	const struct option *options;
	size_t options_n;
	const struct option *more; /* a second table on the same struct, or NULL */
	size_t more_n;
	size_t size;	      /* of the options struct, zeroed; 0: none */
	const void *defaults; /* copied over it first, or NULL */
	size_t args_min, args_max;
	bool operands_end;	       /* the first operand ends the flags: run IMAGE -x */
	enum option_complete complete; /* of operands */
	int usage_status;	       /* exit status of a wrong command line; 0: 125 */
	/* The verb; gives the exit status. NULL: a group of verbs. */
	int (*run)(struct cli *c, const void *options, struct option_args args);
	const struct verb_entry *verbs; /* of a group, ended by a NULL name */
	const struct verb *otherwise;	/* of a group: what is meant when none of them is named */
};

struct verb_entry {
	const char *name;
	const char *aliases; /* separated by blanks, or NULL */
	const struct verb *verb;
	bool hidden; /* found, but in no list */
};

#define VERB_ARGS_ANY SIZE_MAX

enum option_outcome {
	OPTION_PARSED,
	OPTION_HELP, /* --help or -h stood there */
};

/*
 * Parse argv (without the program's and the verb's names) into *to, which is zeroed or holds the
 * defaults. Lists and operands live in the arena; strings are argv's own. ERR_INVALID for what is
 * wrong with the line, ERR_UNSUPPORTED for a refused flag. The number of operands is not checked.
 */
[[nodiscard]] int option_parse(const struct verb *v, int argc, char *const *argv, struct arena *a,
			       void *to, enum option_outcome *ret_outcome,
			       struct option_args *ret_args, struct err *e);

/* ERR_INVALID unless the number of operands suits the verb; path is "atoll run". */
[[nodiscard]] int option_check_args(const struct verb *v, const char *path, struct option_args args,
				    struct err *e);

/* The entry by name or alias, NULL: none. */
const struct verb_entry *verb_find(const struct verb *group, const char *name);
/* The entry's name nearest to a wrong one, or NULL. */
const char *verb_nearest(const struct verb *group, const char *name);

/* The i-th of both tables, NULL past the end. */
const struct option *verb_option(const struct verb *v, size_t i);
/* Indices of all shown options in the order of their names; gives the count. */
size_t verb_options_sorted(const struct verb *v, const struct option **ret_sorted, size_t max);

#define VERB_OPTIONS_MAX 160

bool option_takes_value(const struct option *o);

/* The text of --help. path is what the user calls the verb by: "atoll container ls". */
void verb_help(const struct verb *v, const char *path, struct buf *out);

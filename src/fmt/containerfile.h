/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Containerfile (Dockerfile) as a list of instructions: comments, continued lines, directives,
 * flags, the exec form, here-documents (Dockerfile reference 1.x). What the instructions mean, and
 * what variables hold, is not known here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"

enum containerfile_kind {
	CONTAINERFILE_ADD,
	CONTAINERFILE_ARG,
	CONTAINERFILE_CMD,
	CONTAINERFILE_COPY,
	CONTAINERFILE_ENTRYPOINT,
	CONTAINERFILE_ENV,
	CONTAINERFILE_EXPOSE,
	CONTAINERFILE_FROM,
	CONTAINERFILE_HEALTHCHECK,
	CONTAINERFILE_LABEL,
	CONTAINERFILE_MAINTAINER,
	CONTAINERFILE_ONBUILD,
	CONTAINERFILE_RUN,
	CONTAINERFILE_SHELL,
	CONTAINERFILE_STOPSIGNAL,
	CONTAINERFILE_USER,
	CONTAINERFILE_VOLUME,
	CONTAINERFILE_WORKDIR,
};

struct containerfile_heredoc {
	const char *name;
	struct str text;
	bool expand; /* its name was not quoted */
};

struct containerfile_step {
	enum containerfile_kind kind;
	unsigned int line;	 /* its first, from 1; of an ONBUILD's: 0 */
	const char *text;	 /* whole, in one line: "RUN make" */
	struct json_pair *flags; /* "--from=x", in order; without "=": value "" */
	size_t flags_n;
	struct str rest;    /* what follows the flags, continued lines put together */
	const char **words; /* the exec form: rest is a JSON array of strings; else NULL */
	size_t words_n;
	struct containerfile_heredoc *heredocs;
	size_t heredocs_n;
};

struct containerfile {
	char escape; /* '\\' or '`' */
	struct containerfile_step *steps;
	size_t n;
};

/* Its name in capitals. */
const char *containerfile_name(enum containerfile_kind k);

/*
 * text must last as long as what is given. Fails: INVALID, with "FILE:LINE: " and the line itself;
 * EXHAUSTED.
 */
[[nodiscard]] int containerfile_parse(struct arena *a, struct str text, const char *file,
				      struct containerfile *ret, struct err *e);
/* One instruction alone, as ONBUILD keeps it. */
[[nodiscard]] int containerfile_parse_step(struct arena *a, struct str text, char escape,
					   struct containerfile_step *ret, struct err *e);
/* "FILE:LINE: " before e's message, and the line below it. */
int containerfile_blame(struct str text, const char *file, unsigned int line, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words as an instruction of a Containerfile has them: quotes, the escape character, and $NAME,
 * ${NAME}, ${NAME:-word}, :+ :? (and without the colon), ${NAME#pattern}, ##, %, %%,
 * ${NAME/pattern/text}, //. What a variable holds is never split nor read again. (Dockerfile
 * reference, "Environment replacement".)
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct shellword {
	struct arena *arena; /* of what is given */
	char escape;	     /* '\\' or '`' */
	/* The value of a variable in the arena or longer-lived; NULL: it is not set. */
	const char *(*get)(void *user, struct str name);
	void *user;
};

/* Fail: INVALID, saying what is not closed or not known, or what ${NAME:?text} says; EXHAUSTED. */
/* The whole text as one word. */
[[nodiscard]] int shellword_one(const struct shellword *w, struct str text, const char **ret,
				struct err *e);
/* Its words; NULL-terminated. */
[[nodiscard]] int shellword_list(const struct shellword *w, struct str text, const char ***ret,
				 size_t *ret_n, struct err *e);

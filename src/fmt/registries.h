/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containers-registries.conf(5), version 2, says, of all of its files together: which
 * registries a short name is looked for in, what it is an alias of, and where else than by its name
 * an image is to be found. Pure: the files are read by image/registries_read.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/reference.h"

struct registries_mirror {
	const char *location;
	bool insecure;
	const char *pull_from; /* "all", "digest-only", "tag-only" or NULL */
};

struct registries_entry {
	const char *prefix;   /* "host/name...", "*.example.com" */
	const char *location; /* or NULL: as it is */
	bool insecure, blocked, digest_only;
	struct registries_mirror *mirrors;
	size_t mirrors_n;
	const char *file;
};

struct registries {
	struct arena arena;  /* holds all */
	const char **search; /* hosts for short names */
	size_t search_n;
	enum registries_mode {
		REGISTRIES_PERMISSIVE, /* ask which; without a terminal all, in their order */
		REGISTRIES_ENFORCING,  /* ask which; without a terminal refuse */
		REGISTRIES_DISABLED,   /* all, in their order */
	} mode;
	struct json_pair *aliases; /* value "": none */
	size_t aliases_n;
	struct registries_entry *entries;
	size_t entries_n;
};

#define REGISTRIES_INIT ((struct registries){ .arena = ARENA_INIT((size_t) 16 << 20) })

void registries_fini(struct registries *c);
#define auto_registries __attribute__((cleanup(registries_fini)))

/* What one more file says; it has its way where they differ. Fails: INVALID. */
[[nodiscard]] int registries_add(struct registries *c, struct str text, const char *file,
				 struct err *e);

/*
 * What a name without a registry may mean: what it is an alias of; or it in each of those that are
 * searched, in their order. None (*ret_n is 0): it is no such name, or nothing is said of it. The
 * names are c's.
 */
[[nodiscard]] int registries_meant(struct registries *c, struct str name,
				   struct reference **ret_refs, size_t *ret_n, struct err *e);

/* The entry whose prefix says most of it, or NULL. */
const struct registries_entry *registries_find(const struct registries *c,
					       const struct reference *ref);

/* Where an image is fetched from: its mirrors, in their order, and at the end its registry. */
struct registries_place {
	struct reference ref;
	bool insecure;
};
/* Gives them in c. Fails: DENIED it is blocked; INVALID what a location makes of it is no name. */
[[nodiscard]] int registries_places(struct registries *c, const struct reference *ref,
				    struct registries_place **ret_places, size_t *ret_n,
				    struct err *e);
/* For what is not fetched: whether it may be spoken to, and how. Fails: DENIED. */
[[nodiscard]] int registries_check(const struct registries *c, const struct reference *ref,
				   bool *ret_insecure, struct err *e);

/* A file of aliases, that ones and this one more. */
void registries_write_alias(struct buf *out, const struct registries *c, const char *name,
			    const char *value);

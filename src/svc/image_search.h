/* SPDX-License-Identifier: Apache-2.0 */
/* `search`: which images registries have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct svc;

struct svc_search {
	const char *term; /* [HOST/]WORDS */
	uint64_t limit;	  /* of each registry; 1 to SVC_SEARCH_MOST */
	bool no_verify;
	enum svc_search_want {
		SVC_SEARCH_ANY,
		SVC_SEARCH_ONLY,
		SVC_SEARCH_NOT
	} official,
		automated;
	uint64_t stars; /* at least */
};
#define SVC_SEARCH_MOST 100

struct svc_searched {
	struct arena arena;
	struct svc_search_hit {
		const char *index; /* host */
		const char *name;  /* as it is pulled: familiar */
		const char *description;
		uint64_t stars;
		bool official, automated;
	} * items;
	size_t n;
};

/*
 * By the registry's search (Docker Hub's /v1/search), or, where it has none, of the list of all its
 * repositories (/v2/_catalog) those that have the words in their names. Without a host: of
 * docker.io or of registries.conf's unqualified-search-registries. Fails where none of them
 * answers.
 */
[[nodiscard]] int svc_image_search(struct svc *s, const struct svc_search *q,
				   struct svc_searched *ret, struct err *e);
void svc_searched_fini(struct svc_searched *r);

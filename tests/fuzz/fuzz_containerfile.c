/* SPDX-License-Identifier: Apache-2.0 */
/* A Containerfile, and the words of its instructions; then the same text as an ignore file. */
#include <stdlib.h>
#include <string.h>

#include "fmt/containerfile.h"
#include "fmt/ignorefile.h"
#include "fmt/shellword.h"
#include "fuzz.h"

static const char *get(void *user, struct str name)
{
	(void) user;
	return name.n % 3 == 0 ? NULL : name.n % 3 == 1 ? "" : "a value/with.parts";
}

static void words(struct arena *a, const struct containerfile *f)
{
	const struct shellword w = { .arena = a, .escape = f->escape, .get = get };
	struct err e;

	for (size_t i = 0; i < f->n; i++) {
		const struct containerfile_step *s = &f->steps[i];
		const char **list, *one;
		size_t n;

		if (strlen(s->text) < s->rest.n)
			abort();
		if (shellword_list(&w, s->rest, &list, &n, &e) == 0 && list[n])
			abort();
		(void) shellword_one(&w, s->rest, &one, &e); /* refusing is fine */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const struct str text = { (const char *) data, size };
	struct containerfile f;
	struct ignorefile ignore;
	struct err e = {};

	if (containerfile_parse(&a, text, "Containerfile", &f, &e) == 0)
		words(&a, &f);
	else if (!e.msg[0])
		abort();
	if (ignorefile_parse(&a, text, &ignore, &e) < 0)
		return 0;
	for (size_t i = 0; i < ignore.n; i++)
		if (ignore_check(ignore.v[i].text) < 0)
			abort();
	(void) ignorefile_has(&ignore, "src/main.c");
	(void) ignorefile_has(&ignore, "aaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbb");
	return 0;
}

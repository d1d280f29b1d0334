/* SPDX-License-Identifier: Apache-2.0 */
/* A registries.conf; where names lead by it are names. */
#include <stdlib.h>

#include "fmt/registries.h"
#include "fuzz.h"

static const char *const names[] = { "debian:12", "a/b", "docker.io/library/debian",
				     "registry.example.com:5000/a/b:1", "localhost/x" };

static void is_whole(const struct reference *ref)
{
	struct reference again;
	char text[REFERENCE_MAX];
	struct err e;

	reference_text(ref, text);
	if (reference_parse(str_of(text), &again, &e) < 0 || reference_is_short(str_of(text)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	struct err e;

	if (registries_add(&c, (struct str){ (const char *) data, size }, "x", &e) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct registries_place *places = NULL;
		struct reference ref, *refs = NULL;
		size_t n = 0;

		if (registries_meant(&c, str_of(names[i]), &refs, &n, &e) == 0)
			for (size_t k = 0; k < n; k++)
				is_whole(&refs[k]);
		n = 0;
		if (reference_parse(str_of(names[i]), &ref, &e) == 0 &&
		    registries_places(&c, &ref, &places, &n, &e) == 0)
			for (size_t k = 0; k < n; k++)
				is_whole(&places[k].ref);
	}
	return 0;
}

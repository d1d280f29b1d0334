/* SPDX-License-Identifier: Apache-2.0 */
/* An image reference: its stored form parses to itself, and its familiar form to the same. */
#include <stdlib.h>
#include <string.h>

#include "fmt/reference.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *) data, size }, hex;
	struct reference ref, again;
	char stored[REFERENCE_MAX], twice[REFERENCE_MAX];
	struct err e;

	(void) reference_is_id(text, &hex);
	if (reference_parse(text, &ref, &e) < 0)
		return 0;
	reference_default_tag(&ref);
	reference_text(&ref, stored);
	if (reference_parse(str_of(stored), &again, &e) < 0)
		abort();
	reference_text(&again, twice);
	if (strcmp(stored, twice) != 0)
		abort();
	if (reference_parse(str_of(reference_familiar_of(stored)), &again, &e) < 0)
		abort();
	reference_text(&again, twice);
	if (strcmp(stored, twice) != 0)
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A value of WWW-Authenticate: what is found are texts. */
#include <stdlib.h>
#include <string.h>

#include "fmt/challenge.h"
#include "fuzz.h"

static void is_text(const char *z)
{
	if (!memchr(z, '\0', CHALLENGE_TEXT_MAX))
		abort();
	for (; *z; z++)
		if ((unsigned char) *z < ' ')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct challenge c;

	if (challenge_parse((struct str){ (const char *) data, size }, &c) < 0)
		return 0;
	is_text(c.realm);
	is_text(c.service);
	is_text(c.scope);
	is_text(c.error);
	return 0;
}

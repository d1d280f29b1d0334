/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/names.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/auto.h"

static const char *const adjectives[] = {
	"able",	  "amber",  "bold",   "brave",	"brisk",  "calm",   "candid", "clear",
	"clever", "coral",  "crisp",  "deft",	"eager",  "early",  "fair",   "fleet",
	"fond",	  "frank",  "fresh",  "gentle", "glad",	  "golden", "grand",  "green",
	"hardy",  "honest", "humble", "jolly",	"keen",	  "kind",   "lively", "lucid",
	"lucky",  "merry",  "mild",   "modest", "neat",	  "nimble", "noble",  "patient",
	"plain",  "polite", "proud",  "quick",	"quiet",  "rapid",  "ready",  "robust",
	"rosy",	  "sharp",  "silver", "sleek",	"smooth", "snappy", "sober",  "solid",
	"spry",	  "steady", "sunny",  "swift",	"tidy",	  "trusty", "vivid",  "wise",
};
/* Birds of islands and shores. */
static const char *const birds[] = {
	"albatross", "auk",	  "avocet",	"bittern",  "booby",	 "brant",   "bulbul",
	"bunting",   "cormorant", "corncrake",	"crake",    "crane",	 "curlew",  "dipper",
	"dotterel",  "dove",	  "dunlin",	"eider",    "egret",	 "falcon",  "finch",
	"frigate",   "fulmar",	  "gannet",	"godwit",   "grebe",	 "gull",    "heron",
	"ibis",	     "jacana",	  "kestrel",	"kingbird", "kittiwake", "knot",    "lapwing",
	"lark",	     "loon",	  "martin",	"merlin",   "murre",	 "noddy",   "osprey",
	"ouzel",     "pelican",	  "petrel",	"pipit",    "plover",	 "pochard", "puffin",
	"rail",	     "sandpiper", "shearwater", "skua",	    "snipe",	 "stilt",   "stork",
	"swift",     "tattler",	  "teal",	"tern",	    "turnstone", "wagtail", "whimbrel",
	"widgeon",
};

int names_hex(char *ret, size_t n, struct err *e)
{
	unsigned char bytes[32];

	assert(n <= 2 * sizeof(bytes) && n % 2 == 0);
	if (getrandom(bytes, n / 2, 0) != (ssize_t) (n / 2))
		return err_sys(e, errno, "random bytes");
	for (size_t i = 0; i < n; i++)
		ret[i] = "0123456789abcdef"[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
	ret[n] = '\0';
	return 0;
}

int names_made_up(unsigned attempt, char ret[static NAMES_MAX], struct err *e)
{
	uint16_t r[3];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return err_sys(e, errno, "random bytes");
	const char *adjective = adjectives[r[0] % ARRAY_SIZE(adjectives)];
	const char *bird = birds[r[1] % ARRAY_SIZE(birds)];
	int n = attempt == 0 ? snprintf(ret, NAMES_MAX, "%s_%s", adjective, bird)
			     : snprintf(ret, NAMES_MAX, "%s_%s%u", adjective, bird, r[2]);
	assert(n > 0 && n < NAMES_MAX);
	return 0;
}

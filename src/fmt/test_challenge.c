/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/test.h"
#include "fmt/challenge.h"

static const struct challenge *parsed(const char *text)
{
	static struct challenge c;

	CHECK(challenge_parse(str_of(text), &c) == 0);
	return &c;
}

static void refused(const char *text, int why)
{
	struct challenge c;

	CHECK(challenge_parse(str_of(text), &c) == why);
}

static void understood(void)
{
	const struct challenge *c = parsed(
		"Bearer realm=\"https://auth.docker.io/token\",service=\"registry."
		"docker.io\",scope=\"repository:library/debian:pull,push\"");

	CHECK(c->scheme == CHALLENGE_BEARER && streq(c->realm, "https://auth.docker.io/token"));
	CHECK(streq(c->service, "registry.docker.io"));
	CHECK(streq(c->scope, "repository:library/debian:pull,push") && !c->error[0]);
	c = parsed("basic realm=\"a \\\"quoted\\\" one\"");
	CHECK(c->scheme == CHALLENGE_BASIC && streq(c->realm, "a \"quoted\" one"));
	c = parsed("Digest realm=x, nonce=\"y\", Basic realm=b , , Bearer  realm = "
		   "r,error=insufficient_scope");
	CHECK(c->scheme == CHALLENGE_BEARER && streq(c->realm, "r") &&
	      streq(c->error, "insufficient_scope"));
	c = parsed("Bearer realm=r, Basic realm=b");
	CHECK(c->scheme == CHALLENGE_BEARER && streq(c->realm, "r"));
	c = parsed("Basic");
	CHECK(c->scheme == CHALLENGE_BASIC && !c->realm[0]);
	CHECK(parsed("")->scheme == CHALLENGE_NONE && parsed(", ,")->scheme == CHALLENGE_NONE);
	CHECK(parsed("Negotiate")->scheme == CHALLENGE_NONE);
}

static void no_challenges(void)
{
	char big[CHALLENGE_TEXT_MAX + 32];

	refused("=", -EINVAL);
	refused("Bearer realm=", -EINVAL);
	refused("Bearer realm=\"open", -EINVAL);
	refused("Bearer realm=\"open\\", -EINVAL);
	refused("Bearer realm=\"a\" service=\"b\"", -EINVAL);
	refused("Bearer;realm=a", -EINVAL);
	refused("Negotiate abc==", -EINVAL);
	refused("Bearer realm=\"a\tb\"", -E2BIG);
	memset(big, 'a', sizeof(big));
	memcpy(big, "Bearer realm=", 13);
	big[sizeof(big) - 1] = '\0';
	refused(big, -E2BIG);
}

int main(void)
{
	understood();
	no_challenges();
	return test_done();
}

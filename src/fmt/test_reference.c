/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_good(void)
{
	static const struct {
		const char *in, *out, *familiar;
	} good[] = {
		{ "debian", "docker.io/library/debian", "debian" },
		{ "debian:bookworm", "docker.io/library/debian:bookworm", "debian" },
		{ "a/b:1", "docker.io/a/b:1", "a/b" },
		{ "index.docker.io/library/x", "docker.io/library/x", "x" },
		{ "localhost/x:y", "localhost/x:y", "localhost/x" },
		{ "localhost:5000/x", "localhost:5000/x", "localhost:5000/x" },
		{ "reg.example/a__b/c-d.e:T_1.x", "reg.example/a__b/c-d.e:T_1.x",
		  "reg.example/a__b/c-d.e" },
		{ "[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x" },
		{ "x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x" },
		{ "x:1@sha256:" HEX, "docker.io/library/x:1@sha256:" HEX, "x" },
		{ "REG/x", "REG/x", "REG/x" },
		{ "docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c" },
		{ "docker.io/localhost/c", "docker.io/localhost/c", "docker.io/localhost/c" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct reference ref = {};
		struct err e = {};
		char text[REFERENCE_MAX];

		CHECK(reference_parse(str_of(good[i].in), &ref, &e) == 0);
		reference_text(&ref, text);
		CHECK_STR(text, good[i].out);
		CHECK_STR(reference_familiar(&ref), good[i].familiar);
		CHECK(reference_parse(str_of(text), &ref, &e) == 0);
	}
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",	      ":",	  "x:",	  "x:-a",	"Debian", "a//b",
		"a/",	      "/a",	  "a..b", "a___b",	"-a",	  "a-",
		"x@sha256:1", "x@md5:ab", "a b",  "ex ample/x", "a.b:/x", "a.b:123456/x",
		"x:a:b",      HEX,	  "a\n",  "../x",	"x.-y",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct reference ref = {};
		struct err e = {};

		CHECK(reference_parse(str_of(bad[i]), &ref, &e) < 0);
		CHECK(e.kind == ERR_INVALID);
	}
}

static void test_ids(void)
{
	struct str hex = {};
	struct digest d;
	char text[DIGEST_TEXT_MAX];

	CHECK(reference_is_id(STR("ab12"), &hex) && hex.n == 4);
	CHECK(reference_is_id(STR("sha256:" HEX), &hex) && hex.n == 64);
	CHECK(!reference_is_id(STR("x1"), &hex));
	CHECK(!reference_is_id(STR("AB"), &hex));
	CHECK(!reference_is_id(STR(HEX "0"), &hex));
	CHECK(digest_parse(STR("sha256:" HEX), &d) == 0);
	digest_text(&d, text);
	CHECK_STR(text, "sha256:" HEX);
	CHECK(digest_parse(STR("sha256:"), &d) < 0);
	CHECK_STR(reference_familiar_of("docker.io/library/a/b:1"), "library/a/b:1");
}

static void test_default_tag(void)
{
	struct reference ref = {};
	struct err e = {};
	char text[REFERENCE_MAX];

	CHECK(reference_parse(STR("x"), &ref, &e) == 0);
	reference_default_tag(&ref);
	reference_text(&ref, text);
	CHECK_STR(text, "docker.io/library/x:latest");
}

int main(void)
{
	test_good();
	test_bad();
	test_ids();
	test_default_tag();
	return test_done();
}

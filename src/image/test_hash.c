/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/buf.h"
#include "base/test.h"
#include "image/hash.h"

static const char *hex_of(struct digest d)
{
	static char hex[DIGEST_HEX_MAX];

	digest_hex(&d, hex);
	return hex;
}

int main(void)
{
	/* FIPS 180-4's example. */
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct digest a = hash_of(STR("abc")), b = hash_of(STR("")), chain;
	auto_buf struct buf text = BUF_INIT(1000);
	struct hash h;

	CHECK_STR(hex_of(a), abc);
	hash_init(&h);
	hash_add(&h, "a", 1);
	hash_add(&h, "bc", 2);
	hash_end(&h, &b);
	CHECK(digest_eq(&a, &b));
	/* The lowest layer's chain id is its diff id; above, the digest of "CHAIN DIFF" as text. */
	chain = hash_chain(NULL, &a);
	CHECK(digest_eq(&chain, &a));
	buf_addf(&text, "sha256:%s sha256:%s", abc, abc);
	b = hash_of(buf_str(&text));
	chain = hash_chain(&a, &a);
	CHECK(digest_eq(&chain, &b));
	return test_done();
}

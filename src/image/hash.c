/* SPDX-License-Identifier: Apache-2.0 */
#include "image/hash.h"

void hash_init(struct hash *h)
{
	(void) SHA256_Init(&h->ctx); /* these three cannot fail */
}

void hash_add(struct hash *h, const void *p, size_t n)
{
	(void) SHA256_Update(&h->ctx, p, n);
}

void hash_end(struct hash *h, struct digest *ret_d)
{
	(void) SHA256_Final(ret_d->b, &h->ctx);
}

struct digest hash_of(struct str text)
{
	struct hash h;
	struct digest d;

	hash_init(&h);
	hash_add(&h, text.p, text.n);
	hash_end(&h, &d);
	return d;
}

struct digest hash_chain(const struct digest *parent, const struct digest *diff)
{
	char text[2 * DIGEST_TEXT_MAX];

	if (!parent)
		return *diff;
	digest_text(parent, text);
	text[DIGEST_TEXT_MAX - 1] = ' ';
	digest_text(diff, text + DIGEST_TEXT_MAX);
	return hash_of((struct str){ text, 2 * DIGEST_TEXT_MAX - 1 });
}

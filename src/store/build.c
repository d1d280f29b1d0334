/* SPDX-License-Identifier: Apache-2.0 */
#include "store/build.h"

#include <errno.h>

#include "store/store.h"

int store_build_add(struct store *s, const struct digest *key, const struct digest *image,
		    bool inner, struct err *e)
{
	char key_hex[DIGEST_HEX_MAX], image_hex[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_RELAXED, e);

	if (r < 0)
		return r;
	digest_hex(key, key_hex);
	digest_hex(image, image_hex);
	r = store_run(s, "INSERT OR REPLACE INTO build_steps(key,image,inner) VALUES(?1,?2,?3)",
		      STORE_ARGS(STORE_TEXT(key_hex), STORE_TEXT(image_hex), STORE_INT(inner)),
		      NULL, e);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return store_commit(s, e);
}

static int damaged(struct err *e)
{
	return err_set(e, ERR_INTERNAL, 0,
		       "a build's record is damaged: run `atoll system repair`");
}

int store_build_find(struct store *s, const struct digest *key, struct digest *ret_image,
		     bool *ret_found, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct arena a = ARENA_INIT(4096);
	char hex[DIGEST_HEX_MAX];
	int r;

	digest_hex(key, hex);
	r = store_prepare(s, "SELECT image FROM build_steps WHERE key=?1",
			  STORE_ARGS(STORE_TEXT(hex)), &st, e);
	if (r >= 0)
		r = store_step(s, st, e);
	*ret_found = r > 0;
	if (r > 0) {
		const char *text = store_text(&a, st, 0);

		r = text && digest_parse_hex(str_of(text), ret_image) == 0 ? 0 : damaged(e);
	}
	arena_fini(&a);
	return r;
}

int store_build_inner(struct store *s, struct arena *a, struct digest **ret_images, size_t *ret_n,
		      struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct digest *images = NULL;
	size_t n = 0;
	int r = store_prepare(s,
			      "SELECT DISTINCT image FROM build_steps WHERE inner=1 AND NOT EXISTS "
			      "(SELECT 1 FROM build_steps o WHERE o.image=build_steps.image AND "
			      "o.inner=0) AND NOT EXISTS (SELECT 1 FROM image_names n WHERE "
			      "n.image=build_steps.image) ORDER BY image",
			      NULL, &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		struct digest *d = arena_push(a, &images, &n, sizeof(*images));
		const char *text = store_text(a, st, 0);

		if (!d || !text)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading builds");
		if (digest_parse_hex(str_of(text), d) < 0)
			return damaged(e);
	}
	*ret_images = images;
	*ret_n = n;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/origin.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "store/store.h"

int store_origin_add(struct store *s, const struct digest *blobs, size_t n, const char *repository,
		     struct err *e)
{
	int r = store_write(s, STORE_RELAXED, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++) {
		char hex[DIGEST_HEX_MAX];

		digest_hex(&blobs[i], hex);
		r = store_run(s,
			      "INSERT INTO layer_origins VALUES(?1,?2,?3)"
			      " ON CONFLICT(blob,repository) DO UPDATE SET at=excluded.at",
			      STORE_ARGS(STORE_TEXT(hex), STORE_TEXT(repository),
					 STORE_INT(clock_wall())),
			      NULL, e);
	}
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return store_commit(s, e);
}

int store_origin_known(struct store *s, const struct digest *blob, bool *ret_known, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	char hex[DIGEST_HEX_MAX];
	int r;

	digest_hex(blob, hex);
	r = store_prepare(s, "SELECT 1 FROM layer_origins WHERE blob=?1 LIMIT 1",
			  STORE_ARGS(STORE_TEXT(hex)), &st, e);
	r = r < 0 ? r : store_step(s, st, e);
	*ret_known = r > 0;
	return r < 0 ? r : 0;
}

int store_origin_find(struct store *s, struct arena *a, const struct digest *blob,
		      const char *repository, const char **ret_name, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	const char *slash = strchr(repository, '/'), *found;
	char hex[DIGEST_HEX_MAX], *host;
	int r;

	*ret_name = NULL;
	if (!slash)
		return 0;
	digest_hex(blob, hex);
	host = arena_dup(a, (struct str){ repository, (size_t) (slash + 1 - repository) });
	if (!host)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	r = store_prepare(s,
			  "SELECT repository FROM layer_origins WHERE blob=?1 AND repository<>?2"
			  " AND substr(repository,1,length(?3))=?3 ORDER BY at DESC LIMIT 1",
			  STORE_ARGS(STORE_TEXT(hex), STORE_TEXT(repository), STORE_TEXT(host)),
			  &st, e);
	r = r < 0 ? r : store_step(s, st, e);
	if (r <= 0)
		return r;
	found = store_text(a, st, 0);
	if (!found || strlen(found) < strlen(host))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	*ret_name = found + strlen(host);
	return 0;
}

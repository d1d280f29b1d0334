/* SPDX-License-Identifier: Apache-2.0 */
#include "store/network.h"

#include <errno.h>

static int record_of(struct arena *a, struct sqlite3_stmt *st, struct network_record *ret,
		     struct err *e)
{
	*ret = (struct network_record){
		.id = store_text(a, st, 0),
		.name = store_text(a, st, 1),
		.driver = store_text(a, st, 2),
		.created = store_int(st, 3),
	};
	if (!ret->id || !ret->name || !ret->driver)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading network records");
	return 0;
}

int store_network_find(struct store *s, const char *name, struct arena *a,
		       struct network_record *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s,
			      "SELECT id,name,driver,created FROM networks WHERE name=?1 OR id=?1",
			      STORE_ARGS(STORE_TEXT(name)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "no such network: %s; there are: none, host", name);
	return record_of(a, st, ret, e);
}

int store_network_list(struct store *s, struct arena *a, struct network_records *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct network_records got = {};
	int r = store_prepare(s, "SELECT id,name,driver,created FROM networks ORDER BY name", NULL,
			      &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		struct network_record *n = arena_push(a, &got.v, &got.n, sizeof(*n));

		if (!n)
			return err_set(e, ERR_EXHAUSTED, ENOMEM,
				       "out of memory reading network records");
		r = record_of(a, st, n, e);
	}
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}

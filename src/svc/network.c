/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/network.h"

#include <errno.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"
#include "fmt/json.h"

static int match(const struct network_record *n, const char *filter, bool *ret, struct err *e)
{
	struct str f = str_of(filter);

	if (str_starts(f, "name="))
		*ret = strstr(n->name, filter + 5);
	else if (str_starts(f, "driver="))
		*ret = streq(n->driver, filter + 7);
	else if (str_starts(f, "id="))
		*ret = str_starts(str_of(n->id), filter + 3);
	else
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid filter '%.60s': driver, id and name are known", filter);
	return 0;
}

int network_ls(struct svc *s, const char *const *filters, size_t filters_n, struct arena *a,
	       struct network_records *ret, struct err *e)
{
	struct network_records all;
	size_t kept = 0;
	int r = svc_store(s, e);

	if (r == 0)
		r = store_network_list(s->store, a, &all, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++) {
		bool keep = true, one = false;

		for (size_t k = 0; k < filters_n; k++) {
			r = match(&all.v[i], filters[k], &one, e);
			if (r < 0)
				return r;
			keep = keep && one;
		}
		if (keep)
			all.v[kept++] = all.v[i];
	}
	all.n = kept;
	*ret = all;
	return 0;
}

int network_inspect(struct svc *s, const char *name, struct buf *ret_json, struct err *e)
{
	static const char *const empty[] = { "Containers", "Options", "Labels" };
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct json_writer w = JSON_WRITER(ret_json);
	char created[CLOCK_RFC3339_MAX];
	struct network_record n;
	int r = svc_store(s, e);

	if (r == 0)
		r = store_network_find(s->store, name, &a, &n, e);
	if (r < 0)
		return r;
	clock_rfc3339(n.created, created);
	json_w_object(&w, NULL);
	json_w_string(&w, "Name", n.name);
	json_w_string(&w, "Id", n.id);
	json_w_string(&w, "Created", created);
	json_w_string(&w, "Scope", "local");
	json_w_string(&w, "Driver", n.driver);
	json_w_bool(&w, "EnableIPv6", false);
	json_w_object(&w, "IPAM");
	json_w_string(&w, "Driver", "default");
	json_w_null(&w, "Options");
	json_w_array(&w, "Config");
	json_w_end(&w);
	json_w_end(&w);
	json_w_bool(&w, "Internal", false);
	json_w_bool(&w, "Attachable", false);
	json_w_bool(&w, "Ingress", false);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		json_w_object(&w, empty[i]);
		json_w_end(&w);
	}
	json_w_end(&w);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/volume.h"

#include <errno.h>
#include <fcntl.h>

#include "base/auto.h"
#include "store/event.h"
#include "svc/bundle_parts.h"
#include "svc/filter.h"
#include "svc/names.h"
#include "sys/tree.h"

static const char *pairs_json(const struct json_pair *pairs, size_t n, struct arena *a)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	struct json_writer w = JSON_WRITER(&text);

	json_w_object(&w, NULL);
	for (size_t i = 0; i < n; i++)
		json_w_string(&w, pairs[i].key, pairs[i].value);
	json_w_end(&w);
	return buf_ok(&text) ? arena_dup(a, buf_str(&text)) : NULL;
}

static int add_event(struct svc *s, const char *action, const char *name, struct err *e)
{
	return store_event_add(
		s->store, &(struct event){ .type = "volume", .action = action, .id = name }, e);
}

int volume_create(struct svc *s, const struct volume_config *c,
		  char ret_name[static VOLUME_NAME_MAX], struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(2u << 20);
	char made_up[WORKLOAD_ID_MAX];
	auto_fd int fd = FD_NONE;
	bool made = false;
	int r = 0;

	if (c->driver && *c->driver && !streq(c->driver, "local"))
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "volume driver '%s': this version has only 'local'", c->driver);
	/* Options of the local driver mount other file systems; silence would lose data. */
	if (c->options_n)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "volume option '%s': this version knows none", c->options[0].key);
	if (!c->name)
		r = names_hex(made_up, WORKLOAD_ID_LEN, e);
	if (r < 0)
		return r;
	struct volume_record v = {
		.name = c->name ? c->name : made_up,
		.driver = "local",
		.labels = pairs_json(c->labels, c->labels_n, &a),
		.created = clock_wall(),
		.anonymous = !c->name,
	};
	if (!config_name_ok(v.name) || strlen(v.name) >= VOLUME_NAME_MAX)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"'%.80s' is no volume name: only [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most "
			"%d bytes",
			v.name, VOLUME_NAME_MAX - 1);
	if (!v.labels)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = svc_store(s, e);
	if (r >= 0)
		r = store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = store_volume_add(s->store, &v, &made, e);
	if (r >= 0 && made)
		r = add_event(s, "create", v.name, e);
	/* Within the write: a repair beside us sees the row as soon as it sees the directory. */
	if (r >= 0)
		r = volume_directory(s, v.name, &fd, e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	r = store_commit(s->store, e);
	if (r >= 0)
		(void) snprintf(ret_name, VOLUME_NAME_MAX, "%s", v.name);
	return r;
}

static int remove_directory(struct svc *s, const char *name, struct err *e)
{
	auto_fd int dir = open(paths_volumes(&s->paths).z, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_sys(e, errno, "open the volumes");
	int r = tree_unlink(dir, name);
	return r < 0 ? err_sys(e, -r, "remove the volume '%s'", name) : 0;
}

int volume_rm(struct svc *s, const char *name, bool force, struct err *e)
{
	int r = svc_store(s, e);

	if (r >= 0)
		r = store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = store_volume_remove(s->store, name, e);
	if (r >= 0)
		r = add_event(s, "destroy", name, e);
	if (r < 0) {
		store_rollback(s->store);
		return force && e->kind == ERR_NOT_FOUND ? 0 : r;
	}
	r = store_commit(s->store, e);
	/* A crash in between leaves a directory without a record, which repair sweeps. */
	return r < 0 ? r : remove_directory(s, name, e);
}

static bool one_matches(const struct volume_record *v, const struct json *labels, struct str key,
			struct str value)
{
	if (str_is(key, "name"))
		return memmem(v->name, strlen(v->name), value.p, value.n) != NULL;
	if (str_is(key, "driver"))
		return str_is(value, v->driver);
	if (str_is(key, "dangling"))
		return (v->users == 0) == (str_is(value, "true") || str_is(value, "1"));
	if (str_is(key, "label!"))
		return !filter_label(labels, value);
	return filter_label(labels, value);
}

/* Any value of a key, every key; but every "label!" by itself. */
static bool matches(struct arena *a, const struct volume_record *v, const char *const *filters,
		    size_t n)
{
	const struct json *labels = NULL;
	struct err ignored;

	if (v->labels && json_parse(a, str_of(v->labels), &labels, &ignored) < 0)
		labels = NULL;
	for (size_t i = 0; i < n; i++) {
		struct str value, key = str_cut(str_of(filters[i]), '=', &value);
		bool any = one_matches(v, labels, key, value);

		for (size_t j = 0; !any && !str_is(key, "label!") && j < n; j++) {
			struct str other_value,
				other = str_cut(str_of(filters[j]), '=', &other_value);

			any = str_eq(key, other) && one_matches(v, labels, other, other_value);
		}
		if (!any)
			return false;
	}
	return true;
}

int volume_ls(struct svc *s, const char *const *filters, size_t filters_n, struct arena *a,
	      struct volume_records *ret, struct err *e)
{
	static const char *const known[] = { "name", "label", "driver", "dangling", NULL };
	struct volume_records all;
	size_t kept = 0;
	int r = filters_check(filters, filters_n, known, e);

	if (r >= 0)
		r = svc_store(s, e);
	if (r >= 0)
		r = store_volume_list(s->store, a, &all, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++)
		if (matches(a, &all.v[i], filters, filters_n))
			all.v[kept++] = all.v[i];
	all.n = kept;
	*ret = all;
	return 0;
}

int volume_find(struct svc *s, const char *name, struct arena *a, struct volume_record *ret,
		struct err *e)
{
	int r = svc_store(s, e);

	return r < 0 ? r : store_volume_find(s->store, name, a, ret, e);
}

static void write_json(struct json_writer *w, const char *key, const char *text, struct arena *a)
{
	const struct json *v = NULL;
	struct err ignored;

	if (text && json_parse(a, str_of(text), &v, &ignored) == 0)
		json_w_value(w, key, v);
	else
		json_w_null(w, key);
}

int volume_inspect(struct svc *s, const char *name, struct buf *ret_json, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct json_writer w = JSON_WRITER(ret_json);
	char created[CLOCK_RFC3339_MAX];
	struct volume_record v;
	int r = volume_find(s, name, &a, &v, e);

	if (r < 0)
		return r;
	clock_rfc3339(v.created, created);
	json_w_object(&w, NULL);
	json_w_string(&w, "CreatedAt", created);
	json_w_string(&w, "Driver", v.driver);
	write_json(&w, "Labels", v.labels, &a);
	json_w_string(&w, "Mountpoint",
		      arena_printf(&a, "%s/_data", paths_volume(&s->paths, v.name).z));
	json_w_string(&w, "Name", v.name);
	write_json(&w, "Options", v.options, &a);
	json_w_string(&w, "Scope", "local");
	json_w_end(&w);
	return 0;
}

int volume_prune(struct svc *s, bool all, const char *const *filters, size_t filters_n,
		 struct arena *a, struct prune_result *ret, struct err *e)
{
	static const char *const known[] = { "label", "label!", "all", NULL };
	auto_fd int dir = FD_NONE;
	struct prune_result got = {};
	struct volume_records list;
	int r = filters_check(filters, filters_n, known, e);

	if (r >= 0)
		r = svc_store(s, e);
	if (r >= 0)
		r = store_volume_list(s->store, a, &list, e);
	if (r < 0)
		return r;
	dir = open(paths_volumes(&s->paths).z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < list.n; i++) {
		const struct volume_record *v = &list.v[i];
		uint64_t bytes = 0;

		if (v->users || (!all && !v->anonymous) || !matches(a, v, filters, filters_n))
			continue;
		if (tree_size(dir, v->name, &bytes) < 0)
			bytes = 0; /* going already */
		r = volume_rm(s, v->name, false, e);
		/* Taken into use, or removed, meanwhile. */
		if (r < 0 && (e->kind == ERR_CONFLICT || e->kind == ERR_NOT_FOUND))
			continue;
		if (r < 0)
			return r;
		const char **slot = arena_push(a, &got.names, &got.n, sizeof(*slot));
		if (!slot)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		*slot = v->name;
		got.bytes += bytes;
	}
	*ret = got;
	return 0;
}

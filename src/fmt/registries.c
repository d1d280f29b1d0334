/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/registries.h"

#include <errno.h>
#include <string.h>

#include "fmt/shown.h"
#include "fmt/toml.h"

/* One file, as it says it. */
struct file {
	const char **search;
	size_t search_n;
	const char *mode;
	struct json_pair *aliases;
	size_t aliases_n;
	struct registries_entry *entries;
	size_t entries_n;
	const struct json *version_one;
};

static const struct json_field mirror_fields[] = {
	JSON_STRING_FIELD(struct registries_mirror, location, "location", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct registries_mirror, insecure, "insecure", 0),
	JSON_STRING_FIELD(struct registries_mirror, pull_from, "pull-from-mirror", 0),
};
static const struct json_table mirror_table = JSON_TABLE(struct registries_mirror, mirror_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field entry_fields[] = {
	JSON_STRING_FIELD(struct registries_entry, prefix, "prefix", 0),
	JSON_STRING_FIELD(struct registries_entry, location, "location", 0),
	JSON_BOOL_FIELD(struct registries_entry, insecure, "insecure", 0),
	JSON_BOOL_FIELD(struct registries_entry, blocked, "blocked", 0),
	JSON_BOOL_FIELD(struct registries_entry, digest_only, "mirror-by-digest-only", 0),
	JSON_ARRAY_FIELD(struct registries_entry, mirrors, mirrors_n, "mirror", &mirror_table, 0),
};
static const struct json_table entry_table = JSON_TABLE(struct registries_entry, entry_fields,
							JSON_UNKNOWN_IGNORE);

static const struct json_field file_fields[] = {
	JSON_STRINGS_FIELD(struct file, search, search_n, "unqualified-search-registries", 0),
	JSON_STRING_FIELD(struct file, mode, "short-name-mode", 0),
	JSON_MAP_FIELD(struct file, aliases, aliases_n, "aliases", 0),
	JSON_ARRAY_FIELD(struct file, entries, entries_n, "registry", &entry_table, 0),
	JSON_VALUE_FIELD(struct file, version_one, "registries", 0),
};
static const struct json_table file_table = JSON_TABLE(struct file, file_fields,
						       JSON_UNKNOWN_IGNORE);

void registries_fini(struct registries *c)
{
	arena_fini(&c->arena);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* ---- what a file says ---- */

static int trim(struct arena *a, const char **location, struct err *e)
{
	size_t n = strlen(*location);

	if (strstr(*location, "://"))
		return err_set(e, ERR_INVALID, EINVAL, "location '%s': HOST[:PORT][/NAME], no URL",
			       shown_of(str_of(*location)).z);
	while (n && (*location)[n - 1] == '/')
		n--;
	if (!n)
		return err_set(e, ERR_INVALID, EINVAL, "an empty location");
	*location = arena_dup(a, (struct str){ *location, n });
	return *location ? 0 : no_memory(e);
}

static int check_mirror(struct arena *a, const struct registries_entry *t,
			struct registries_mirror *m, struct err *e)
{
	const char *from = m->pull_from;

	if (from && !*from)
		from = m->pull_from = NULL;
	if (from && !streq(from, "all") && !streq(from, "digest-only") && !streq(from, "tag-only"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "pull-from-mirror '%s': all, digest-only or tag-only",
			       shown_of(str_of(from)).z);
	if (from && t->digest_only)
		return err_set(e, ERR_INVALID, EINVAL,
			       "pull-from-mirror and mirror-by-digest-only do not go together");
	return trim(a, &m->location, e);
}

static int check_entry(struct arena *a, struct registries_entry *t, struct err *e)
{
	int r = 0;

	if (t->location && !*t->location)
		t->location = NULL;
	if (t->prefix && !*t->prefix)
		t->prefix = NULL;
	if (!t->prefix && !t->location)
		return err_set(e, ERR_INVALID, EINVAL, "a registry without prefix and location");
	if (t->location)
		r = trim(a, &t->location, e);
	if (!t->prefix)
		t->prefix = t->location;
	else if (r == 0)
		r = trim(a, &t->prefix, e);
	if (r == 0 && strchr(t->prefix, '*') &&
	    (strncmp(t->prefix, "*.", 2) != 0 || strpbrk(t->prefix + 2, "*/@:")))
		r = err_set(e, ERR_INVALID, EINVAL, "prefix '%s': a '*' stands for *.DOMAIN only",
			    shown_of(str_of(t->prefix)).z);
	for (size_t i = 0; i < t->mirrors_n && r == 0; i++)
		r = check_mirror(a, t, &t->mirrors[i], e);
	return r < 0 ? err_ctx(e, "registry '%s'", t->prefix ? shown_of(str_of(t->prefix)).z : "")
		     : 0;
}

static int add_entry(struct registries *c, const struct registries_entry *t, struct err *e)
{
	struct registries_entry *to = NULL;

	for (size_t i = 0; i < c->entries_n; i++)
		if (streq(c->entries[i].prefix, t->prefix))
			to = &c->entries[i];
	if (to && to->file == t->file)
		return err_set(e, ERR_INVALID, EINVAL, "registry '%s' is there twice",
			       shown_of(str_of(t->prefix)).z);
	if (!to)
		to = arena_push(&c->arena, &c->entries, &c->entries_n, sizeof(*to));
	if (!to)
		return no_memory(e);
	*to = *t;
	return 0;
}

static int add_alias(struct registries *c, const struct json_pair *p, struct err *e)
{
	struct reference ref = {};
	struct json_pair *to = NULL;
	struct err why = {};

	if (reference_parse(str_of(p->key), &ref, &why) < 0 || ref.tag[0] || ref.has_digest ||
	    !reference_is_short(str_of(p->key)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "alias '%s': a name without registry and tag",
			       shown_of(str_of(p->key)).z);
	if (*p->value && (reference_parse(str_of(p->value), &ref, &why) < 0 || ref.tag[0] ||
			  ref.has_digest || reference_is_short(str_of(p->value))))
		return err_set(e, ERR_INVALID, EINVAL,
			       "alias '%s' of '%s': a name with its registry, without a tag",
			       shown_of(str_of(p->key)).z, shown_of(str_of(p->value)).z);
	for (size_t i = 0; i < c->aliases_n; i++)
		if (streq(c->aliases[i].key, p->key))
			to = &c->aliases[i];
	if (!to)
		to = arena_push(&c->arena, &c->aliases, &c->aliases_n, sizeof(*to));
	if (!to)
		return no_memory(e);
	*to = *p;
	return 0;
}

static int set_mode(struct registries *c, const char *mode, struct err *e)
{
	if (!mode || !*mode)
		return 0;
	if (streq(mode, "enforcing"))
		c->mode = REGISTRIES_ENFORCING;
	else if (streq(mode, "permissive"))
		c->mode = REGISTRIES_PERMISSIVE;
	else if (streq(mode, "disabled"))
		c->mode = REGISTRIES_DISABLED;
	else
		return err_set(e, ERR_INVALID, EINVAL,
			       "short-name-mode '%s': enforcing, permissive or disabled",
			       shown_of(str_of(mode)).z);
	return 0;
}

static int set_search(struct registries *c, const struct file *f, struct err *e)
{
	if (!f->search)
		return 0;
	for (size_t i = 0; i < f->search_n; i++) {
		struct err why = {};
		struct reference ref;
		char *probe = arena_printf(&c->arena, "%s/a", f->search[i]);

		if (!probe)
			return no_memory(e);
		if (reference_parse(str_of(probe), &ref, &why) < 0 ||
		    reference_is_short(str_of(probe)))
			return err_set(e, ERR_INVALID, EINVAL,
				       "unqualified-search-registries: '%s' is no registry",
				       shown_of(str_of(f->search[i])).z);
	}
	c->search = f->search;
	c->search_n = f->search_n;
	return 0;
}

static int take(struct registries *c, struct str text, const char *name, struct err *e)
{
	const struct json *root = NULL;
	struct file f = {};
	int r = toml_parse(&c->arena, text, &root, e);

	r = r < 0 ? r : json_decode(&c->arena, root, &file_table, &f, "", e);
	if (r < 0)
		return r;
	if (f.version_one)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "[registries...] is of version 1, which is no more: [[registry]] "
			       "and unqualified-search-registries say the same");
	r = set_mode(c, f.mode, e);
	r = r < 0 ? r : set_search(c, &f, e);
	for (size_t i = 0; i < f.aliases_n && r == 0; i++)
		r = add_alias(c, &f.aliases[i], e);
	for (size_t i = 0; i < f.entries_n && r == 0; i++) {
		f.entries[i].file = name;
		r = check_entry(&c->arena, &f.entries[i], e);
		r = r < 0 ? r : add_entry(c, &f.entries[i], e);
	}
	return r;
}

int registries_add(struct registries *c, struct str text, const char *file, struct err *e)
{
	const char *name = arena_strdup(&c->arena, file);
	int r = name ? take(c, text, name, e) : no_memory(e);

	return r < 0 ? err_ctx(e, "%s", file) : 0;
}

/* ---- short names ---- */

static int meant_as(struct registries *c, struct reference *to, const char *host, struct str name,
		    struct err *e)
{
	char *text = arena_printf(&c->arena, "%s%s%.*s", host, *host ? "/" : "", (int) name.n,
				  name.p);

	return text ? reference_parse(str_of(text), to, e) : no_memory(e);
}

int registries_meant(struct registries *c, struct str name, struct reference **ret_refs,
		     size_t *ret_n, struct err *e)
{
	struct reference *refs, whole;
	struct str bare = name;
	const char *alias = NULL;
	int r;

	*ret_n = 0;
	if (!reference_is_short(name))
		return 0;
	r = reference_parse(name, &whole, e);
	if (r < 0)
		return r;
	bare = reference_bare(name);
	for (size_t i = 0; i < c->aliases_n; i++)
		if (str_is(bare, c->aliases[i].key) && *c->aliases[i].value)
			alias = c->aliases[i].value;
	refs = arena_array(&c->arena, c->search_n + 1, sizeof(*refs));
	if (!refs)
		return no_memory(e);
	if (alias) {
		r = reference_parse(str_of(alias), &refs[0], e);
		memcpy(refs[0].tag, whole.tag, sizeof(whole.tag));
		refs[0].has_digest = whole.has_digest;
		refs[0].digest = whole.digest;
		*ret_n = 1;
	} else {
		for (size_t i = 0; i < c->search_n && r == 0; i++)
			r = meant_as(c, &refs[i], c->search[i], name, e);
		*ret_n = c->search_n;
	}
	*ret_refs = refs;
	return r;
}

/* Names of images: nothing of theirs is to be escaped. */
static void write_pair(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "\"%s\" = \"%s\"\n", name, value);
}

void registries_write_alias(struct buf *out, const struct registries *c, const char *name,
			    const char *value)
{
	buf_adds(out, "[aliases]\n");
	for (size_t i = 0; i < c->aliases_n; i++)
		if (!streq(c->aliases[i].key, name))
			write_pair(out, c->aliases[i].key, c->aliases[i].value);
	write_pair(out, name, value);
}

/* ---- where it is ---- */

static bool ends_part(char c)
{
	return c == '\0' || c == '/' || c == ':' || c == '@';
}

/* How much of the reference the prefix is; 0: it is none of it. */
static size_t matches(const char *prefix, const char *text)
{
	size_t n = strlen(prefix), host = strcspn(text, "/:");

	if (strncmp(prefix, "*.", 2) != 0)
		return strncmp(text, prefix, n) == 0 && ends_part(text[n]) ? n : 0;
	/* Any host of that domain, whatever its port. */
	return host > n - 1 && strncmp(text + host - (n - 1), prefix + 1, n - 1) == 0 ? host : 0;
}

const struct registries_entry *registries_find(const struct registries *c,
					       const struct reference *ref)
{
	const struct registries_entry *found = NULL;
	char text[REFERENCE_MAX];
	size_t best = 0;

	reference_text(ref, text);
	for (size_t i = 0; i < c->entries_n; i++) {
		const struct registries_entry *t = &c->entries[i];
		/* Of two that match a host a longer domain says more, and the host itself most. */
		size_t n = matches(t->prefix, text) ? strlen(t->prefix) : 0;

		if (n > best) {
			best = n;
			found = t;
		}
	}
	return found;
}

static int at(const char *prefix, const char *location, const struct reference *ref,
	      struct reference *to, struct err *e)
{
	char text[REFERENCE_MAX], moved[2 * REFERENCE_MAX];
	size_t n, rest;

	reference_text(ref, text);
	n = strlen(location);
	rest = matches(prefix, text);
	if (n + strlen(text + rest) >= sizeof(moved))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "location '%s' is too long",
			       shown_of(str_of(location)).z);
	memcpy(moved, location, n);
	memcpy(moved + n, text + rest, strlen(text + rest) + 1);
	if (reference_is_short(str_of(moved)))
		return err_set(e, ERR_INVALID, EINVAL,
			       "location '%s' does not begin with a registry: HOST[:PORT]",
			       shown_of(str_of(location)).z);
	return reference_parse(str_of(moved), to, e);
}

static int blocked(const struct registries_entry *t, const struct reference *ref, struct err *e)
{
	return err_set(e, ERR_DENIED, EACCES, "%s is blocked: registry '%s' in %s", ref->name,
		       t->prefix, t->file);
}

static bool is_for(const struct registries_entry *t, const struct registries_mirror *m,
		   const struct reference *ref)
{
	if (ref->has_digest)
		return !m->pull_from || !streq(m->pull_from, "tag-only");
	return !t->digest_only && (!m->pull_from || !streq(m->pull_from, "digest-only"));
}

int registries_places(struct registries *c, const struct reference *ref,
		      struct registries_place **ret_places, size_t *ret_n, struct err *e)
{
	const struct registries_entry *t = registries_find(c, ref);
	struct registries_place *all;
	size_t n = 0;
	int r = 0;

	if (t && t->blocked)
		return blocked(t, ref, e);
	all = arena_array(&c->arena, (t ? t->mirrors_n : 0) + 1, sizeof(*all));
	if (!all)
		return no_memory(e);
	for (size_t i = 0; t && i < t->mirrors_n && r == 0; i++) {
		if (!is_for(t, &t->mirrors[i], ref))
			continue;
		all[n].insecure = t->mirrors[i].insecure;
		r = at(t->prefix, t->mirrors[i].location, ref, &all[n++].ref, e);
	}
	all[n].ref = *ref;
	all[n].insecure = t && t->insecure;
	if (r == 0 && t && t->location)
		r = at(t->prefix, t->location, ref, &all[n].ref, e);
	if (r < 0)
		return err_ctx(e, "%s, registry '%s'", t ? t->file : "", t ? t->prefix : "");
	*ret_places = all;
	*ret_n = n + 1;
	return 0;
}

int registries_check(const struct registries *c, const struct reference *ref, bool *ret_insecure,
		     struct err *e)
{
	const struct registries_entry *t = registries_find(c, ref);

	if (t && t->blocked)
		return blocked(t, ref, e);
	*ret_insecure = t && t->insecure;
	return 0;
}

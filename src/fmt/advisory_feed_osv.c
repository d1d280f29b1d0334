/* SPDX-License-Identifier: Apache-2.0 */
/* OSV: one object for each vulnerability, with what it affects. */
#include <errno.h>

#include "base/auto.h"
#include "fmt/advisory_feed.h"
#include "fmt/cvss.h"
#include "fmt/distro.h"
#include "fmt/json.h"

#define OSV_ARENA  ((size_t) 256 << 20)
#define EVENTS_MAX 1000 /* of one range; sorted by insertion */

struct osv {
	struct advisory_feed *feed;
	struct arena *arena;
	struct err *e;
	const struct json *root;
	enum severity severity; /* of the whole */
};

struct event {
	char kind;
	struct str version;
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* GitHub's words are those of the enum but for one. */
static enum severity of_word(const char *word)
{
	enum severity s = SEVERITY_UNKNOWN;

	if (word && streq(word, "MODERATE"))
		return SEVERITY_MEDIUM;
	if (!word || severity_parse(str_of(word), &s) < 0)
		return SEVERITY_UNKNOWN;
	return s;
}

/* CVSS 3.1 specification, 5: the words for scores. */
static enum severity of_scores(const struct json *list)
{
	int best = -1;

	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
		const char *score = json_string(json_get(&list->items[i], "score"));
		int v = score ? cvss_score(str_of(score)) : -EINVAL;

		best = v > best ? v : best;
	}
	return best < 0	   ? SEVERITY_UNKNOWN
	       : best == 0 ? SEVERITY_NEGLIGIBLE
	       : best < 40 ? SEVERITY_LOW
	       : best < 70 ? SEVERITY_MEDIUM
	       : best < 90 ? SEVERITY_HIGH
			   : SEVERITY_CRITICAL;
}

static enum severity severity_of(const struct json *v)
{
	const struct json *own = json_get(v, "database_specific"),
			  *more = json_get(v, "ecosystem_specific");
	enum severity s = of_word(json_string(json_get(own, "severity")));

	s = s ? s : of_word(json_string(json_get(more, "severity")));
	s = s ? s : of_word(json_string(json_get(more, "urgency")));
	return s ? s : of_scores(json_get(v, "severity"));
}

/* false: an ecosystem whose packages are none of ours. */
static bool scheme_of(struct str ecosystem, enum version_scheme *ret)
{
	struct str rest, name = str_cut(ecosystem, ':', &rest);

	if (rest.p && (str_is(name, "Debian") || str_is(name, "Ubuntu")))
		*ret = VERSION_DEBIAN;
	else if (rest.p && str_is(name, "Alpine"))
		*ret = VERSION_ALPINE;
	else if (!rest.p && str_is(name, "PyPI"))
		*ret = VERSION_PEP440;
	else if (!rest.p && str_is(name, "npm"))
		*ret = VERSION_SEMVER;
	else
		return false;
	return true;
}

static bool older(enum version_scheme scheme, const struct event *a, const struct event *b)
{
	bool zero_a = a->kind == 'I' && str_is(a->version, "0");
	bool zero_b = b->kind == 'I' && str_is(b->version, "0");

	if (zero_a || zero_b)
		return zero_a && !zero_b;
	return version_order(scheme, a->version, b->version) < 0;
}

/* One range's events in the order of their versions. */
static int add_range(struct osv *o, const struct json *range, enum version_scheme scheme,
		     struct buf *when)
{
	const struct json *list = json_get(range, "events");
	const char *type = json_string(json_get(range, "type"));
	struct event *events;
	size_t n = 0;

	if (!type || streq(type, "GIT") || !list || list->type != JSON_ARRAY ||
	    list->n > EVENTS_MAX)
		return 0;
	events = arena_array(o->arena, list->n + 1, sizeof(*events));
	if (!events)
		return no_memory(o->e);
	for (size_t i = 0; i < list->n; i++) {
		const char *from = json_string(json_get(&list->items[i], "introduced")),
			   *fixed = json_string(json_get(&list->items[i], "fixed")),
			   *last = json_string(json_get(&list->items[i], "last_affected"));
		const char *v = from ? from : fixed ? fixed : last;
		struct event new = { from ? 'I' : fixed ? 'F' : 'L', str_of(v ? v : "") };
		size_t at = n;

		if (!v) /* "limit" bounds commits */
			continue;
		for (; at && older(scheme, &new, &events[at - 1]); at--)
			events[at] = events[at - 1];
		events[at] = new;
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		buf_addf(when, "%s%c", when->n ? " " : "", events[i].kind);
		buf_addstr(when, events[i].version);
	}
	return 0;
}

/* Where no range says it: the versions themselves. */
static void add_versions(const struct json *list, struct buf *when)
{
	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
		const char *v = json_string(&list->items[i]);

		if (v)
			buf_addf(when, "%sE%s", when->n ? " " : "", v);
	}
}

/* The name that it is known by in public: the one CVE among its aliases, else its own. */
static const char *id_of(const struct osv *o)
{
	static const char *const lists[] = { "upstream", "aliases" };
	const char *id = json_string(json_get(o->root, "id")), *cve = NULL;

	for (size_t k = 0; k < ARRAY_SIZE(lists) && !str_starts(str_of(id), "CVE-"); k++) {
		const struct json *list = json_get(o->root, lists[k]);

		for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
			const char *alias = json_string(&list->items[i]);

			if (!alias || !str_starts(str_of(alias), "CVE-"))
				continue;
			if (cve && !streq(cve, alias))
				return id; /* an announcement of several */
			cve = alias;
		}
	}
	return cve ? cve : id;
}

static int affected(struct osv *o, const struct json *v)
{
	const struct json *package = json_get(v, "package"), *ranges = json_get(v, "ranges");
	const char *ecosystem = json_string(json_get(package, "ecosystem")),
		   *name = json_string(json_get(package, "name")), *id = id_of(o),
		   *summary = json_string(json_get(o->root, "summary"));
	auto_buf struct buf when = BUF_INIT(ADVISORY_WHEN_MAX), eco = BUF_INIT(PACKAGE_WORD_MAX);
	enum version_scheme scheme;
	struct advisory a;

	if (!ecosystem || !name)
		return 0;
	distro_ecosystem_of(str_of(ecosystem), &eco);
	if (!buf_ok(&eco) || !scheme_of(buf_str(&eco), &scheme)) {
		o->feed->foreign++;
		return 0;
	}
	if (scheme == VERSION_PEP440)
		name = package_python_name(o->arena, str_of(name));
	for (size_t i = 0; ranges && ranges->type == JSON_ARRAY && i < ranges->n; i++) {
		int r = add_range(o, &ranges->items[i], scheme, &when);

		if (r < 0)
			return r;
	}
	if (!when.n)
		add_versions(json_get(v, "versions"), &when);
	if (!name)
		return no_memory(o->e);
	if (!summary)
		summary = json_string(json_get(o->root, "details"));
	a = (struct advisory){ .ecosystem = buf_str(&eco),
			       .package = str_of(name),
			       .id = str_of(id),
			       .when = buf_str(&when),
			       .summary = str_of(summary ? summary : ""),
			       .severity = severity_of(v) };
	if (!a.severity)
		a.severity = o->severity;
	if (!buf_ok(&when) || !when.n) { /* nothing that could be compared */
		o->feed->foreign++;
		return 0;
	}
	return advisory_feed_tell(o->feed, &a, o->e);
}

static int read_one(struct advisory_feed *f, struct str text, struct err *e)
{
	auto_arena struct arena arena = ARENA_INIT(OSV_ARENA);
	struct osv o = { .feed = f, .arena = &arena, .e = e };
	const struct json *list;
	int r = json_parse(&arena, text, &o.root, e);

	if (r < 0)
		return r;
	list = json_get(o.root, "affected");
	if (!json_string(json_get(o.root, "id")))
		return err_set(e, ERR_INVALID, EINVAL,
			       "the JSON is neither OSV's (it has no id) nor the tracker's");
	if (json_string(json_get(o.root, "withdrawn")))
		return 0;
	o.severity = severity_of(o.root);
	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n && r == 0; i++)
		r = affected(&o, &list->items[i]);
	return r;
}

int advisory_feed_osv(struct advisory_feed *f, struct str text, struct err *e)
{
	struct json_pieces p;
	struct str key, value;
	int more;

	if (!json_pieces_open(&p, text) || p.kind == '{')
		return read_one(f, text, e);
	while ((more = json_pieces_next(&p, &key, &value)) > 0) {
		int r = read_one(f, value, e);

		if (r < 0)
			return r;
	}
	return more < 0 ? err_set(e, ERR_INVALID, EBADMSG, "the JSON is damaged") : 0;
}

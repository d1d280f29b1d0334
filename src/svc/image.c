/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of images, and their names: ls, inspect, history, tag, rm, prune. */
#include "svc/image.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "image/content.h"
#include "store/build.h"
#include "store/event.h"
#include "store/image.h"
#include "svc/image_parts.h"
#include "svc/svc.h"

#define ARENA_MAX ((size_t) 256 << 20)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

void image_result_init(struct svc_image_result *r)
{
	*r = (struct svc_image_result){ .arena = ARENA_INIT(ARENA_MAX) };
}

void svc_image_result_fini(struct svc_image_result *r)
{
	arena_fini(&r->arena);
}

/* Familiar forms of stored names. */
static const char **familiar(struct arena *a, const char *const *names, size_t n)
{
	const char **list = arena_array(a, n + 1, sizeof(*list));

	for (size_t i = 0; i < n && list; i++) {
		list[i] = arena_strdup(a, reference_familiar_of(names[i]));
		if (!list[i])
			return NULL;
	}
	return list;
}

static const char *id_text(struct arena *a, const struct digest *id)
{
	char *text = arena_alloc(a, DIGEST_TEXT_MAX);

	if (text)
		digest_text(id, text);
	return text;
}

int image_result_add(struct svc_image_result *r, const struct digest *id,
		     const char *const *stored_names, size_t n, bool existed, struct err *e)
{
	struct svc_image_made *m = arena_push(&r->arena, &r->items, &r->n, sizeof(*m));

	if (!m)
		return no_memory(e);
	m->id = id_text(&r->arena, id);
	m->names = familiar(&r->arena, stored_names, n);
	m->names_n = n;
	m->existed = existed;
	return m->id && m->names ? 0 : no_memory(e);
}

const char *image_architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__riscv)
	return "riscv64";
#elif defined(__powerpc64__)
	return "ppc64le";
#elif defined(__s390x__)
	return "s390x";
#elif defined(__i386__)
	return "386";
#else
#error "name this architecture as the image specification does"
#endif
}

int image_event(struct store *s, const char *action, const struct digest *id, const char *name,
		struct err *e)
{
	auto_buf struct buf b = BUF_INIT(4096);
	struct json_writer w = JSON_WRITER(&b);
	char text[DIGEST_TEXT_MAX];
	struct event ev = { .type = "image", .action = action, .id = text };
	int r;

	digest_text(id, text);
	json_w_object(&w, NULL);
	if (name)
		json_w_string(&w, "name", reference_familiar_of(name));
	json_w_end(&w);
	ev.attributes = buf_z(&b);
	r = store_write(s, STORE_RELAXED, e);
	if (r < 0)
		return r;
	r = store_event_add(s, &ev, e);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return store_commit(s, e);
}

int image_stored_name(const char *text, char ret_name[static REFERENCE_MAX], struct err *e)
{
	struct reference ref = {};
	int r = reference_parse(str_of(text), &ref, e);

	if (r < 0)
		return r;
	if (ref.has_digest)
		return err_set(e, ERR_INVALID, EINVAL, "'%s': a name to give has no digest",
			       shown_of(str_of(text)).z);
	reference_default_tag(&ref);
	reference_text(&ref, ret_name);
	return 0;
}

int image_epoch(int64_t otherwise, int64_t *ret_epoch, struct err *e)
{
	const char *text = secure_getenv("SOURCE_DATE_EPOCH");

	*ret_epoch = otherwise;
	if (!text || !*text)
		return 0;
	if (num_parse_i64(str_of(text), 0, INT64_MAX / NSEC_PER_SEC, ret_epoch) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "SOURCE_DATE_EPOCH=%s: must be seconds since 1970",
			       shown_of(str_of(text)).z);
	return 0;
}

static bool glob_matches(const char *glob, const char *name)
{
	char repo[REFERENCE_MAX];
	const char *colon = strrchr(name, ':');
	size_t n = colon && !strchr(colon, '/') ? (size_t) (colon - name) : strlen(name);

	if (fnmatch(glob, name, 0) == 0)
		return true;
	if (n >= sizeof(repo))
		return false;
	memcpy(repo, name, n);
	repo[n] = '\0';
	return fnmatch(glob, repo, 0) == 0; /* a glob without tag stands for every tag */
}

static bool labels_match(const struct svc_image_filter *f, const struct oci_run_config *c)
{
	for (size_t i = 0; i < f->labels_n; i++) {
		struct str value = {}, key = str_cut(str_of(f->labels[i]), '=', &value);
		bool found = false;

		for (size_t k = 0; k < c->labels_n && !found; k++)
			found = str_is(key, c->labels[k].key) &&
				(!value.p || str_is(value, c->labels[k].value));
		if (!found)
			return false;
	}
	return true;
}

/* The bounds of before= and since=, resolved once. */
struct bounds {
	nsec_t before, since; /* 0: none */
};

static int find_bound(struct svc *s, const char *ref, nsec_t *ret, struct err *e)
{
	auto_image struct image *im = NULL;
	int r = ref ? image_resolve(s->store, ref, &im, e) : 0;

	if (r == 0 && im)
		*ret = im->row.created;
	return r;
}

/* Whether a stored name fits the references asked for. */
static bool name_wanted(const struct svc_image_filter *f, const char *name)
{
	for (size_t i = 0; i < f->references_n; i++)
		if (glob_matches(f->references[i], reference_familiar_of(name)) ||
		    glob_matches(f->references[i], name))
			return true;
	return f->references_n == 0;
}

static bool wanted(const struct svc_image_filter *f, const struct bounds *b,
		   const struct store_image *im, const struct oci_image_config *c)
{
	bool dangling = im->names_n == 0, named = f->references_n == 0;

	if ((f->dangling == SVC_DANGLING_ONLY && !dangling) ||
	    (f->dangling == SVC_DANGLING_NOT && dangling))
		return false;
	for (size_t k = 0; k < im->names_n && !named; k++)
		named = name_wanted(f, im->names[k]);
	if (!named || !labels_match(f, c->config))
		return false;
	if ((b->before && im->created >= b->before) || (b->since && im->created <= b->since))
		return false;
	return !f->until || im->created < f->until;
}

/* How many bytes of the image's layers no other image has. */
static uint64_t unique_bytes(const struct store_image *im, const struct store_layer *layers,
			     size_t layers_n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < im->chains_n; i++) {
		size_t lo = 0, hi = layers_n;

		while (lo < hi) { /* sorted by chain */
			size_t mid = (lo + hi) / 2;
			int c = memcmp(layers[mid].chain.b, im->chains[i].b,
				       sizeof(im->chains[i].b));

			if (c == 0) {
				if (layers[mid].images == 1)
					sum += layers[mid].size;
				break;
			}
			if (c < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return sum;
}

static int summarize(struct arena *a, const struct store_image *im,
		     const struct oci_image_config *c, uint64_t unique,
		     struct svc_image_summary *ret, struct err *e)
{
	*ret = (struct svc_image_summary){
		.id = id_text(a, &im->id),
		.names = familiar(a, im->names, im->names_n),
		.names_n = im->names_n,
		.created = im->created,
		.size = im->size,
		.unique_size = unique,
		.shared_size = im->size - (unique < im->size ? unique : im->size),
		.containers = im->pins,
		.labels = c->config->labels,
		.labels_n = c->config->labels_n,
	};
	return ret->id && ret->names ? 0 : no_memory(e);
}

/* Of several names only those asked for are shown. */
static void keep_names(const struct svc_image_filter *f, struct store_image *im)
{
	size_t kept = 0;

	for (size_t k = 0; k < im->names_n; k++)
		if (name_wanted(f, im->names[k]))
			im->names[kept++] = im->names[k];
	im->names_n = kept;
}

/* Of sorted ones. */
static bool is_among(const struct digest *v, size_t n, const struct digest *d)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(v[mid].b, d->b, sizeof(d->b));

		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int list(struct svc *s, const struct svc_image_filter *f, struct svc_image_list *l,
		struct err *e)
{
	static const struct svc_image_filter none;
	struct bounds b = {};
	struct store_image *rows = NULL;
	struct store_layer *layers = NULL;
	struct digest *inner = NULL;
	size_t n = 0, layers_n = 0, inner_n = 0;
	int r;

	if (!f)
		f = &none;
	r = find_bound(s, f->before, &b.before, e);
	if (r == 0)
		r = find_bound(s, f->since, &b.since, e);
	if (r == 0)
		r = store_image_list(s->store, &l->arena, &rows, &n, e);
	if (r == 0)
		r = store_layer_list(s->store, &l->arena, &layers, &layers_n, e);
	if (r == 0)
		r = store_build_inner(s->store, &l->arena, &inner, &inner_n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < layers_n; i++)
		l->layers_size += layers[i].size;
	l->items = arena_array(&l->arena, n + 1, sizeof(*l->items));
	if (!l->items)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct oci_image_config *c = NULL;

		r = oci_image_config_decode(&l->arena, rows[i].config, &c, e);
		if (r < 0)
			return r;
		if (!wanted(f, &b, &rows[i], c) ||
		    (!f->all && is_among(inner, inner_n, &rows[i].id)))
			continue;
		keep_names(f, &rows[i]);
		r = summarize(&l->arena, &rows[i], c, unique_bytes(&rows[i], layers, layers_n),
			      &l->items[l->n], e);
		if (r < 0)
			return r;
		l->n++;
	}
	return 0;
}

int svc_image_list(struct svc *s, const struct svc_image_filter *f, struct svc_image_list *ret_list,
		   struct err *e)
{
	int r;

	*ret_list = (struct svc_image_list){ .arena = ARENA_INIT(ARENA_MAX) };
	r = svc_store(s, e);
	return r < 0 ? r : list(s, f, ret_list, e);
}

void svc_image_list_fini(struct svc_image_list *l)
{
	arena_fini(&l->arena);
}

/* A member of the configuration as it stands there, or null. */
static void copy_member(struct json_writer *w, const char *key, const struct json *from,
			const char *member)
{
	const struct json *v = json_get(from, member);

	if (v)
		json_w_value(w, key, v);
	else
		json_w_null(w, key);
}

static void inspect_run(struct json_writer *w, const struct json *c)
{
	static const char *const keys[] = { "Hostname", "Domainname", "User",	     "ExposedPorts",
					    "Env",	"Cmd",	      "Healthcheck", "Image",
					    "Volumes",	"WorkingDir", "Entrypoint",  "OnBuild",
					    "Labels",	"StopSignal", "Shell" };
	/* Scripts read these even where the image says nothing. */
	static const char *const empty[] = { "Hostname", "Domainname", "User", "Image",
					     "WorkingDir" };

	json_w_object(w, "Config");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct json *v = json_get(c, keys[i]);
		bool text = false;

		for (size_t k = 0; k < ARRAY_SIZE(empty); k++)
			text |= streq(keys[i], empty[k]);
		if (v)
			json_w_value(w, keys[i], v);
		else if (text)
			json_w_string(w, keys[i], "");
		else if (streq(keys[i], "Env") || streq(keys[i], "Cmd") ||
			 streq(keys[i], "Entrypoint") || streq(keys[i], "Volumes") ||
			 streq(keys[i], "OnBuild") || streq(keys[i], "Labels"))
			json_w_null(w, keys[i]);
	}
	json_w_end(w);
}

static void inspect_names(struct json_writer *w, const char *key, const struct image *im,
			  bool by_digest)
{
	json_w_array(w, key);
	for (size_t i = 0; i < im->row.names_n; i++)
		if ((strchr(im->row.names[i], '@') != NULL) == by_digest)
			json_w_string(w, NULL, reference_familiar_of(im->row.names[i]));
	json_w_end(w);
}

static void inspect(struct svc *s, const struct image *im, struct json_writer *w)
{
	const struct oci_image_config *c = im->config;
	char text[CLOCK_RFC3339_MAX], hex[DIGEST_HEX_MAX], digest[DIGEST_TEXT_MAX];

	json_w_object(w, NULL);
	json_w_string(w, "Id", im->id_text);
	inspect_names(w, "RepoTags", im, false);
	inspect_names(w, "RepoDigests", im, true);
	json_w_string(w, "Parent", "");
	json_w_string(w, "Comment", c->comment ? c->comment : "");
	clock_rfc3339(im->row.created, text);
	json_w_string(w, "Created", c->created ? c->created : text);
	json_w_string(w, "DockerVersion", "");
	json_w_string(w, "Author", c->author ? c->author : "");
	inspect_run(w, json_get(c->tree, "config"));
	json_w_string(w, "Architecture", c->architecture ? c->architecture : "");
	if (c->variant)
		json_w_string(w, "Variant", c->variant);
	json_w_string(w, "Os", c->os ? c->os : "linux");
	json_w_u64(w, "Size", im->row.size);
	json_w_u64(w, "VirtualSize", im->row.size);
	json_w_object(w, "GraphDriver");
	json_w_string(w, "Name", "overlay2");
	json_w_object(w, "Data");
	json_w_array(w, "Layers");
	for (size_t i = 0; i < im->row.chains_n; i++) {
		digest_hex(&im->row.chains[i], hex);
		json_w_string(w, NULL, paths_layer(&s->paths, hex).z);
	}
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
	json_w_object(w, "RootFS");
	json_w_string(w, "Type", "layers");
	json_w_array(w, "Layers");
	for (size_t i = 0; i < c->diff_ids_n; i++) {
		digest_text(&c->diff_ids[i], digest);
		json_w_string(w, NULL, digest);
	}
	json_w_end(w);
	json_w_end(w);
	copy_member(w, "History", c->tree, "history");
	json_w_object(w, "Metadata");
	clock_rfc3339(im->row.added, text);
	json_w_string(w, "LastTagTime", text);
	json_w_end(w);
	json_w_end(w);
}

int svc_image_inspect(struct svc *s, const char *ref, struct json_writer *w, struct err *e)
{
	auto_image struct image *im = NULL;
	int r = svc_store(s, e);

	if (r == 0)
		r = image_resolve(s->store, ref, &im, e);
	if (r == 0)
		inspect(s, im, w);
	return r;
}

static int layer_size(struct svc *s, struct arena *a, const struct digest *chain, uint64_t *ret,
		      struct err *e)
{
	struct store_layer l;
	bool found = false;
	int r = store_layer_get(s->store, a, chain, &l, &found, e);

	if (r == 0)
		*ret = found ? l.size : 0;
	return r;
}

static int history(struct svc *s, const struct image *im, struct svc_image_history *h,
		   struct err *e)
{
	const struct oci_image_config *c = im->config;
	/* A configuration may tell of no step at all; then each layer is one. */
	size_t n = c->history_n ? c->history_n : im->row.chains_n, layer = 0;

	h->items = arena_array(&h->arena, n + 1, sizeof(*h->items));
	if (!h->items)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		const struct oci_history *from = c->history_n ? &c->history[i] : NULL;
		struct svc_image_step *step = &h->items[n - 1 - i];

		*step = (struct svc_image_step){ .id = "<missing>",
						 .created_by = "",
						 .comment = "" };
		if (from && from->created_by)
			step->created_by = arena_strdup(&h->arena, from->created_by);
		if (from && from->comment)
			step->comment = arena_strdup(&h->arena, from->comment);
		if (!step->created_by || !step->comment)
			return no_memory(e);
		if (from && from->created && clock_parse(str_of(from->created), &step->created) < 0)
			step->created = 0;
		if ((!from || !from->empty_layer) && layer < im->row.chains_n) {
			int r = layer_size(s, &h->arena, &im->row.chains[layer++], &step->size, e);

			if (r < 0)
				return r;
		}
	}
	h->n = n;
	if (n == 0)
		return 0;
	h->items[0].id = id_text(&h->arena, &im->id);
	h->items[0].names = familiar(&h->arena, im->row.names, im->row.names_n);
	h->items[0].names_n = im->row.names_n;
	return h->items[0].id && h->items[0].names ? 0 : no_memory(e);
}

int svc_image_history(struct svc *s, const char *ref, struct svc_image_history *ret_history,
		      struct err *e)
{
	auto_image struct image *im = NULL;
	int r;

	*ret_history = (struct svc_image_history){ .arena = ARENA_INIT(ARENA_MAX) };
	r = svc_store(s, e);
	if (r == 0)
		r = image_resolve(s->store, ref, &im, e);
	return r < 0 ? r : history(s, im, ret_history, e);
}

void svc_image_history_fini(struct svc_image_history *h)
{
	arena_fini(&h->arena);
}

int svc_image_tag(struct svc *s, const char *source, const char *target, struct err *e)
{
	auto_image struct image *im = NULL;
	char name[REFERENCE_MAX];
	int r = image_stored_name(target, name, e);

	if (r == 0)
		r = svc_store(s, e);
	if (r == 0)
		r = image_resolve(s->store, source, &im, e);
	if (r == 0)
		r = store_image_tag(s->store, &im->id, name, e);
	return r < 0 ? r : image_event(s->store, "tag", &im->id, name, e);
}

bool svc_image_is_here(struct svc *s, const char *ref)
{
	auto_image struct image *im = NULL;
	struct err ignored = {};

	return svc_store(s, &ignored) == 0 && image_resolve(s->store, ref, &im, &ignored) == 0;
}

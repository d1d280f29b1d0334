/* SPDX-License-Identifier: Apache-2.0 */
/* What one instruction does: to the configuration, or as a layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/changes.h"
#include "fmt/shown.h"
#include "store/build.h"
#include "svc/build_parts.h"
#include "svc/image_make.h"
#include "svc/overlay.h"
#include "sys/path.h"

#define ID_SHOWN  12
#define PORTS_MAX 1000 /* of one range */

int build_no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* ---- keys ---- */

static void key_start(struct hash *h, const struct digest *parent)
{
	hash_init(h);
	hash_add(h, parent->b, sizeof(parent->b));
}

static void key_text(struct hash *h, const char *text)
{
	hash_add(h, text, strlen(text) + 1);
}

/* All later keys depend on it. */
static void key_add(struct build_state *st, const char *what, const char *text)
{
	struct hash h;

	key_start(&h, &st->key);
	key_text(&h, what);
	key_text(&h, text);
	hash_end(&h, &st->key);
}

/* ---- images ---- */

int build_image(struct builder *b, const char *ref, struct image **ret, struct err *e)
{
	struct image **to = arena_push(&b->arena, &b->images, &b->images_n, sizeof(*to));
	int r = to ? image_resolve(b->svc->store, ref, to, e) : build_no_memory(e);

	if (r < 0) {
		b->images_n -= to != NULL;
		return r;
	}
	*ret = *to;
	return 0;
}

static int image_by_id(struct builder *b, const struct digest *id, struct image **ret,
		       struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(id, text);
	return build_image(b, text, ret, e);
}

int build_adopt(struct builder *b, struct build_state *st, struct image *im, struct err *e)
{
	struct hash h;

	(void) b, (void) e;
	st->image = im;
	st->config = *im->config;
	st->run = *im->config->config;
	st->config.config = &st->run;
	st->dirty = false;
	hash_init(&h);
	key_text(&h, "image");
	hash_add(&h, im->id.b, sizeof(im->id.b));
	hash_end(&h, &st->key);
	return 0;
}

static int add_history(struct builder *b, struct build_state *st, const char *text, bool empty,
		       struct err *e)
{
	char now[CLOCK_RFC3339_MAX];
	struct oci_history h = { .created_by = text, .empty_layer = empty };

	clock_rfc3339(b->epoch * NSEC_PER_SEC, now);
	h.created = st->config.created = arena_strdup(&b->arena, now);
	return h.created ? image_history_add(&b->arena, &st->config, &h, e) : build_no_memory(e);
}

/* The cached result of a key; *ret NULL: there is none, or it went meanwhile. */
static int find_cached(struct builder *b, const struct digest *key, struct image **ret,
		       struct err *e)
{
	struct digest id;
	struct err gone;
	bool found = false;
	int r;

	*ret = NULL;
	if (b->req->no_cache)
		return 0;
	r = store_build_find(b->svc->store, key, &id, &found, e);
	if (r == 0 && found && image_by_id(b, &id, ret, &gone) < 0)
		*ret = NULL;
	return r;
}

/* tmp: the upper directory's name, which is taken; "": it is not to be. */
static int make_image(struct builder *b, struct build_state *st, int upper_fd, const char *tmp,
		      const struct digest *key, bool inner, struct err *e)
{
	const struct image_step t = { .content = &b->content,
				      .chains = st->image->row.chains,
				      .chains_n = st->image->row.chains_n,
				      .upper_fd = upper_fd,
				      .upper_tmp = *tmp ? tmp : NULL,
				      .mtime_max = b->epoch_set ? b->epoch : INT64_MAX,
				      .config = &st->config };
	struct image *made = NULL;
	struct digest id;
	bool existed;
	int r = image_step(&t, &id, &existed, e);

	r = r < 0 ? r : store_build_add(b->svc->store, key, &id, inner, e);
	r = r < 0 ? r : image_by_id(b, &id, &made, e);
	return r < 0 ? r : build_adopt(b, st, made, e);
}

static void tell_image(const struct builder *b, const struct build_state *st, bool cached)
{
	build_tell(b, "--> %s%.*s", cached ? "Using cache " : "", ID_SHOWN,
		   st->image->id_text + strlen("sha256:"));
}

/* ---- layers ---- */

struct staged {
	struct builder *b;
	char name[CONTENT_NAME_MAX];
	int upper_fd, root_fd;
};

static void staged_end(struct staged *t)
{
	close_fd(&t->root_fd);
	close_fd(&t->upper_fd);
	content_tmp_drop(&t->b->content, t->name);
}

static int dir_in(int at, const char *name)
{
	if (mkdirat(at, name, 0755) < 0)
		return -errno;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The state's tree with an empty directory over it, in which all changes are. */
static int stage_root(struct builder *b, const struct build_state *st, struct staged *t,
		      struct err *e)
{
	int layers[OCI_LAYERS_MAX];
	size_t n = 0;
	int r;

	content_tmp_name(&b->content, "build", t->name);
	auto_fd int dir = dir_in(b->content.tmp_fd, t->name);
	auto_fd int work = dir < 0 ? dir : dir_in(dir, "work");

	t->upper_fd = dir < 0 ? dir : dir_in(dir, "upper");
	if (work < 0 || t->upper_fd < 0)
		return err_sys(e, t->upper_fd < 0 ? -t->upper_fd : -work,
			       "make a directory for a layer");
	r = image_layer_fds(b->svc->store, st->image, layers, &n, e);
	if (r < 0)
		return r;
	if (n == 0) {
		layers[0] = dir_in(dir, "empty");
		if (layers[0] < 0)
			return err_sys(e, -layers[0], "make a directory for a layer");
		n = 1;
	}
	r = overlay_mount(layers, n, t->upper_fd, work, true, &t->root_fd, e);
	for (size_t i = 0; i < n; i++)
		(void) close(layers[i]);
	return r;
}

static bool is_empty(int dir_fd)
{
	auto_dir DIR *d = dir_open(dir_fd, ".");

	return d && !dir_next(d);
}

/* The upper directory by a name of its own in tmp. */
static int name_upper(struct staged *t, char ret_tmp[static CONTENT_NAME_MAX], struct err *e)
{
	const int tmp = t->b->content.tmp_fd;
	char from[CONTENT_NAME_MAX + 8];

	(void) snprintf(from, sizeof(from), "%s/upper", t->name);
	content_tmp_name(&t->b->content, "layer", ret_tmp);
	if (renameat(tmp, from, tmp, ret_tmp) == 0)
		return 0;
	ret_tmp[0] = '\0';
	return err_sys(e, errno, "keep a layer");
}

static int make_layer(struct builder *b, struct build_state *st, const char *text,
		      struct build_layer_work *w, const struct digest *key, struct err *e)
{
	struct staged t = { .b = b, .upper_fd = FD_NONE, .root_fd = FD_NONE };
	char tmp[CONTENT_NAME_MAX] = "";
	int upper = FD_NONE, r;
	bool none;

	if (w->make_upper) {
		r = w->make_upper(b, st, w->user, &upper, tmp, e);
	} else {
		r = stage_root(b, st, &t, e);
		r = r < 0 ? r : w->make(b, st, w->user, t.root_fd, e);
		upper = t.upper_fd;
		close_fd(&t.root_fd);
		r = r < 0 ? r : name_upper(&t, tmp, e);
	}
	none = r == 0 && w->may_be_none && is_empty(upper);
	r = r < 0 ? r : add_history(b, st, text, none, e);
	r = r < 0 ? r : make_image(b, st, none ? FD_NONE : upper, none ? "" : tmp, key, true, e);
	staged_end(&t);
	content_tmp_drop(&b->content, tmp); /* where it was not taken */
	return r;
}

int build_layer_step(struct builder *b, struct build_state *st, const char *text,
		     struct build_layer_work *w, struct err *e)
{
	struct image *cached = NULL;
	struct digest extra, key;
	struct hash h;
	int r;

	hash_end(&w->extra, &extra);
	key_start(&h, &st->key);
	key_text(&h, text);
	hash_add(&h, extra.b, sizeof(extra.b));
	if (b->epoch_set)
		hash_add(&h, &b->epoch, sizeof(b->epoch));
	hash_end(&h, &key);
	r = find_cached(b, &key, &cached, e);
	if (r == 0)
		r = cached ? build_adopt(b, st, cached, e) : make_layer(b, st, text, w, &key, e);
	if (r == 0)
		tell_image(b, st, cached != NULL);
	return r;
}

/* ---- the configuration ---- */

static int change(struct builder *b, struct build_state *st, const char *line, struct err *e)
{
	return line ? changes_apply(&b->arena, &st->run, str_of(line), e) : build_no_memory(e);
}

/* 'NAME "word"', which is read again as that very word. */
static int change_word(struct builder *b, struct build_state *st, const char *name,
		       const char *word, struct err *e)
{
	auto_buf struct buf line = BUF_INIT(4u << 20);

	buf_addf(&line, "%s \"", name);
	for (const char *p = word; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_addc(&line, '\\');
		buf_addc(&line, *p);
	}
	buf_addc(&line, '"');
	return change(b, st, buf_ok(&line) ? arena_strdup(&b->arena, buf_z(&line)) : NULL, e);
}

/* "K=V K2=V2", and the old form "K the rest". */
static int change_pairs(struct builder *b, struct build_state *st,
			const struct containerfile_step *s, struct err *e)
{
	const char *name = containerfile_name(s->kind), **words = NULL, *value, *line;
	struct str key = { s->rest.p, 0 }, rest;
	size_t n = 0;
	int r;

	while (key.n < s->rest.n && !strchr(" \t=", s->rest.p[key.n]))
		key.n++;
	rest = str_trim((struct str){ key.p + key.n, s->rest.n - key.n });
	if (key.n < s->rest.n && key.p[key.n] != '=' && !memchr(key.p, '"', key.n) && rest.n) {
		r = build_word(b, st, rest, &value, e);
		line = r < 0 ? NULL : arena_printf(&b->arena, "%.*s=%s", (int) key.n, key.p, value);
		if (r == 0 && !line)
			return build_no_memory(e);
		return r < 0 ? r : change_word(b, st, name, line, e);
	}
	r = build_words(b, st, s->rest, &words, &n, e);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!strchr(words[i], '=') || words[i][0] == '=')
			return err_set(e, ERR_INVALID, EINVAL, "%s wants KEY=VALUE, not '%s'", name,
				       shown_of(str_of(words[i])).z);
		r = change_word(b, st, name, words[i], e);
	}
	return r;
}

/* "80", "80/udp", "8000-8010/tcp" */
static int change_ports(struct builder *b, struct build_state *st, const char *word, struct err *e)
{
	struct str proto, range = str_cut(str_of(word), '/', &proto), last;
	struct str first = str_cut(range, '-', &last);
	uint32_t from, to;
	int r = 0;

	if (!last.p)
		return change(b, st, arena_printf(&b->arena, "EXPOSE %s", word), e);
	if (num_parse_u32(first, 1, 65535, &from) < 0 ||
	    num_parse_u32(last, from, 65535, &to) < 0 || to - from > PORTS_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "EXPOSE '%.60s' is no range of ports", word);
	for (uint32_t port = from; port <= to && r == 0; port++)
		r = change(b, st,
			   arena_printf(&b->arena, "EXPOSE %u/%s", port, proto.p ? proto.p : "tcp"),
			   e);
	return r;
}

static int change_list(struct builder *b, struct build_state *st,
		       const struct containerfile_step *s, struct err *e)
{
	const char **words = s->words;
	size_t n = s->words_n;
	int r = s->words ? 0 : build_words(b, st, s->rest, &words, &n, e);

	for (size_t i = 0; i < n && r == 0; i++) {
		const char *word = words[i];

		if (s->words)
			r = build_word(b, st, str_of(word), &word, e);
		if (r == 0)
			r = s->kind == CONTAINERFILE_EXPOSE ? change_ports(b, st, word, e)
							    : change_word(b, st, "VOLUME", word, e);
	}
	return r;
}

static int change_text(struct builder *b, struct build_state *st,
		       const struct containerfile_step *s, struct err *e)
{
	const char *word;
	int r = build_word(b, st, s->rest, &word, e);

	return r < 0 ? r
		     : change(b, st,
			      arena_printf(&b->arena, "%s %s", containerfile_name(s->kind), word),
			      e);
}

/* As it stands: shells and health checks have variables of their own. */
static int change_raw(struct builder *b, struct build_state *st, const struct containerfile_step *s,
		      struct err *e)
{
	return change(b, st,
		      arena_printf(&b->arena, "%s %.*s", containerfile_name(s->kind),
				   (int) s->rest.n, s->rest.p),
		      e);
}

static int change_on_build(struct builder *b, struct build_state *st,
			   const struct containerfile_step *s, struct err *e)
{
	struct containerfile_step later;
	int r = containerfile_parse_step(&b->arena, s->rest, b->cf.escape, &later, e);

	if (r < 0)
		return r;
	if (later.kind == CONTAINERFILE_ONBUILD || later.kind == CONTAINERFILE_FROM ||
	    later.kind == CONTAINERFILE_MAINTAINER)
		return err_set(e, ERR_INVALID, EINVAL, "ONBUILD cannot have %s",
			       containerfile_name(later.kind));
	return change_raw(b, st, s, e);
}

static int change_config(struct builder *b, struct build_state *st,
			 const struct containerfile_step *s, struct err *e)
{
	switch (s->kind) {
	case CONTAINERFILE_ENV:
	case CONTAINERFILE_LABEL:
		return change_pairs(b, st, s, e);
	case CONTAINERFILE_EXPOSE:
	case CONTAINERFILE_VOLUME:
		return change_list(b, st, s, e);
	case CONTAINERFILE_USER:
	case CONTAINERFILE_STOPSIGNAL:
		return change_text(b, st, s, e);
	case CONTAINERFILE_CMD:
		st->has_cmd = true;
		return change_raw(b, st, s, e);
	case CONTAINERFILE_ENTRYPOINT:
		if (!st->has_cmd) /* the base's was for another one */
			st->run.cmd_n = 0;
		return change_raw(b, st, s, e);
	case CONTAINERFILE_ONBUILD:
		return change_on_build(b, st, s, e);
	case CONTAINERFILE_MAINTAINER:
		return build_word(b, st, s->rest, &st->config.author, e);
	default:
		return change_raw(b, st, s, e); /* HEALTHCHECK, SHELL */
	}
}

/* Variables count as what they hold now. */
static const char *known_text(struct builder *b, const struct build_state *st,
			      const struct containerfile_step *s)
{
	struct err ignored;
	const char *text;

	if (s->kind == CONTAINERFILE_CMD || s->kind == CONTAINERFILE_ENTRYPOINT ||
	    s->kind == CONTAINERFILE_ONBUILD || s->kind == CONTAINERFILE_HEALTHCHECK ||
	    s->kind == CONTAINERFILE_SHELL ||
	    build_word(b, st, str_of(s->text), &text, &ignored) < 0)
		return s->text;
	return text;
}

/* ---- its end ---- */

int build_finish_stage(struct builder *b, struct build_state *st, bool is_target, struct err *e)
{
	struct image *cached = NULL;
	struct digest key;
	struct hash h;
	int r = 0;

	for (size_t i = 0; is_target && i < b->req->labels_n && r == 0; i++) {
		const char *line = arena_printf(&b->arena, "%s=%s", b->req->labels[i].key,
						b->req->labels[i].value);

		r = line ? change_word(b, st, "LABEL", line, e) : build_no_memory(e);
		if (r < 0)
			return r;
		key_add(st, "--label", line);
		st->dirty = true;
	}
	if (!st->dirty) {
		/* It stays, as the result of a build, where it was made for this step alone. */
		return r < 0 || !is_target
			       ? r
			       : store_build_add(b->svc->store, &st->key, &st->image->id, false, e);
	}
	key_start(&h, &st->key);
	key_text(&h, is_target ? "target" : "stage");
	if (b->epoch_set)
		hash_add(&h, &b->epoch, sizeof(b->epoch));
	hash_end(&h, &key);
	r = find_cached(b, &key, &cached, e);
	if (r < 0)
		return r;
	return cached ? build_adopt(b, st, cached, e)
		      : make_image(b, st, FD_NONE, "", &key, !is_target, e);
}

/* ---- WORKDIR ---- */

static int make_workdir(struct builder *b, struct build_state *st, void *user, int root_fd,
			struct err *e)
{
	const char *path = user;

	(void) b, (void) st;
	auto_fd int there = path_open_in(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	auto_fd int made = there >= 0 ? FD_NONE : path_make_dir(root_fd, path, 0755);

	return there < 0 && made < 0
		       ? err_sys(e, -made, "make the directory '%s'", shown_of(str_of(path)).z)
		       : 0;
}

static int set_workdir(struct builder *b, struct build_state *st,
		       const struct containerfile_step *s, struct err *e)
{
	struct build_layer_work w = { .make = make_workdir, .may_be_none = true };
	const char *word, *path = NULL, *text;
	int r = build_word(b, st, s->rest, &word, e);

	if (r < 0)
		return r;
	path = build_path(b, st, word);
	text = path ? arena_printf(&b->arena, "WORKDIR %s", path) : NULL;
	r = change(b, st, text, e);
	if (r < 0)
		return r;
	w.user = arena_strdup(&b->arena, path);
	hash_init(&w.extra);
	return w.user ? build_layer_step(b, st, text, &w, e) : build_no_memory(e);
}

int build_step(struct builder *b, struct build_state *st, const struct containerfile_step *s,
	       struct err *e)
{
	const char *text;
	int r;

	switch (s->kind) {
	case CONTAINERFILE_RUN:
		return build_run(b, st, s, e);
	case CONTAINERFILE_COPY:
	case CONTAINERFILE_ADD:
		return build_copy(b, st, s, e);
	case CONTAINERFILE_WORKDIR:
		return set_workdir(b, st, s, e);
	case CONTAINERFILE_ARG:
		return build_arg(b, st, s, e);
	case CONTAINERFILE_FROM:
		return err_set(e, ERR_INVALID, EINVAL, "FROM cannot stand here");
	default:
		break;
	}
	text = known_text(b, st, s);
	r = change_config(b, st, s, e);
	r = r < 0 ? r : add_history(b, st, text, true, e);
	if (r < 0)
		return r;
	key_add(st, "config", text);
	st->dirty = true;
	return 0;
}

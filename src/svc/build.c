/* SPDX-License-Identifier: Apache-2.0 */
/* A build: its Containerfile read, its stages planned and made one after the other. */
#include "svc/build.h"

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
#include "fmt/shown.h"
#include "store/build.h"
#include "store/image.h"
#include "svc/build_parts.h"
#include "svc/image.h"
#include "svc/image_make.h"
#include "svc/image_parts.h"

#define TEXT_MAX  ((size_t) 4 << 20)
#define ARENA_MAX ((size_t) 1 << 30)

void build_tell(const struct builder *b, const char *fmt, ...)
{
	auto_buf struct buf line = BUF_INIT((size_t) 1 << 20);
	va_list ap;

	if (!b->req->told)
		return;
	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	b->req->told(b->req->user, buf_z(&line));
}

/* ---- what is read ---- */

static int read_at(int at, const char *name, struct arena *a, struct str *ret, bool *ret_there,
		   struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	int r = file_read(at, name, &text);
	char *copy;

	*ret_there = r == 0;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "read '%s'", name);
	copy = arena_dup(a, (struct str){ buf_z(&text), text.n });
	*ret = (struct str){ copy, text.n };
	return copy ? 0 : build_no_memory(e);
}

static int read_file(struct builder *b, struct err *e)
{
	static const char *const usual[] = { "Containerfile", "Dockerfile" };
	const struct svc_build *req = b->req;
	bool there = false;
	int r = 0;

	if (req->file_fd >= 0) {
		auto_buf struct buf text = BUF_INIT(TEXT_MAX);
		char *copy;

		b->file = "Containerfile";
		r = fd_read_all(req->file_fd, &text);
		copy = r == 0 ? arena_dup(&b->arena, (struct str){ buf_z(&text), text.n }) : NULL;
		b->text = (struct str){ copy, text.n };
		return r < 0  ? err_sys(e, -r, "read the Containerfile from stdin")
		       : copy ? 0
			      : build_no_memory(e);
	}
	if (req->file) {
		b->file = req->file;
		r = read_at(AT_FDCWD, req->file, &b->arena, &b->text, &there, e);
		if (r == 0 && !there && req->file[0] != '/' && b->context_fd >= 0)
			r = read_at(b->context_fd, req->file, &b->arena, &b->text, &there, e);
	}
	for (size_t i = 0; !req->file && r == 0 && !there && i < ARRAY_SIZE(usual); i++) {
		b->file = usual[i];
		r = read_at(b->context_fd, usual[i], &b->arena, &b->text, &there, e);
	}
	if (r < 0 || there)
		return r;
	if (req->file)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "there is no file '%s'", req->file);
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "there is no Containerfile or Dockerfile in '%s': name it with -f",
		       req->context);
}

static int read_ignore(struct builder *b, struct err *e)
{
	const char *own = arena_printf(&b->arena, "%s.dockerignore", b->file);
	const char *const names[] = { own, ".containerignore", ".dockerignore" };

	for (size_t i = b->req->file_fd >= 0 ? 1 : 0; i < ARRAY_SIZE(names) && b->context_fd >= 0;
	     i++) {
		struct str text;
		bool there = false;
		int r = own ? read_at(i || !b->req->file ? b->context_fd : AT_FDCWD, names[i],
				      &b->arena, &text, &there, e)
			    : build_no_memory(e);

		if (r == 0 && there) {
			r = ignorefile_parse(&b->arena, text, &b->ignore, e);
			return r < 0 ? err_ctx(e, "%s", names[i]) : 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_context(struct builder *b, struct err *e)
{
	if (!b->req->context)
		return 0;
	b->context_fd = open(b->req->context, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->context_fd < 0 ? err_sys(e, errno, "open the context '%s'", b->req->context) : 0;
}

/* ---- its stages ---- */

static int blame(struct builder *b, const struct containerfile_step *s, struct err *e)
{
	return s->line ? containerfile_blame(b->text, b->file, s->line, e)
		       : err_ctx(e, "%s", shown_of(str_of(s->text)).z);
}

/* By its name, which is not told from another by case, or by its number. */
size_t build_find_stage(const struct builder *b, const char *name, size_t before)
{
	uint32_t number;

	for (size_t i = before; i > 0; i--)
		if (b->stages[i - 1].name && strcasecmp(b->stages[i - 1].name, name) == 0)
			return i - 1;
	if (num_parse_u32(str_of(name), 0, UINT32_MAX, &number) == 0 && number < before)
		return number;
	return BUILD_NO_STAGE;
}

/* "[--platform=P] BASE [AS NAME]" */
static int take_from(struct builder *b, struct build_stage *g, const struct containerfile_step *s,
		     struct err *e)
{
	const char **words, *platform, *own;
	size_t n;
	int r = build_words(b, NULL, s->rest, &words, &n, e);

	if (r == 0 && n != 1 && !(n == 3 && strcasecmp(words[1], "as") == 0))
		return err_set(e, ERR_INVALID, EINVAL, "FROM wants IMAGE or IMAGE AS NAME");
	if (r == 0 && !*words[0])
		return err_set(e, ERR_INVALID, EINVAL, "FROM '%s': no image is named",
			       shown_of(s->rest).z);
	for (size_t i = 0; r == 0 && i < s->flags_n; i++) {
		if (!streq(s->flags[i].key, "platform"))
			return err_set(e, ERR_INVALID, EINVAL, "FROM has no flag --%.60s",
				       s->flags[i].key);
		r = build_word(b, NULL, str_of(s->flags[i].value), &platform, e);
		own = r < 0 ? NULL : arena_printf(&b->arena, "linux/%s", image_architecture());
		if (r == 0 && own && *platform && !streq(platform, own))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "FROM --platform=%.60s: this machine builds for %s alone",
				       platform, own);
	}
	if (r < 0)
		return r;
	g->base = words[0];
	g->name = n == 3 ? words[2] : NULL;
	g->base_stage = build_find_stage(b, g->base, (size_t) (g - b->stages));
	return 0;
}

static int plan_stages(struct builder *b, struct err *e)
{
	struct build_stage *g = NULL;

	for (size_t i = 0; i < b->cf.n; i++) {
		const struct containerfile_step *s = &b->cf.steps[i];
		int r = 0;

		if (s->kind == CONTAINERFILE_FROM) {
			g = arena_push(&b->arena, &b->stages, &b->stages_n, sizeof(*g));
			if (!g)
				return build_no_memory(e);
			*g = (struct build_stage){ .from = i, .first = i + 1 };
			r = take_from(b, g, s, e);
		} else if (!g && s->kind == CONTAINERFILE_ARG) {
			r = build_arg(b, NULL, s, e);
		} else if (!g) {
			r = err_set(e, ERR_INVALID, EINVAL, "%s stands before the first FROM",
				    containerfile_name(s->kind));
		}
		if (r < 0)
			return blame(b, s, e);
		if (g)
			g->end = i + 1;
	}
	return g ? 0 : err_set(e, ERR_INVALID, EINVAL, "%s: there is no FROM in it", b->file);
}

static int need_stage(struct builder *b, size_t which, struct err *e);

/* Of --from=NAME, and of from=NAME in --mount; another name is an image's. */
static int need_flag(struct builder *b, size_t before, const struct json_pair *flag, struct err *e)
{
	const char *value = flag->value, *from = strstr(value, "from=");
	struct str rest;

	if (streq(flag->key, "from"))
		return need_stage(b, build_find_stage(b, value, before), e);
	if (!streq(flag->key, "mount") || !from)
		return 0;
	value = arena_dup(&b->arena, str_cut(str_of(from + strlen("from=")), ',', &rest));
	return value ? need_stage(b, build_find_stage(b, value, before), e) : build_no_memory(e);
}

static int need_stage(struct builder *b, size_t which, struct err *e)
{
	struct build_stage *g = which == BUILD_NO_STAGE ? NULL : &b->stages[which];
	int r;

	if (!g || g->needed)
		return 0;
	g->needed = true;
	r = need_stage(b, g->base_stage, e);
	for (size_t i = g->first; i < g->end && r == 0; i++)
		for (size_t k = 0; k < b->cf.steps[i].flags_n && r == 0; k++)
			r = need_flag(b, which, &b->cf.steps[i].flags[k], e);
	return r;
}

static int choose_target(struct builder *b, size_t *ret, struct err *e)
{
	*ret = b->req->target ? build_find_stage(b, b->req->target, b->stages_n) : b->stages_n - 1;
	if (*ret == BUILD_NO_STAGE)
		return err_set(e, ERR_INVALID, EINVAL, "%s: there is no stage '%.60s' in it",
			       b->file, b->req->target);
	int r = need_stage(b, *ret, e);

	for (size_t i = 0; i < b->stages_n; i++) {
		struct build_stage *g = &b->stages[i];

		g->number = b->steps_n + 1;
		b->steps_n += g->needed ? 1 + g->end - g->first : 0;
	}
	return r;
}

/* ---- their making ---- */

/* FROM scratch: an image of nothing. */
static int start_empty(struct builder *b, struct build_state *st, struct err *e)
{
	struct oci_run_config run = {};
	const struct oci_image_config c = { .architecture = image_architecture(),
					    .os = "linux",
					    .config = &run };
	const struct image_step t = {
		.content = &b->content, .upper_fd = FD_NONE, .config = &c, .mtime_max = INT64_MAX
	};
	struct image *im = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest id;
	bool existed;
	int r = image_step(&t, &id, &existed, e);

	digest_text(&id, text);
	r = r < 0 ? r : build_image(b, text, &im, e);
	r = r < 0 ? r : build_adopt(b, st, im, e);
	return r < 0 ? r : store_build_add(b->svc->store, &st->key, &im->id, true, e);
}

static int start_stage(struct builder *b, const struct build_stage *g, struct build_state *st,
		       struct err *e)
{
	struct image *im = NULL;
	int r;

	if (g->base_stage != BUILD_NO_STAGE)
		return build_adopt(b, st, b->stages[g->base_stage].image, e);
	if (streq(g->base, "scratch"))
		return start_empty(b, st, e);
	r = b->req->need(b->req->user, g->base, e);
	r = r < 0 ? r : build_image(b, g->base, &im, e);
	return r < 0 ? r : build_adopt(b, st, im, e);
}

static void tell_step(const struct builder *b, size_t number, const char *text)
{
	build_tell(b, "STEP %zu/%zu: %s", number, b->steps_n, text);
}

/* ONBUILD of the base: as if it stood right after FROM. */
static int run_triggers(struct builder *b, struct build_state *st, struct err *e)
{
	const char *const *lines = st->run.on_build;
	size_t n = st->run.on_build_n;
	int r = 0;

	st->run.on_build = NULL;
	st->run.on_build_n = 0;
	st->dirty = st->dirty || n > 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct containerfile_step s;

		r = containerfile_parse_step(&b->arena, str_of(lines[i]), b->cf.escape, &s, e);
		if (r == 0)
			build_tell(b, "ONBUILD: %s", lines[i]);
		r = r < 0 ? r : build_step(b, st, &s, e);
		if (r < 0)
			return err_ctx(e, "ONBUILD %s", shown_of(str_of(lines[i])).z);
	}
	return r;
}

int build_stage(struct builder *b, size_t which, bool is_target, struct err *e)
{
	struct build_stage *g = &b->stages[which];
	struct build_state st = {};
	int r;

	b->stage = which;
	tell_step(b, g->number, b->cf.steps[g->from].text);
	r = start_stage(b, g, &st, e);
	r = r < 0 ? r : run_triggers(b, &st, e);
	if (r < 0)
		return blame(b, &b->cf.steps[g->from], e);
	for (size_t i = g->first; i < g->end; i++) {
		const struct containerfile_step *s = &b->cf.steps[i];

		tell_step(b, g->number + 1 + i - g->first, s->text);
		r = build_step(b, &st, s, e);
		if (r < 0)
			return blame(b, s, e);
	}
	r = build_finish_stage(b, &st, is_target, e);
	g->image = st.image;
	g->done = r == 0;
	return r;
}

static int name_image(struct builder *b, const struct image *im, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < b->req->names_n && r == 0; i++) {
		char name[REFERENCE_MAX];

		r = image_stored_name(b->req->names[i], name, e);
		r = r < 0 ? r : store_image_tag(b->svc->store, &im->id, name, e);
		r = r < 0 ? r : image_event(b->svc->store, "tag", &im->id, name, e);
		if (r == 0)
			build_tell(b, "Successfully tagged %s", reference_familiar_of(name));
	}
	return r;
}

static int check_names(const struct builder *b, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < b->req->names_n && r == 0; i++) {
		char name[REFERENCE_MAX];

		r = image_stored_name(b->req->names[i], name, e);
	}
	return r;
}

/* --build-arg that no ARG asks for is a slip of the pen: docker warns. */
static void check_args(const struct builder *b)
{
	static const char *const known[] = { "HTTP_PROXY",  "http_proxy",	"HTTPS_PROXY",
					     "https_proxy", "FTP_PROXY",	"ftp_proxy",
					     "NO_PROXY",    "no_proxy",		"ALL_PROXY",
					     "all_proxy",   "SOURCE_DATE_EPOCH" };

	for (size_t i = 0; i < b->req->args_n; i++) {
		const char *name = b->req->args[i].key;
		bool asked = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			asked = asked || streq(name, known[k]);
		for (size_t k = 0; k < b->cf.n && !asked; k++)
			asked = b->cf.steps[k].kind == CONTAINERFILE_ARG &&
				strstr(b->cf.steps[k].text, name);
		if (!asked)
			svc_notice(b->svc, "no ARG of %s asks for --build-arg %.100s", b->file,
				   name);
	}
}

static int build(struct builder *b, char ret_id[static DIGEST_TEXT_MAX], struct err *e)
{
	size_t target = 0;
	int r = check_names(b, e);

	r = r < 0 ? r : open_context(b, e);
	r = r < 0 ? r : read_file(b, e);
	r = r < 0 ? r : read_ignore(b, e);
	r = r < 0 ? r : containerfile_parse(&b->arena, b->text, b->file, &b->cf, e);
	r = r < 0 ? r : plan_stages(b, e);
	r = r < 0 ? r : choose_target(b, &target, e);
	if (r < 0)
		return r;
	check_args(b);
	r = svc_store(b->svc, e);
	r = r < 0 ? r : content_open(&b->content, b->svc->store, CONTENT_ADD, e);
	r = r < 0 ? r : build_stages(b, target, e);
	r = r < 0 ? r : name_image(b, b->stages[target].image, e);
	if (r == 0)
		memcpy(ret_id, b->stages[target].image->id_text, DIGEST_TEXT_MAX);
	return r;
}

int svc_build(struct svc *s, const struct svc_build *req, char ret_id[static DIGEST_TEXT_MAX],
	      struct err *e)
{
	struct builder b = {
		.svc = s,
		.req = req,
		.arena = ARENA_INIT(ARENA_MAX),
		.content = { .layers_fd = FD_NONE, .blobs_fd = FD_NONE, .tmp_fd = FD_NONE },
		.context_fd = FD_NONE
	};
	int64_t now = clock_wall() / NSEC_PER_SEC;
	int r = image_epoch(INT64_MIN, &b.epoch, e);

	b.epoch_set = r == 0 && b.epoch != INT64_MIN;
	if (!b.epoch_set)
		b.epoch = now;
	r = r < 0 ? r : build(&b, ret_id, e);
	build_run_end(&b);
	for (size_t i = 0; i < b.images_n; i++)
		image_free(b.images[i]);
	if (b.empty[0])
		content_tmp_drop(&b.content, b.empty);
	content_close(&b.content);
	close_fd(&b.context_fd);
	arena_fini(&b.arena);
	return r;
}

int svc_build_prune(struct svc *s, struct svc_image_removed *ret_removed, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 64 << 20);
	struct digest *inner = NULL;
	size_t n = 0;
	int r = svc_store(s, e);

	*ret_removed = (struct svc_image_removed){ .arena = ARENA_INIT((size_t) 64 << 20) };
	r = r < 0 ? r : store_build_inner(s->store, &a, &inner, &n, e);
	return r < 0 ? r : image_remove_all(s, inner, n, ret_removed, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pull: what is shown while layers come. */
#include "cli/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "fmt/json.h"
#include "fmt/reference.h"
#include "svc/image.h"
#include "svc/image_pull.h"

#define BAR_CELLS  50u
#define SHOW_EVERY (100 * NSEC_PER_MSEC)
#define LINE_BYTES 256

struct view {
	int fd;
	enum { VIEW_NONE, VIEW_PLAIN, VIEW_BARS, VIEW_JSON } how;
	size_t lines; /* of bars: one a layer, above the cursor */
	nsec_t shown; /* when something went on was told the last time */
};

static const char *const words[] = {
	[SVC_PULL_EXISTS] = "Already exists",  [SVC_PULL_WAITS] = "Pulling fs layer",
	[SVC_PULL_GOES_ON] = "Downloading",    [SVC_PULL_FETCHED] = "Download complete",
	[SVC_PULL_COMPLETE] = "Pull complete",
};

static void put(const struct view *v, const char *text)
{
	(void) fd_write_all(v->fd, text, strlen(text)); /* nobody looks: that is no failure */
}

/* As docker's: "ab12: Downloading [====>     ]  12.3MB/45.6MB" */
static void add_bar(char *text, size_t size, const struct svc_pull_step *step)
{
	char cells[BAR_CELLS + 1];
	unsigned int n = step->total ? (unsigned int) (step->bytes * BAR_CELLS / step->total) : 0;

	for (unsigned int i = 0; i < BAR_CELLS; i++)
		cells[i] = i < n ? '=' : i == n ? '>' : ' ';
	cells[BAR_CELLS] = '\0';
	(void) snprintf(text, size, " [%s]  %s/%s", cells, human_size(step->bytes).z,
			human_size(step->total).z);
}

static void show_bar(const struct view *v, const struct svc_pull_step *step)
{
	char bar[LINE_BYTES] = "", line[2 * LINE_BYTES];
	size_t up = v->lines - step->i;

	if (step->kind == SVC_PULL_GOES_ON)
		add_bar(bar, sizeof(bar), step);
	(void) snprintf(line, sizeof(line), "\033[%zuA\r\033[K%s: %s%s\033[%zuB\r", up, step->layer,
			words[step->kind], bar, up);
	put(v, line);
}

static void show_json(const struct view *v, const struct svc_pull_step *step)
{
	auto_buf struct buf text = BUF_INIT(4096);
	struct json_writer w = JSON_WRITER(&text);

	json_w_object(&w, NULL);
	json_w_string(&w, "status", step->kind == SVC_PULL_BEGINS ? "Pulling" : words[step->kind]);
	json_w_string(&w, "id", step->kind == SVC_PULL_BEGINS ? step->name : step->layer);
	if (step->kind == SVC_PULL_BEGINS && step->from)
		json_w_string(&w, "from", step->from);
	if (step->kind == SVC_PULL_GOES_ON) {
		json_w_object(&w, "progressDetail");
		json_w_u64(&w, "current", step->bytes);
		json_w_u64(&w, "total", step->total);
		json_w_end(&w);
	}
	json_w_end(&w);
	buf_addc(&text, '\n');
	put(v, buf_z(&text));
}

static void show_plain(const struct view *v, const struct svc_pull_step *step)
{
	char line[LINE_BYTES];

	if (step->kind == SVC_PULL_GOES_ON)
		return;
	(void) snprintf(line, sizeof(line), "%s: %s\n", step->layer, words[step->kind]);
	put(v, line);
}

/* A terminal that has fewer lines than there are layers scrolls: then none is gone back to. */
static bool has_room(int fd, size_t lines)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > lines + 1 &&
	       size.ws_col > BAR_CELLS + 50;
}

static void begin(struct view *v, const struct svc_pull_step *step)
{
	char line[2 * REFERENCE_MAX + 32];

	(void) snprintf(line, sizeof(line), "Pulling %s%s%s\n", step->name,
			step->from ? " from " : "", step->from ? step->from : "");
	put(v, line);
	if (v->how != VIEW_BARS)
		return;
	if (!has_room(v->fd, step->n)) {
		v->how = VIEW_PLAIN;
		return;
	}
	v->lines = step->n;
	for (size_t i = 0; i < step->n; i++)
		put(v, "\n");
}

static void told(void *user, const struct svc_pull_step *step)
{
	struct view *v = user;
	nsec_t now = clock_mono();

	if (step->kind == SVC_PULL_GOES_ON) {
		if (now - v->shown < SHOW_EVERY)
			return;
		v->shown = now;
	}
	if (v->how == VIEW_JSON)
		show_json(v, step);
	else if (step->kind == SVC_PULL_BEGINS)
		begin(v, step);
	else if (v->how == VIEW_BARS)
		show_bar(v, step);
	else
		show_plain(v, step);
}

static int choose_view(struct view *v, const struct pull_request *q, struct err *e)
{
	*v = (struct view){ .fd = q->fd };
	if (q->quiet)
		v->how = VIEW_NONE;
	else if (!q->progress || streq(q->progress, "auto"))
		v->how = cli_is_tty(q->fd) ? VIEW_BARS : VIEW_PLAIN;
	else if (streq(q->progress, "plain"))
		v->how = VIEW_PLAIN;
	else if (streq(q->progress, "json"))
		v->how = VIEW_JSON;
	else
		return err_set(e, ERR_INVALID, EINVAL, "--progress '%.60s': auto, plain or json",
			       q->progress);
	return 0;
}

static void show_end(struct view *v, const char *name, const char *digest, bool existed)
{
	auto_buf struct buf text = BUF_INIT(4096);
	struct json_writer w = JSON_WRITER(&text);
	const char *status = existed ? "Image is up to date for" : "Downloaded newer image for";

	if (v->how == VIEW_JSON) {
		json_w_object(&w, NULL);
		json_w_string(&w, "status",
			      existed ? "Image is up to date" : "Downloaded newer image");
		json_w_string(&w, "id", name);
		json_w_string(&w, "digest", digest);
		json_w_end(&w);
		buf_addc(&text, '\n');
	} else {
		buf_addf(&text, "Digest: %s\nStatus: %s %s\n", digest, status,
			 reference_familiar_of(name));
	}
	put(v, buf_z(&text));
}

/* As podman: the question is asked where its answer can be given. */
static int choose(void *user, const char *name, const char *const *names, size_t n, size_t *ret_i,
		  struct err *e)
{
	auto_buf struct buf text = BUF_INIT(64 * REFERENCE_MAX), line = BUF_INIT(64);
	uint64_t i;
	char c;

	(void) user; /* who shows what comes of it */
	buf_addf(&text, "'%s' may be:\n", name);
	for (size_t k = 0; k < n; k++)
		buf_addf(&text, "%zu  %s\n", k + 1, names[k]);
	buf_addf(&text, "Which one (1-%zu)? ", n);
	(void) fd_write_all(STDOUT_FILENO, text.p, text.n); /* then nobody answers */
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		buf_addc(&line, c);
	if (num_parse_u64(str_trim(buf_str(&line)), 1, n, &i) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "none is chosen: give the whole name");
	*ret_i = (size_t) i - 1;
	return 0;
}

int pull_image(struct cli *c, const struct pull_request *q, const char **ret_name, struct err *e)
{
	struct svc_image_pull req = { .image = q->image,
				      .platform = q->platform,
				      .no_verify = q->no_verify };
	struct svc_image_result made;
	struct reference ref;
	struct digest digest;
	struct view view;
	char *name = arena_alloc(&c->arena, REFERENCE_MAX), text[DIGEST_TEXT_MAX];
	int r = name ? choose_view(&view, q, e)
		     : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	if (r == 0 && view.how != VIEW_NONE) {
		req.told = told;
		req.user = &view;
	}
	if (cli_is_tty(STDIN_FILENO) && cli_is_tty(STDOUT_FILENO))
		req.choose = choose;
	if (r == 0)
		r = svc_image_pull(&c->svc, &req, &made, &digest, e);
	if (r < 0)
		return r;
	r = reference_parse(str_of(made.items[0].names[0]), &ref, e);
	if (r == 0)
		reference_text(&ref, name);
	digest_text(&digest, text);
	if (view.how != VIEW_NONE)
		show_end(&view, name, text, made.items[0].existed);
	svc_image_result_fini(&made);
	*ret_name = name;
	return r;
}

int pull_missing(struct cli *c, const char *image, const char *policy, bool quiet, struct err *e)
{
	const struct pull_request q = { .image = image, .quiet = quiet, .fd = STDERR_FILENO };
	const char *name;
	int r;

	if (policy && streq(policy, "never"))
		return 0;
	if (svc_image_is_here(&c->svc, image))
		return 0; /* it is something else that was not found */
	if (!quiet)
		(void) dprintf(STDERR_FILENO, "Unable to find image '%s' locally\n", image);
	r = pull_image(c, &q, &name, e);
	return r < 0 ? r : 1;
}

/* ---- the verb ---- */

struct pull_options {
	const char *platform, *progress;
	bool quiet, tls_verify;
};

static const struct pull_options pull_defaults = { .tls_verify = true };

static const struct option pull_table[] = {
	{ OPTION_ITEM_(struct pull_options, platform, OPTION_STRING, "platform", 0),
	  .value = "string",
	  .help = "Of an image for several, that for this one (linux/ARCHITECTURE[/VARIANT])" },
	{ OPTION_ITEM_(struct pull_options, progress, OPTION_STRING, "progress", 0),
	  .value = "string", .words = "auto plain json",
	  .help = "How what goes on is told: auto (bars on a terminal), plain, or json, a line "
		  "each" },
	{ OPTION_ITEM_(struct pull_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Print the image's name alone" },
	{ OPTION_ITEM_(struct pull_options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Ask for TLS and a certificate that can be verified (default true)" },
};

static int pull_run(struct cli *c, const void *options, struct option_args args)
{
	const struct pull_options *o = options;
	const struct pull_request q = { .image = args.argv[0],
					.platform = o->platform,
					.progress = o->progress,
					.no_verify = !o->tls_verify,
					.quiet = o->quiet,
					.fd = STDOUT_FILENO };
	const char *name;
	struct err e;

	if (pull_image(c, &q, &name, &e) < 0)
		return cli_fail(c, &e);
	if (!o->progress || !streq(o->progress, "json"))
		buf_addf(&c->out, "%s\n", name);
	return CLI_OK;
}

const struct verb verb_pull = {
	.usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
	.summary = "Download an image from a registry",
	.about = "A name without a registry is docker.io's, or what registries.conf(5) says: an "
		 "alias, or the first of unqualified-search-registries that has it; of several one "
		 "is asked for on a terminal (unless short-name-mode is \"disabled\"), and without "
		 "one \"enforcing\" refuses. Mirrors are tried in their order, then the registry. "
		 "The file is "
		 "$CONTAINERS_REGISTRIES_CONF, ~/.config/containers/registries.conf or "
		 "/etc/containers/registries.conf, with those of registries.conf.d.\n\n"
		 "Layers come several at a time and are "
		 "unpacked as they come, by confined processes; those that are here already are "
		 "not fetched. What came of them before a failure is not fetched again.\n\n"
		 "Certificates of registries' own CAs, and for clients, are found in "
		 "~/.config/containers/certs.d/HOST[:PORT], /etc/containers/certs.d or "
		 "/etc/docker/certs.d: X.crt, and X.cert with X.key. Registries on this machine "
		 "(localhost, 127.0.0.0/8) may do without "
		 "TLS. "
		 "Proxies are those of http_proxy, https_proxy and no_proxy.",
	.example = "atoll pull debian:bookworm\natoll pull --platform linux/arm64 "
		   "registry.example.com:5000/team/app@sha256:...",
	.options = pull_table,
	.options_n = ARRAY_SIZE(pull_table),
	.size = sizeof(struct pull_options),
	.defaults = &pull_defaults,
	.args_min = 1,
	.args_max = 1,
	.run = pull_run,
};

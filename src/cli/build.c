/* SPDX-License-Identifier: Apache-2.0 */
/* build, and `builder prune`: images from Containerfiles. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/human.h"
#include "cli/pull.h"
#include "cli/verbs.h"
#include "svc/build.h"
#include "svc/image.h"

struct build_options {
	const char *file, *target, *isolation, *network, *platform, *iidfile;
	struct option_list tag, build_arg, label, secret, add_host;
	bool no_cache, pull, quiet, tls_verify;
};

static const struct build_options build_defaults = { .tls_verify = true };

static const struct option build_table[] = {
	{ OPTION_ITEM_(struct build_options, add_host, OPTION_LIST, "add-host", 0), .value = "list",
	  .help = "Add a custom host-to-IP mapping (host:ip)" },
	{ OPTION_ITEM_(struct build_options, build_arg, OPTION_LIST, "build-arg", 0),
	  .value = "list", .help = "Set build-time variables" },
	{ OPTION_ITEM_(struct build_options, file, OPTION_STRING, "file", 'f'), .value = "string",
	  .complete = OPTION_COMPLETE_FILE,
	  .help = "Name of the Containerfile (default Containerfile or Dockerfile in PATH; - is "
		  "stdin)" },
	{ OPTION_ITEM_(struct build_options, iidfile, OPTION_STRING, "iidfile", 0),
	  .value = "string", .complete = OPTION_COMPLETE_FILE,
	  .help = "Write the image ID to the file" },
	{ OPTION_ITEM_(struct build_options, isolation, OPTION_STRING, "isolation", 0),
	  .value = "string", .words = "container sandbox microvm",
	  .help = "The wall that RUN is behind (default container)" },
	{ OPTION_ITEM_(struct build_options, label, OPTION_LIST, "label", 0), .value = "list",
	  .help = "Set metadata for an image" },
	{ OPTION_ITEM_(struct build_options, network, OPTION_STRING, "network", 0),
	  .value = "string", .words = "host none", .help = "The network of RUN (default host)" },
	{ OPTION_ITEM_(struct build_options, no_cache, OPTION_BOOL, "no-cache", 0),
	  .help = "Do every step, also what an earlier build did" },
	{ OPTION_ITEM_(struct build_options, platform, OPTION_STRING, "platform", 0),
	  .value = "string", .help = "Only this machine's: linux/ARCHITECTURE" },
	{ OPTION_ITEM_(struct build_options, pull, OPTION_BOOL, "pull", 0),
	  .help = "Ask the registries for newer base images" },
	{ OPTION_ITEM_(struct build_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Print the image ID alone; what RUN says only where it fails" },
	{ OPTION_ITEM_(struct build_options, secret, OPTION_LIST, "secret", 0), .value = "list",
	  .help = "A file for RUN --mount=type=secret: id=ID,src=FILE" },
	{ OPTION_ITEM_(struct build_options, tag, OPTION_LIST, "tag", 't'), .value = "list",
	  .help = "Name and optionally a tag in the name:tag format" },
	{ OPTION_ITEM_(struct build_options, target, OPTION_STRING, "target", 0), .value = "string",
	  .help = "Set the target build stage to build" },
	{ OPTION_ITEM_(struct build_options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Of registries, ask for TLS and a certificate that can be verified (default "
		  "true)" },
};

struct call {
	struct cli *c;
	const struct build_options *o;
	struct option_list pulled; /* by this build */
};

static bool was_pulled(const struct call *call, const char *image)
{
	for (size_t i = 0; i < call->pulled.n; i++)
		if (streq(call->pulled.items[i], image))
			return true;
	return false;
}

static int need(void *user, const char *image, struct err *e)
{
	struct call *call = user;
	const struct pull_request q = { .image = image,
					.platform = call->o->platform,
					.no_verify = !call->o->tls_verify,
					.quiet = call->o->quiet,
					.fd = STDERR_FILENO };
	const char *name, **to;

	if (!(call->o->pull && !was_pulled(call, image)) && svc_image_is_here(&call->c->svc, image))
		return 0;
	to = arena_push(&call->c->arena, &call->pulled.items, &call->pulled.n, sizeof(*to));
	if (!to)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	*to = image;
	return pull_image(call->c, &q, &name, e);
}

static void told(void *user, const char *line)
{
	struct call *call = user;

	if (call->o->quiet)
		return;
	buf_addf(&call->c->out, "%s\n", line);
	(void) cli_flush(call->c); /* it is told as it goes; what became of it is remembered */
}

/* "KEY=VALUE"; of "KEY" alone the value is the environment's, or there is none. */
static int build_args(struct cli *c, const struct option_list *l, struct json_pair **ret,
		      size_t *ret_n, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *equals = strchr(l->items[i], '=');
		const char *value = equals ? equals + 1 : secure_getenv(l->items[i]);
		struct json_pair *to;

		if (!value)
			continue;
		to = arena_push(&c->arena, ret, ret_n, sizeof(*to));
		if (!to || !(to->key = arena_dup(&c->arena, str_cut(str_of(l->items[i]), '=',
								    &(struct str){}))))
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
		to->value = value;
	}
	return 0;
}

/* "id=ID,src=FILE" */
static int secrets(struct cli *c, const struct option_list *l, struct svc_build_secret **ret,
		   struct err *e)
{
	*ret = arena_array(&c->arena, l->n + 1, sizeof(**ret));
	if (!*ret)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	for (size_t i = 0; i < l->n; i++) {
		struct str rest = str_of(l->items[i]);
		struct svc_build_secret *s = &(*ret)[i];
		char path[4096];

		while (rest.p) {
			struct str value, word = str_cut(rest, ',', &rest);
			struct str key = str_cut(word, '=', &value);
			const char *z = value.p ? arena_dup(&c->arena, value) : NULL;

			if (z && str_is(key, "id"))
				s->id = z;
			else if (z && (str_is(key, "src") || str_is(key, "source")))
				s->path = realpath(z, path) ? arena_strdup(&c->arena, path) : NULL;
			else if (!(z && str_is(key, "type") && streq(z, "file")))
				return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
					       "--secret '%.100s': wants id=ID,src=FILE",
					       l->items[i]);
			if (z && !s->path && !str_is(key, "id") && !str_is(key, "type"))
				return err_sys(e, errno, "--secret: the file '%.200s'", z);
		}
		if (!s->id || !s->path)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--secret '%.100s': wants id=ID,src=FILE", l->items[i]);
	}
	return 0;
}

static bool is_elsewhere(const char *context)
{
	static const char *const prefixes[] = { "http://", "https://", "git://",
						"git@",	   "ssh://",   "github.com/" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(str_of(context), prefixes[i]))
			return true;
	return false;
}

static int take_context(const char *arg, const struct build_options *o, struct svc_build *q,
			struct err *e)
{
	q->file = o->file;
	q->file_fd = FD_NONE;
	if (is_elsewhere(arg))
		return err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"'%.100s': a context that is elsewhere is unsupported: fetch it, and "
			"give its directory",
			arg);
	if (streq(arg, "-")) {
		if (o->file)
			return err_set(
				e, ERR_UNSUPPORTED, EOPNOTSUPP,
				"a context from stdin is unsupported: '-' is a Containerfile "
				"without a context");
		q->file_fd = STDIN_FILENO;
		return 0;
	}
	q->context = arg;
	if (o->file && streq(o->file, "-"))
		q->file_fd = STDIN_FILENO;
	return 0;
}

static int request(struct cli *c, const struct build_options *o, const char *context,
		   struct call *call, struct svc_build *q, struct err *e)
{
	struct json_pair *args = NULL;
	struct svc_build_secret *files = NULL;
	int r = take_context(context, o, q, e);

	r = r < 0 ? r : build_args(c, &o->build_arg, &args, &q->args_n, e);
	r = r < 0 ? r : secrets(c, &o->secret, &files, e);
	q->args = args;
	q->secrets = files;
	q->secrets_n = o->secret.n;
	q->labels = cli_pairs(c, &o->label);
	q->labels_n = o->label.n;
	q->names = o->tag.items;
	q->names_n = o->tag.n;
	q->target = o->target;
	q->no_cache = o->no_cache;
	q->isolation = o->isolation;
	q->network = o->network;
	q->extra_hosts = o->add_host.items;
	q->extra_hosts_n = o->add_host.n;
	q->need = need;
	q->told = told;
	q->user = call;
	if (r == 0 && o->network && !streq(o->network, "host") && !streq(o->network, "none"))
		return err_set(e, ERR_INVALID, EINVAL, "--network '%.60s': host or none",
			       o->network);
	return r;
}

/* What RUN has said, where nobody wanted to see it and it failed. */
static void show_all(int fd)
{
	char piece[4096];
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return;
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		if (fd_write_all(STDERR_FILENO, piece, (size_t) n) < 0)
			return;
}

static int write_id(const char *path, const char *id, struct err *e)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : fd_write_all(fd, id, strlen(id));

	return r < 0 ? err_sys(e, -r, "write the image ID file '%s'", path) : 0;
}

static int build_run(struct cli *c, const void *options, struct option_args args)
{
	const struct build_options *o = options;
	struct call call = { .c = c, .o = o };
	struct svc_build q = { .out = { STDOUT_FILENO, STDERR_FILENO } };
	auto_fd int kept = o->quiet ? memfd_create("output", MFD_CLOEXEC) : FD_NONE;
	char id[DIGEST_TEXT_MAX];
	struct err e;
	int r = request(c, o, args.argv[0], &call, &q, &e);

	if (r < 0)
		return cli_fail(c, &e);
	if (o->quiet && kept >= 0)
		q.out[0] = q.out[1] = kept;
	if (svc_build(&c->svc, &q, id, &e) < 0) {
		if (kept >= 0)
			show_all(kept);
		return cli_fail(c, &e);
	}
	if (o->iidfile && write_id(o->iidfile, id, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", id);
	return CLI_OK;
}

const struct verb verb_build = {
	.usage = "[OPTIONS] PATH | -",
	.summary = "Build an image from a Containerfile",
	.about =
		"PATH is the context: the directory that COPY and ADD take files from, less what "
		".containerignore or .dockerignore says. '-' reads a Containerfile from stdin, "
		"without a context.\n\n"
		"All instructions of Dockerfiles are known; FROM names an image, a stage before, "
		"or "
		"scratch. A step that an earlier build has done with the same words, upon the same "
		"image, with the same files, is not done again (builder prune forgets them). RUN "
		"is "
		"a workload: --isolation says behind which wall, so that what is not trusted can "
		"be "
		"built in a sandbox or a microvm. With SOURCE_DATE_EPOCH in the environment all "
		"times are that one, and the same files give the same image.\n\n"
		"Unsupported, and refused: ADD of what is elsewhere and of archives that are "
		"packed "
		"by xz or bzip2, RUN --mount=type=bind of a stage or an image, other platforms.",
	.example = "atoll build -t app .\n"
		   "atoll build -t app --target test --build-arg VERSION=3 -f ci/Containerfile .\n"
		   "atoll build --isolation=microvm -t untrusted ~/Downloads/project",
	.options = build_table,
	.options_n = ARRAY_SIZE(build_table),
	.size = sizeof(struct build_options),
	.defaults = &build_defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_DIR,
	.run = build_run,
};

/* ---- builder prune ---- */

struct builder_options {
	bool force;
};

static const struct option builder_table[] = {
	{ OPTION_ITEM_(struct builder_options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Do not prompt for confirmation" },
};

static int builder_run(struct cli *c, const void *options, struct option_args args)
{
	const struct builder_options *o = options;
	struct svc_image_removed gone;
	struct err e;

	(void) args;
	if (!o->force &&
	    !cli_confirm(c, "WARNING! This will remove what builds keep for later builds."))
		return CLI_OK;
	if (svc_build_prune(&c->svc, &gone, &e) < 0)
		return cli_fail(c, &e);
	for (size_t i = 0; i < gone.n; i++)
		buf_addf(&c->out, "%s\n", gone.items[i].what);
	buf_addf(&c->out, "%sTotal reclaimed space: %s\n", gone.n ? "\n" : "",
		 human_size4(gone.reclaimed).z);
	svc_image_removed_fini(&gone);
	return CLI_OK;
}

const struct verb verb_builder_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove what builds keep for later builds",
	.options = builder_table,
	.options_n = ARRAY_SIZE(builder_table),
	.size = sizeof(struct builder_options),
	.run = builder_run,
};

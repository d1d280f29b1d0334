/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that bring images in and out: load, save, import, bootstrap. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/human.h"
#include "cli/image.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define PROGRESS_EVERY (100 * NSEC_PER_MSEC)

static void told(void *user, const char *what, uint64_t done, uint64_t total)
{
	struct image_progress *p = user;
	nsec_t now;

	if (!p->tty)
		return;
	now = clock_mono();
	if (p->open && now - p->shown < PROGRESS_EVERY)
		return;
	p->shown = now;
	p->open = true;
	if (total)
		(void) dprintf(STDERR_FILENO, "\r\033[K%.60s  %s / %s", what, human_size4(done).z,
			       human_size4(total).z);
	else
		(void) dprintf(STDERR_FILENO, "\r\033[K%.60s  %s", what, human_size4(done).z);
}

void image_progress_init(struct image_progress *p)
{
	*p = (struct image_progress){ .tty = cli_is_tty(STDERR_FILENO) };
	p->progress = (struct svc_progress){ .told = told, .user = p };
}

void image_progress_end(struct image_progress *p)
{
	if (p->open)
		(void) dprintf(STDERR_FILENO, "\r\033[K");
	p->open = false;
}

/* ---- load ---- */

struct load_options {
	const char *input;
	bool quiet;
};

static const struct option load_table[] = {
	{ OPTION_ITEM_(struct load_options, input, OPTION_STRING, "input", 'i'), .value = "string",
	  .complete = OPTION_COMPLETE_FILE,
	  .help = "Read from a tar archive file or an OCI layout's directory, instead of STDIN" },
	{ OPTION_ITEM_(struct load_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Suppress the load output" },
};

static int load_run(struct cli *c, const void *options, struct option_args args)
{
	const struct load_options *o = options;
	struct svc_image_load req = { .path = o->input, .fd = STDIN_FILENO };
	struct svc_image_result made;
	struct image_progress p;
	struct err e;
	int r;

	if (!req.path && args.n)
		req.path = args.argv[0];
	if (req.path && streq(req.path, "-"))
		req.path = NULL;
	if (!req.path && cli_is_tty(STDIN_FILENO))
		return cli_failf(c,
				 "requested load from stdin, but stdin is a terminal: use -i FILE");
	image_progress_init(&p);
	if (!o->quiet)
		req.progress = &p.progress;
	r = svc_image_load(&c->svc, &req, &made, &e);
	image_progress_end(&p);
	if (r < 0)
		return cli_fail(c, &e);
	for (size_t i = 0; i < made.n; i++) {
		for (size_t k = 0; k < made.items[i].names_n; k++)
			buf_addf(&c->out, "Loaded image: %s\n", made.items[i].names[k]);
		if (!made.items[i].names_n)
			buf_addf(&c->out, "Loaded image ID: %s\n", made.items[i].id);
	}
	svc_image_result_fini(&made);
	return CLI_OK;
}

const struct verb verb_load = {
	.usage = "[OPTIONS] [FILE|DIRECTORY]",
	.summary = "Load an image from a tar archive, an OCI layout or STDIN",
	.about =
		"Reads docker's archives and OCI layouts: plain, gzip or zstd; a file, a directory "
		"or a stream. Layers are unpacked by a confined process.",
	.example = "atoll load -i image.tar\ndocker save nginx | atoll load",
	.options = load_table,
	.options_n = ARRAY_SIZE(load_table),
	.size = sizeof(struct load_options),
	.args_max = 1,
	.complete = OPTION_COMPLETE_FILE,
	.run = load_run,
};

/* ---- save ---- */

struct save_options {
	const char *output, *format;
};

static const struct option save_table[] = {
	{ OPTION_ITEM_(struct save_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format: docker, oci, or erofs: one image's files as a disk "
		  "(default docker)",
	  .words = "docker oci erofs" },
	{ OPTION_ITEM_(struct save_options, output, OPTION_STRING, "output", 'o'),
	  .value = "string", .complete = OPTION_COMPLETE_FILE,
	  .help = "Write to a file, instead of STDOUT" },
};

static int save_run(struct cli *c, const void *options, struct option_args args)
{
	const struct save_options *o = options;
	struct svc_image_save req = { .images = args.argv, .images_n = args.n };
	auto_output struct output out = OUTPUT_INIT;
	struct err e;
	int r;

	if (o->format && streq(o->format, "oci"))
		req.format = SVC_IMAGE_OCI;
	else if (o->format && streq(o->format, "erofs"))
		req.format = SVC_IMAGE_EROFS;
	else if (o->format && !streq(o->format, "docker"))
		return cli_failf(c, "--format '%.60s': docker, oci or erofs", o->format);
	r = output_open(&out, o->output, &e);
	req.out_fd = out.fd;
	if (r == 0)
		r = svc_image_save(&c->svc, &req, &e);
	if (r == 0)
		r = output_commit(&out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_save = {
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
	.options = save_table,
	.options_n = ARRAY_SIZE(save_table),
	.size = sizeof(struct save_options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = save_run,
};

/* ---- import ---- */

struct import_options {
	struct option_list change;
	const char *message, *platform;
};

static const struct option import_table[] = {
	{ OPTION_ITEM_(struct import_options, change, OPTION_LIST, "change", 'c'), .value = "list",
	  .help = "Apply Dockerfile instruction to the created image",
	  .words = "CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR" },
	{ OPTION_ITEM_(struct import_options, message, OPTION_STRING, "message", 'm'),
	  .value = "string", .help = "Set commit message for imported image" },
	{ OPTION_ITEM_(struct import_options, platform, OPTION_STRING, "platform", 0),
	  .value = "string", .help = "Set platform of the image (os/arch[/variant])" },
};

static int print_made(struct cli *c, struct svc_image_result *made)
{
	for (size_t i = 0; i < made->n; i++)
		buf_addf(&c->out, "%s\n", made->items[i].id);
	svc_image_result_fini(made);
	return CLI_OK;
}

static int import_run(struct cli *c, const void *options, struct option_args args)
{
	const struct import_options *o = options;
	struct svc_image_import req = {
		.path = streq(args.argv[0], "-") ? NULL : args.argv[0],
		.fd = STDIN_FILENO,
		.name = args.n > 1 ? args.argv[1] : NULL,
		.message = o->message,
		.changes = o->change.items,
		.changes_n = o->change.n,
		.platform = o->platform,
	};
	struct svc_image_result made;
	struct err e;
	int r;

	if (req.path &&
	    (str_starts(str_of(req.path), "http://") || str_starts(str_of(req.path), "https://")))
		return cli_failf(c,
				 "import of an address is unsupported: fetch it first, or pipe it "
				 "into 'atoll import -'");
	r = svc_image_import(&c->svc, &req, &made, &e);
	return r < 0 ? cli_fail(c, &e) : print_made(c, &made);
}

const struct verb verb_import = {
	.usage = "[OPTIONS] FILE|- [REPOSITORY[:TAG]]",
	.summary = "Import the contents of a tar archive to create a filesystem image",
	.example = "tar -C rootfs -c . | atoll import -c 'CMD [\"sh\"]' - my/system:1",
	.options = import_table,
	.options_n = ARRAY_SIZE(import_table),
	.size = sizeof(struct import_options),
	.args_min = 1,
	.args_max = 2,
	.complete = OPTION_COMPLETE_FILE,
	.run = import_run,
};

/* ---- bootstrap ---- */

struct bootstrap_options {
	struct option_list change, include;
	const char *tag, *mirror, *variant;
	bool quiet;
};

static const struct option bootstrap_table[] = {
	{ OPTION_ITEM_(struct bootstrap_options, change, OPTION_LIST, "change", 'c'),
	  .value = "list", .help = "Apply Dockerfile instruction to the created image",
	  .words = "CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR" },
	{ OPTION_ITEM_(struct bootstrap_options, include, OPTION_LIST, "include", 0),
	  .value = "list", .help = "Further packages, separated by commas" },
	{ OPTION_ITEM_(struct bootstrap_options, mirror, OPTION_STRING, "mirror", 0),
	  .value = "url", .help = "Where packages come from (default: as the host's apt)" },
	{ OPTION_ITEM_(struct bootstrap_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Show what is done only when it fails" },
	{ OPTION_ITEM_(struct bootstrap_options, tag, OPTION_STRING, "tag", 't'), .value = "name",
	  .help = "Name of the image (default: the base and the packages)" },
	{ OPTION_ITEM_(struct bootstrap_options, variant, OPTION_STRING, "variant", 0),
	  .value = "string", .help = "mmdebstrap's variant (default minbase)",
	  .words = "minbase essential apt custom" },
};

static int bootstrap_run(struct cli *c, const void *options, struct option_args args)
{
	const struct bootstrap_options *o = options;
	auto_buf struct buf include = BUF_INIT(64u << 10);
	struct svc_image_bootstrap req = {
		.base = args.argv[0],
		.name = o->tag,
		.mirror = o->mirror,
		.variant = o->variant,
		.changes = o->change.items,
		.changes_n = o->change.n,
		.log_fd = o->quiet ? FD_NONE : STDERR_FILENO,
	};
	struct svc_image_result made;
	struct err e;
	int r;

	for (size_t i = 0; i < o->include.n; i++)
		buf_addf(&include, "%s%s", i ? "," : "", o->include.items[i]);
	if (!buf_ok(&include))
		return cli_failf(c, "--include: too many packages");
	req.include = include.n ? include.p : NULL;
	r = svc_image_bootstrap(&c->svc, &req, &made, &e);
	return r < 0 ? cli_fail(c, &e) : print_made(c, &made);
}

const struct verb verb_image_bootstrap = {
	.usage = "[OPTIONS] DISTRIBUTION:SUITE",
	.summary = "Build an image from Debian's packages",
	.about = "Builds a root file system with mmdebstrap and makes an image of it. The same "
		 "packages on the same day give the same digest.",
	.example = "atoll image bootstrap debian:bookworm\n"
		   "atoll image bootstrap debian:bookworm --include nginx,curl -t web",
	.options = bootstrap_table,
	.options_n = ARRAY_SIZE(bootstrap_table),
	.size = sizeof(struct bootstrap_options),
	.args_min = 1,
	.args_max = 1,
	.run = bootstrap_run,
};

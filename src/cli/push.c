/* SPDX-License-Identifier: Apache-2.0 */
/* push: an image to the registry that its name begins with. */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/transfer.h"
#include "cli/verbs.h"
#include "fmt/json.h"
#include "svc/image_pull.h"

struct push_options {
	const char *progress;
	bool quiet, tls_verify;
};

static const struct push_options push_defaults = { .tls_verify = true };

static const struct option push_table[] = {
	{ OPTION_ITEM_(struct push_options, progress, OPTION_STRING, "progress", 0),
	  .value = "string", .words = "auto plain json",
	  .help = "How what goes on is told: auto (bars on a terminal), plain, or json, a line "
		  "each" },
	{ OPTION_ITEM_(struct push_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Print the image's name alone" },
	{ OPTION_ITEM_(struct push_options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Ask for TLS and a certificate that can be verified (default true)" },
};

static void show_end(struct cli *c, const struct svc_image_pushed *pushed, bool as_json)
{
	struct json_writer w = JSON_WRITER(&c->out);
	char text[DIGEST_TEXT_MAX];

	digest_text(&pushed->digest, text);
	if (!as_json) {
		buf_addf(&c->out, "%s: digest: %s size: %llu\n", strrchr(pushed->name, ':') + 1,
			 text, (unsigned long long) pushed->size);
		return;
	}
	json_w_object(&w, NULL);
	json_w_string(&w, "status", "Pushed image");
	json_w_string(&w, "id", pushed->name);
	json_w_string(&w, "digest", text);
	json_w_u64(&w, "size", pushed->size);
	json_w_end(&w);
	buf_addc(&c->out, '\n');
}

static int push_run(struct cli *c, const void *options, struct option_args args)
{
	const struct push_options *o = options;
	struct svc_image_push req = { .image = args.argv[0], .no_verify = !o->tls_verify };
	struct svc_image_pushed pushed;
	struct transfer view;
	struct err e;

	if (transfer_init(&view, STDOUT_FILENO, o->quiet ? "none" : o->progress, true, &e) < 0)
		return cli_fail(c, &e);
	if (view.how != TRANSFER_NONE) {
		req.told = transfer_told;
		req.user = &view;
	}
	if (svc_image_push(&c->svc, &req, &pushed, &e) < 0)
		return cli_fail(c, &e);
	if (o->quiet)
		buf_addf(&c->out, "%s\n", pushed.name);
	else
		show_end(c, &pushed, view.how == TRANSFER_JSON);
	return CLI_OK;
}

const struct verb verb_push = {
	.usage = "[OPTIONS] NAME[:TAG]",
	.summary = "Upload an image to a registry",
	.about = "The registry is the name's, docker.io where it has none: 'atoll tag' gives an "
		 "image another name. Layers that are there already are not sent; those that "
		 "another repository of the registry has, as they came from there or were sent "
		 "there, are mounted from it; the others are sent, three at a time, packed as they "
		 "came; what was made here is compressed at its first push.",
	.example = "atoll tag app registry.example.com/team/app:1\n"
		   "atoll push registry.example.com/team/app:1",
	.options = push_table,
	.options_n = ARRAY_SIZE(push_table),
	.size = sizeof(struct push_options),
	.defaults = &push_defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = push_run,
};

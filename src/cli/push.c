/* SPDX-License-Identifier: Apache-2.0 */
/* push: an image to the registry that its name begins with. */
#include <string.h>

#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/image_pull.h"

struct push_options {
	bool quiet, tls_verify;
};

static const struct push_options push_defaults = { .tls_verify = true };

static const struct option push_table[] = {
	{ OPTION_ITEM_(struct push_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Print the image's name alone" },
	{ OPTION_ITEM_(struct push_options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Ask for TLS and a certificate that can be verified (default true)" },
};

static void told(void *user, const struct svc_push_step *step)
{
	struct cli *c = user;

	if (step->name)
		buf_addf(&c->out, "Pushing %s\n", step->name);
	else
		buf_addf(&c->out, "%s: %s\n", step->layer,
			 step->existed ? "Layer already exists" : "Pushed");
	(void) cli_flush(c); /* it is told as it goes; what became of it is remembered */
}

static int push_run(struct cli *c, const void *options, struct option_args args)
{
	const struct push_options *o = options;
	struct svc_image_push req = { .image = args.argv[0],
				      .no_verify = !o->tls_verify,
				      .told = o->quiet ? NULL : told,
				      .user = c };
	struct svc_image_pushed pushed;
	char text[DIGEST_TEXT_MAX];
	struct err e;

	if (svc_image_push(&c->svc, &req, &pushed, &e) < 0)
		return cli_fail(c, &e);
	digest_text(&pushed.digest, text);
	if (o->quiet)
		buf_addf(&c->out, "%s\n", pushed.name);
	else
		buf_addf(&c->out, "%s: digest: %s size: %llu\n", strrchr(pushed.name, ':') + 1,
			 text, (unsigned long long) pushed.size);
	return CLI_OK;
}

const struct verb verb_push = {
	.usage = "[OPTIONS] NAME[:TAG]",
	.summary = "Upload an image to a registry",
	.about = "The registry is the name's, docker.io where it has none: 'atoll tag' gives an "
		 "image another name. Layers that are there already are not sent; the others are "
		 "sent as they are kept here, packed as they came.",
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

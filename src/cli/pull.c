/* SPDX-License-Identifier: Apache-2.0 */
/* pull, and what run and create do of it. */
#include "cli/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "cli/transfer.h"
#include "cli/verbs.h"
#include "fmt/json.h"
#include "fmt/reference.h"
#include "svc/image.h"
#include "svc/image_pull.h"

static void show_end(const struct transfer *v, const char *name, const char *digest, bool existed)
{
	auto_buf struct buf text = BUF_INIT(4096);
	struct json_writer w = JSON_WRITER(&text);
	const char *status = existed ? "Image is up to date for" : "Downloaded newer image for";

	if (v->how == TRANSFER_JSON) {
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
	(void) fd_write_all(v->fd, text.p, text.n); /* nobody looks: that is no failure */
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
	struct transfer view;
	char *name = arena_alloc(&c->arena, REFERENCE_MAX), text[DIGEST_TEXT_MAX];
	int r = name ? transfer_init(&view, q->fd, q->quiet ? "none" : q->progress, false, e)
		     : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	if (r == 0 && view.how != TRANSFER_NONE) {
		req.told = transfer_told;
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
	if (view.how != TRANSFER_NONE)
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
		 "Proxies are those of http_proxy, https_proxy and no_proxy.\n\n"
		 "Which images may be had, and whose signatures they must have, is said by "
		 "containers-policy.json(5): $ATOLL_POLICY, ~/.config/containers/policy.json or "
		 "/etc/containers/policy.json, the first that is there; without one anything is "
		 "accepted. Of its transports 'docker' counts, for whatever fetches from a "
		 "registry. Signatures that sigstoreSigned asks for are looked for beside the "
		 "image, under the tag sha256-DIGEST.sig, as cosign, podman and skopeo put them "
		 "there; one of the index is as good as one of the manifest that was chosen "
		 "from it. signedBy, fulcio and rekor are not supported: an image that such a "
		 "rule is for is refused.",
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

/* SPDX-License-Identifier: Apache-2.0 */
/* --from-snapshot of `run` and `create`: what a new workload is beside what the snapshot says. */
#include <errno.h>

#include "base/auto.h"
#include "cli/create_options.h"
#include "svc/snapshot.h"

static const char may[] = "--name, --hostname, --label, --label-file, --rm, --restart, "
			  "--stop-signal, --stop-timeout, --log-driver, --log-opt, --cidfile, "
			  "--detach, --attach, --interactive, --tty, --detach-keys and --sig-proxy";

/* The given ones aside, nothing may be said: it would not be so. */
static int check_others(const struct create_options *o, struct option_args args, struct err *e)
{
	const struct create_options *d = &create_option_defaults;
	struct create_options rest;

	if (args.n)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"--from-snapshot: image and command are the snapshot's; '%.60s' has no "
			"place",
			args.argv[0]);
	memcpy(&rest, o, sizeof(rest));
	rest.name = rest.hostname = rest.restart = rest.stop_signal = rest.log_driver = NULL;
	rest.cidfile = rest.detach_keys = rest.from_snapshot = rest.pull = NULL;
	rest.label = rest.label_file = rest.log_opt = rest.attach = (struct option_list){};
	rest.rm = rest.interactive = rest.tty = rest.detach = rest.quiet = rest.trust = false;
	rest.stop_timeout_set = false;
	rest.stop_timeout = d->stop_timeout;
	rest.sig_proxy = d->sig_proxy;
	/* Both began as copies of the defaults, holes and all. */
	if (memcmp(&rest, d, sizeof(rest)) != 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--from-snapshot: all else is the snapshot's; with it go %s", may);
	return 0;
}

int create_check_args(struct cli *c, const struct verb *verb, const struct create_options *o,
		      struct option_args args)
{
	struct verb needs = *verb;
	struct err e;

	if (o->from_snapshot || args.n)
		return CLI_OK;
	needs.args_min = 1;
	(void) option_check_args(&needs, c->path, args, &e);
	(void) cli_usage(c, &e);
	cli_warn(c, "usage: %s %s", c->path, verb->usage);
	return CLI_FAILED;
}

static int take_streams(const struct create_options *o, const struct workload_config *w,
			struct err *e)
{
	if (o->tty && !w->tty)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--tty: the workload of snapshot '%s' has no terminal",
			       o->from_snapshot);
	if (o->interactive && !w->open_stdin)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--interactive: the workload of snapshot '%s' has no open stdin",
			       o->from_snapshot);
	return 0;
}

/* Its own over the snapshot's. */
static int merge_labels(struct cli *c, const struct workload_config *mine,
			struct workload_config *w, struct err *e)
{
	struct json_pair *all = arena_array(&c->arena, w->labels_n + mine->labels_n + 1,
					    sizeof(*all));
	size_t n = w->labels_n;

	if (!all)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (n)
		memcpy(all, w->labels, n * sizeof(*all));
	for (size_t i = 0; i < mine->labels_n; i++) {
		size_t at = 0;

		while (at < n && !streq(all[at].key, mine->labels[i].key))
			at++;
		all[at] = mine->labels[i];
		n += at == n;
	}
	w->labels = all;
	w->labels_n = n;
	return 0;
}

int create_config_from(struct cli *c, const struct create_options *o, struct option_args args,
		       struct workload_config *ret, struct err *e)
{
	struct workload_config w, mine;
	struct create_options own;
	int r = check_others(o, args, e);

	r = r < 0 ? r : snapshot_config(&c->svc, o->from_snapshot, &c->arena, &w, e);
	r = r < 0 ? r : take_streams(o, &w, e);
	if (r < 0)
		return r;
	/* The languages of the flags, by way of a workload of that image that is never made. */
	own = *o;
	own.interactive = w.open_stdin;
	own.tty = w.tty;
	r = create_config(c, &own, (struct option_args){ .argv = &w.image, .n = 1 }, &mine, e);
	if (r < 0)
		return r;
	w.name = o->name;
	w.hostname = o->hostname;
	w.auto_remove = o->rm;
	if (o->restart) {
		w.restart = mine.restart;
		w.restart_max = mine.restart_max;
	}
	if (o->rm && w.restart != RESTART_NO)
		return err_set(e, ERR_INVALID, EINVAL,
			       "conflicting options: --rm, and the snapshot's restart policy (give "
			       "--restart no)");
	if (o->stop_signal)
		w.stop_signal = o->stop_signal;
	if (o->stop_timeout_set)
		w.stop_timeout_s = mine.stop_timeout_s;
	if (o->log_driver)
		w.log_driver = o->log_driver;
	if (o->log_opt.n || o->log_driver) {
		w.log_options = mine.log_options;
		w.log_options_n = mine.log_options_n;
	}
	r = merge_labels(c, &mine, &w, e);
	if (r == 0)
		*ret = w;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: everything about workloads, images, volumes and networks. */
#include "cli/inspect.h"

#include <errno.h>

#include "base/auto.h"
#include "cli/format.h"
#include "cli/image.h"
#include "cli/verbs.h"
#include "fmt/json.h"
#include "svc/kernel.h"
#include "svc/network.h"
#include "svc/volume.h"
#include "svc/workload.h"

#define OBJECT_MAX (16u << 20) /* bytes of one object's JSON */

static const struct option table[] = {
	{ OPTION_ITEM_(struct inspect_options, format, OPTION_STRING, "format", 'f'),
	  .value = "string", .help = "Format output: json or a Go template", .words = "json" },
	{ OPTION_ITEM_(struct inspect_options, size, OPTION_BOOL, "size", 's'),
	  .help = "Display total file sizes if the type is container" },
	{ OPTION_ITEM_(struct inspect_options, type, OPTION_STRING, "type", 0), .value = "string",
	  .help = "Return JSON for specified type", .words = "container image volume network" },
};

int inspect_container(struct cli *c, const char *ref, const struct inspect_options *o,
		      struct buf *json, struct err *e)
{
	return workload_inspect(&c->svc, ref, o->size, json, e);
}

int inspect_image(struct cli *c, const char *ref, const struct inspect_options *o, struct buf *json,
		  struct err *e)
{
	struct json_writer w = JSON_WRITER(json);

	(void) o;
	return svc_image_inspect(&c->svc, ref, &w, e);
}

int inspect_volume(struct cli *c, const char *ref, const struct inspect_options *o,
		   struct buf *json, struct err *e)
{
	(void) o;
	return volume_inspect(&c->svc, ref, json, e);
}

int inspect_network(struct cli *c, const char *ref, const struct inspect_options *o,
		    struct buf *json, struct err *e)
{
	(void) o;
	return network_inspect(&c->svc, ref, json, e);
}

static int inspect_kernel(struct cli *c, const char *ref, const struct inspect_options *o,
			  struct buf *json, struct err *e)
{
	(void) o;
	return svc_kernel_inspect(&c->svc, ref, json, e);
}

/* The first of the functions that knows the name. */
static int look(struct cli *c, const char *ref, const struct inspect_options *o,
		inspect_look *const *looks, size_t looks_n, const char *kind, struct buf *json,
		struct err *e)
{
	for (size_t i = 0; i < looks_n; i++) {
		buf_clear(json);
		if (looks[i](c, ref, o, json, e) == 0)
			return buf_ok(json) ? 0
					    : err_set(e, ERR_EXHAUSTED, ENOMEM,
						      "inspect '%.100s': too large", ref);
		if (e->kind != ERR_NOT_FOUND)
			return -1;
	}
	return err_set(e, ERR_NOT_FOUND, ENOENT, "no such %s: %.100s", kind, ref);
}

int inspect_run(struct cli *c, const struct inspect_options *o, struct option_args args,
		inspect_look *const *looks, size_t looks_n, const char *kind)
{
	struct json_writer w = JSON_WRITER_PRETTY(&c->out, 4);
	auto_buf struct buf errors = BUF_INIT(1u << 20);
	bool templated = o->format && !streq(o->format, "json");
	auto_buf struct buf json = BUF_INIT(OBJECT_MAX);
	auto_format struct format f = { 0 };
	int status = CLI_OK;
	struct err e;

	if (templated && format_init(&f, &c->arena, o->format, "", NULL, 0, &e) < 0)
		return cli_fail(c, &e);
	w.pretty = !o->format; /* --format json: in one line */
	if (!templated)
		json_w_array(&w, NULL);
	for (size_t i = 0; i < args.n; i++) {
		const struct json *object;
		int r = look(c, args.argv[i], o, looks, looks_n, kind, &json, &e);

		if (r == 0)
			r = json_parse(&c->arena, (struct str){ buf_z(&json), json.n }, &object,
				       &e);
		if (r == 0 && templated)
			r = format_row(&f, object, NULL, &c->out, &e);
		else if (r == 0)
			json_w_value(&w, NULL, object);
		if (r < 0) {
			/* Told at the end: the array must not be torn by a message. */
			buf_addf(&errors, "%s%s", errors.n ? "\natoll: " : "", e.msg);
			status = CLI_FAILED;
		}
	}
	if (!templated) {
		json_w_end(&w);
		buf_addc(&c->out, '\n');
	}
	if (errors.n)
		cli_warn(c, "%s", errors.p);
	return status;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const all[] = { inspect_container, inspect_image, inspect_volume,
					     inspect_network };
	static const char *const types[] = { "container", "image", "volume", "network" };
	const struct inspect_options *o = options;

	if (!o->type)
		return inspect_run(c, o, args, all, ARRAY_SIZE(all), "object");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (streq(o->type, types[i]))
			return inspect_run(c, o, args, &all[i], 1, types[i]);
	return cli_failf(c,
			 "\"%.60s\" is not a valid value for --type: container, image, volume or "
			 "network",
			 o->type);
}

static int container_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { inspect_container };

	return inspect_run(c, options, args, looks, 1, "container");
}

static int image_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { inspect_image };

	return inspect_run(c, options, args, looks, 1, "image");
}

static int volume_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { inspect_volume };

	return inspect_run(c, options, args, looks, 1, "volume");
}

static int network_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { inspect_network };

	return inspect_run(c, options, args, looks, 1, "network");
}

static int kernel_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { inspect_kernel };

	return inspect_run(c, options, args, looks, 1, "kernel");
}

#define INSPECT(what, NAME, SUMMARY, N, COMPLETE, RUN)                                             \
	const struct verb what = { .usage = "[OPTIONS] " NAME " [" NAME "...]",                    \
				   .summary = SUMMARY,                                             \
				   .options = table,                                               \
				   .options_n = N,                                                 \
				   .size = sizeof(struct inspect_options),                         \
				   .args_min = 1,                                                  \
				   .args_max = VERB_ARGS_ANY,                                      \
				   .complete = COMPLETE,                                           \
				   .run = RUN }

INSPECT(verb_inspect, "NAME|ID",
	"Return low-level information on workloads, images, volumes and networks", 3,
	OPTION_COMPLETE_CONTAINER, run);
INSPECT(verb_container_inspect, "CONTAINER", "Display detailed information on workloads", 2,
	OPTION_COMPLETE_CONTAINER, container_run);
INSPECT(verb_image_inspect, "IMAGE", "Display detailed information on images", 1,
	OPTION_COMPLETE_IMAGE, image_run);
INSPECT(verb_volume_inspect, "VOLUME", "Display detailed information on volumes", 1,
	OPTION_COMPLETE_VOLUME, volume_run);
INSPECT(verb_network_inspect, "NETWORK", "Display detailed information on networks", 1,
	OPTION_COMPLETE_NETWORK, network_run);
INSPECT(verb_kernel_inspect, "KERNEL", "Display detailed information on kernels of machines", 1,
	OPTION_COMPLETE_KERNEL, kernel_run);

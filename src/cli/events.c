/* SPDX-License-Identifier: Apache-2.0 */
/* events: what happens to workloads, images and volumes, as it happens. */
#include "svc/events.h"
#include "base/auto.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/times.h"
#include "cli/verbs.h"

struct options {
	const char *format, *since, *until;
	struct option_list filter;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Filter output based on conditions provided",
	  .words = "type= event= container= image= volume= label=" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: json or a Go template", .words = "json" },
	{ OPTION_ITEM_(struct options, since, OPTION_STRING, "since", 0), .value = "string",
	  .help = "Show all events created since timestamp" },
	{ OPTION_ITEM_(struct options, until, OPTION_STRING, "until", 0), .value = "string",
	  .help = "Stream events until this timestamp" },
};

static void add_number(struct arena *a, struct json *row, const char *key, int64_t v)
{
	const char *text = arena_printf(a, "%lld", (long long) v);

	row_value(a, row, key, (struct json){ .type = JSON_NUMBER, .text = str_of(text) });
}

/* Docker's message, with its older names (status, id, from) beside the newer ones. */
static struct json *make_row(struct arena *a, const struct event *ev)
{
	const struct json *attributes = row_labels(a, ev->attributes);
	struct json *row = row_new(a), *actor = row_new(a);
	const char *image = json_string(json_get(attributes, "image"));

	row_text(a, actor, "ID", ev->id);
	row_value(a, actor, "Attributes", *attributes);
	if (streq(ev->type, "container") || streq(ev->type, "image")) {
		row_text(a, row, "status", ev->action);
		row_text(a, row, "id", ev->id);
	}
	if (image)
		row_text(a, row, "from", image);
	row_text(a, row, "Type", ev->type);
	row_text(a, row, "Action", ev->action);
	row_value(a, row, "Actor", actor ? *actor : (struct json){ 0 });
	row_text(a, row, "scope", "local");
	add_number(a, row, "time", ev->at / NSEC_PER_SEC);
	add_number(a, row, "timeNano", ev->at);
	return row;
}

/* What templates call the lower-case members. */
static struct json *make_hidden(struct arena *a, const struct event *ev)
{
	struct json *hidden = row_new(a);

	row_text(a, hidden, "Status", ev->action);
	row_text(a, hidden, "ID", ev->id);
	row_text(a, hidden, "Scope", "local");
	add_number(a, hidden, "Time", ev->at / NSEC_PER_SEC);
	add_number(a, hidden, "TimeNano", ev->at);
	return hidden;
}

/* "2026-11-21T06:01:04.902359527Z container start ID (image=x, name=y)" */
static void print_line(struct arena *a, const struct event *ev, struct buf *out)
{
	const struct json *attributes = row_labels(a, ev->attributes);
	char at[CLOCK_RFC3339_MAX];

	clock_rfc3339(ev->at, at);
	buf_addf(out, "%s %s %s %s", at, ev->type, ev->action, ev->id);
	for (size_t i = 0; attributes->type == JSON_OBJECT && i < attributes->members_n; i++) {
		const char *value = json_string(&attributes->members[i].value);

		buf_addf(out, "%s%s=%s", i ? ", " : " (", attributes->members[i].key.p,
			 value ? value : "");
	}
	buf_adds(out, attributes->members_n ? ")\n" : "\n");
}

static int print(struct cli *c, const struct options *o, const struct event *ev, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_format struct format f = { 0 };
	int r = 0;

	if (!o->format) {
		print_line(&a, ev, &c->out);
	} else {
		r = format_init(&f, &a, o->format, "json", NULL, 0, e);
		if (r == 0)
			r = format_row(&f, make_row(&a, ev), make_hidden(&a, ev), &c->out, e);
	}
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct events_options what = { .filters = o->filter.items, .filters_n = o->filter.n };
	nsec_t now = clock_wall();
	struct event_watch w;
	const struct event *ev;
	struct err e;
	int r;

	(void) args;
	r = time_parse("--since", o->since, now, &what.since, &e);
	if (r == 0)
		r = time_parse("--until", o->until, now, &what.until, &e);
	if (r == 0)
		r = event_watch_open(&w, &c->svc, &what, &e);
	if (r < 0)
		return cli_fail(c, &e);
	while ((r = event_watch_next(&w, NSEC_NEVER, &ev, &e)) == 0 && ev) {
		r = print(c, o, ev, &e);
		if (r < 0 || cli_flush(c) < 0)
			break;
	}
	event_watch_close(&w);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_events = {
	.usage = "[OPTIONS]",
	.summary = "Get real time events",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.run = run,
};

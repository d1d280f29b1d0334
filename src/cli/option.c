/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/str.h"

const struct option *verb_option(const struct verb *v, size_t i)
{
	if (i < v->options_n)
		return &v->options[i];
	i -= v->options_n;
	return i < v->more_n ? &v->more[i] : NULL;
}

bool option_takes_value(const struct option *o)
{
	return o->kind != OPTION_BOOL && o->kind != OPTION_REFUSED_BOOL;
}

static const struct option *find_long(const struct verb *v, struct str name)
{
	const struct option *o;

	for (size_t i = 0; (o = verb_option(v, i)); i++)
		if (str_is(name, o->name))
			return o;
	return NULL;
}

static const struct option *find_letter(const struct verb *v, char letter)
{
	const struct option *o;

	for (size_t i = 0; (o = verb_option(v, i)); i++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int unknown_long(const struct verb *v, struct str name, struct err *e)
{
	const char *words[VERB_OPTIONS_MAX + 1];
	const struct option *o;
	const char *near;
	char given[128];
	size_t n = 0;

	(void) snprintf(given, sizeof(given), "%.*s", (int) (name.n < 100 ? name.n : 100), name.p);
	for (size_t i = 0; (o = verb_option(v, i)) && n < VERB_OPTIONS_MAX; i++)
		if (!o->hidden && o->kind != OPTION_REFUSED && o->kind != OPTION_REFUSED_BOOL)
			words[n++] = o->name;
	words[n++] = "help";
	near = str_nearest(given, words, n);
	if (near)
		return err_set(e, ERR_INVALID, EINVAL, "unknown flag: --%s; did you mean --%s?",
			       given, near);
	return err_set(e, ERR_INVALID, EINVAL, "unknown flag: --%s", given);
}

/* How the user wrote it, for messages: "-m" or "--memory". */
struct spelling {
	char text[80];
};

static struct spelling spell(const struct option *o)
{
	struct spelling s;

	if (o->letter)
		(void) snprintf(s.text, sizeof(s.text), "-%c, --%s", o->letter, o->name);
	else
		(void) snprintf(s.text, sizeof(s.text), "--%s", o->name);
	return s;
}

static int bad_value(const struct option *o, const char *value, const char *wanted, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "invalid argument \"%.100s\" for \"%s\": %s", value,
		       spell(o).text, wanted);
}

/* What Go's strconv.ParseBool takes, as docker does. */
static int parse_bool(const char *z, bool *ret_v)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (streq(z, yes[i])) {
			*ret_v = true;
			return 0;
		}
		if (streq(z, no[i])) {
			*ret_v = false;
			return 0;
		}
	}
	return -EINVAL;
}

static int store_list(struct arena *a, struct option_list *l, const char *value, struct err *e)
{
	const char **slot = arena_push(a, &l->items, &l->n, sizeof(*l->items));

	if (!slot)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many values on the command line");
	*slot = value;
	return 0;
}

static int store_number(const struct option *o, const char *value, int64_t *to, struct err *e)
{
	struct str s = str_of(value);
	uint64_t u;
	int64_t v = 0;
	int r = 0;

	switch (o->kind) {
	case OPTION_INT:
		r = num_parse_i64(s, o->min || o->max ? o->min : INT64_MIN,
				  o->min || o->max ? o->max : INT64_MAX, &v);
		if (r == -ERANGE) {
			char range[80];

			(void) snprintf(range, sizeof(range), "must be from %lld to %lld",
					(long long) o->min, (long long) o->max);
			return bad_value(o, value, range, e);
		}
		if (r < 0)
			return bad_value(o, value, "not a whole number", e);
		break;
	case OPTION_BYTES:
		if (o->min < 0 && streq(value, "-1")) {
			v = -1;
			break;
		}
		if (num_parse_bytes(s, &u) < 0 || u > INT64_MAX)
			return bad_value(o, value, "not a size; write 512m, 2g or bytes", e);
		v = (int64_t) u;
		break;
	case OPTION_DURATION:
		if (clock_parse_duration(s, &v) < 0 || v < 0)
			return bad_value(o, value, "not a duration; write 30s, 1m30s or 500ms", e);
		break;
	case OPTION_NANO:
		if (num_parse_fixed(s, 1000000000, INT64_MAX, &u) < 0)
			return bad_value(o, value, "not a number; write 2 or 0.5", e);
		v = (int64_t) u;
		break;
	case OPTION_BOOL:
	case OPTION_STRING:
	case OPTION_LIST:
	case OPTION_REFUSED:
	case OPTION_REFUSED_BOOL:
		assert(false);
	}
	*to = v;
	return 0;
}

static int store(const struct option *o, struct arena *a, const char *value, void *to,
		 struct err *e)
{
	void *member = (char *) to + o->offset;
	int r = 0;

	switch (o->kind) {
	case OPTION_BOOL:
		if (parse_bool(value, member) < 0)
			return bad_value(o, value, "must be true or false", e);
		break;
	case OPTION_STRING:
		*(const char **) member = value;
		break;
	case OPTION_LIST:
		r = store_list(a, member, value, e);
		break;
	case OPTION_INT:
	case OPTION_BYTES:
	case OPTION_DURATION:
	case OPTION_NANO:
		r = store_number(o, value, member, e);
		break;
	case OPTION_REFUSED:
	case OPTION_REFUSED_BOOL:
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "flag %s is unsupported: %s",
			       spell(o).text, o->why);
	}
	if (r == 0 && o->set_offset)
		*(bool *) ((char *) to + o->set_offset) = true;
	return r;
}

/* "--name", "--name=value", "--name value"; *i is the index of argv, moved past a value. */
static int parse_long(const struct verb *v, int argc, char *const *argv, int *i, struct arena *a,
		      void *to, bool *ret_help, struct err *e)
{
	struct str value, name = str_cut(str_of(argv[*i] + 2), '=', &value);
	const struct option *o = find_long(v, name);

	if (!o && str_is(name, "help")) {
		*ret_help = true;
		return 0;
	}
	if (!o)
		return unknown_long(v, name, e);
	if (value.p)
		return store(o, a, value.p, to, e);
	if (!option_takes_value(o))
		return store(o, a, "true", to, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, EINVAL, "flag needs an argument: --%s", o->name);
	return store(o, a, argv[++*i], to, e);
}

/* "-abc", "-nvalue", "-n=value", "-n value". */
static int parse_short(const struct verb *v, int argc, char *const *argv, int *i, struct arena *a,
		       void *to, bool *ret_help, struct err *e)
{
	const char *cluster = argv[*i];
	int r;

	for (const char *p = cluster + 1; *p; p++) {
		const struct option *o = find_letter(v, *p);

		if (!o && *p == 'h') {
			*ret_help = true;
			return 0;
		}
		if (!o)
			return err_set(e, ERR_INVALID, EINVAL,
				       "unknown shorthand flag: '%.1s' in %.60s", p, cluster);
		if (!option_takes_value(o)) {
			if (p[1] == '=')
				return store(o, a, p + 2, to, e);
			r = store(o, a, "true", to, e);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1])
			return store(o, a, p[1] == '=' ? p + 2 : p + 1, to, e);
		if (*i + 1 >= argc)
			return err_set(e, ERR_INVALID, EINVAL,
				       "flag needs an argument: '%c' in %.60s", *p, cluster);
		return store(o, a, argv[++*i], to, e);
	}
	return 0;
}

int option_parse(const struct verb *v, int argc, char *const *argv, struct arena *a, void *to,
		 enum option_outcome *ret_outcome, struct option_args *ret_args, struct err *e)
{
	const char **operands = arena_array(a, (size_t) argc + 1, sizeof(*operands));
	bool ended = false, help = false;
	size_t n = 0;

	if (!operands)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the command line is too long");
	for (int i = 0; i < argc && !help; i++) {
		const char *arg = argv[i];
		int r = 0;

		if (ended || arg[0] != '-' || !arg[1]) {
			operands[n++] = arg;
			ended = ended || v->operands_end;
			continue;
		}
		if (streq(arg, "--")) {
			ended = true;
			continue;
		}
		if (arg[1] == '-')
			r = parse_long(v, argc, argv, &i, a, to, &help, e);
		else
			r = parse_short(v, argc, argv, &i, a, to, &help, e);
		if (r < 0)
			return r;
	}
	*ret_outcome = help ? OPTION_HELP : OPTION_PARSED;
	*ret_args = (struct option_args){ .argv = operands, .n = n };
	return 0;
}

int option_check_args(const struct verb *v, const char *path, struct option_args args,
		      struct err *e)
{
	const char *plural;

	if (args.n >= v->args_min && args.n <= v->args_max)
		return 0;
	plural = (args.n < v->args_min ? v->args_min : v->args_max) == 1 ? "" : "s";
	if (v->args_max == 0)
		return err_set(e, ERR_INVALID, EINVAL, "\"%s\" accepts no arguments", path);
	if (v->args_min == v->args_max)
		return err_set(e, ERR_INVALID, EINVAL, "\"%s\" requires exactly %zu argument%s",
			       path, v->args_min, plural);
	if (args.n < v->args_min)
		return err_set(e, ERR_INVALID, EINVAL, "\"%s\" requires at least %zu argument%s",
			       path, v->args_min, plural);
	return err_set(e, ERR_INVALID, EINVAL, "\"%s\" takes at most %zu argument%s", path,
		       v->args_max, plural);
}

static bool among(const char *words, const char *word)
{
	struct str rest = str_of(words);

	while (rest.p) {
		if (str_is(str_cut(rest, ' ', &rest), word))
			return true;
	}
	return false;
}

const struct verb_entry *verb_find(const struct verb *group, const char *name)
{
	const struct verb_entry *en;

	for (en = group->verbs; en && en->name; en++)
		if (streq(en->name, name))
			return en;
	for (en = group->verbs; en && en->name; en++)
		if (en->aliases && among(en->aliases, name))
			return en;
	return NULL;
}

const char *verb_nearest(const struct verb *group, const char *name)
{
	const char *words[96];
	size_t n = 0;

	for (const struct verb_entry *en = group->verbs; en && en->name; en++)
		if (!en->hidden && n < ARRAY_SIZE(words))
			words[n++] = en->name;
	return str_nearest(name, words, n);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct option *const *) a)->name,
		      (*(const struct option *const *) b)->name);
}

size_t verb_options_sorted(const struct verb *v, const struct option **ret_sorted, size_t max)
{
	const struct option *o;
	size_t n = 0;

	for (size_t i = 0; (o = verb_option(v, i)) && n < max; i++)
		if (!o->hidden && o->kind != OPTION_REFUSED && o->kind != OPTION_REFUSED_BOOL)
			ret_sorted[n++] = o;
	if (n)
		qsort(ret_sorted, n, sizeof(*ret_sorted), by_name);
	return n;
}

static void help_options(const struct verb *v, struct buf *out)
{
	const struct option *sorted[VERB_OPTIONS_MAX];
	size_t n = verb_options_sorted(v, sorted, VERB_OPTIONS_MAX), width = 0;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		size_t w = strlen(sorted[i]->name);

		if (option_takes_value(sorted[i]))
			w += 1 + strlen(sorted[i]->value);
		width = w > width ? w : width;
	}
	buf_adds(out, "\nOptions:\n");
	for (size_t i = 0; i < n; i++) {
		const struct option *o = sorted[i];
		size_t start;

		if (o->letter)
			buf_addf(out, "  -%c, --", o->letter);
		else
			buf_adds(out, "      --");
		start = out->n;
		buf_adds(out, o->name);
		if (option_takes_value(o))
			buf_addf(out, " %s", o->value);
		buf_addf(out, "%*s%s\n", (int) (width + 3 - (out->n - start)), "", o->help);
	}
}

static void help_verbs(const struct verb *v, const char *title, bool groups, struct buf *out)
{
	size_t width = 0;
	bool any = false;

	for (const struct verb_entry *en = v->verbs; en && en->name; en++)
		if (!en->hidden && strlen(en->name) > width)
			width = strlen(en->name);
	for (const struct verb_entry *en = v->verbs; en && en->name; en++) {
		if (en->hidden || groups != (en->verb->verbs != NULL))
			continue;
		if (!any)
			buf_addf(out, "\n%s:\n", title);
		any = true;
		buf_addf(out, "  %-*s   %s\n", (int) width, en->name, en->verb->summary);
	}
}

void verb_help(const struct verb *v, const char *path, struct buf *out)
{
	buf_addf(out, "Usage:  %s %s\n\n%s\n", path, v->usage, v->about ? v->about : v->summary);
	help_verbs(v, "Management commands", true, out);
	help_verbs(v, "Commands", false, out);
	help_options(v, out);
	if (v->verbs)
		buf_addf(out, "\nRun '%s COMMAND --help' for more on a command.\n", path);
}

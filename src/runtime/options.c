/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include <errno.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/str.h"

#define OPTIONS_MAX 64

static const struct option *find(const struct option_table *t, struct str name, bool one_dash)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct option *o = &t->v[i];

		if (str_is(name, o->name) ||
		    (one_dash && name.n == 1 && o->letter && name.p[0] == o->letter))
			return o;
	}
	return NULL;
}

static int unknown(const struct option_table *t, const char *arg, struct str name, struct err *e)
{
	const char *words[OPTIONS_MAX];
	size_t n = 0;
	auto_free char *wrong = str_dup(name);

	for (size_t i = 0; i < t->n && n < OPTIONS_MAX; i++)
		words[n++] = t->v[i].name;
	const char *near = wrong ? str_nearest(wrong, words, n) : NULL;

	return err_set(e, ERR_INVALID, EINVAL, "flag provided but not defined: '%s'%s%s%s", arg,
		       near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

static int add(struct arena *a, struct strings *to, const char *v)
{
	const char **slot = arena_push(a, &to->v, &to->n, sizeof(*to->v));

	if (!slot)
		return -ENOMEM;
	*slot = v;
	return 0;
}

static int store(struct arena *a, const struct option *o, void *to, const char *value, bool given,
		 struct err *e)
{
	void *at = (char *) to + o->offset;

	switch (o->kind) {
	case OPTION_FLAG:
		if (given && !streq(value, "true") && !streq(value, "false") &&
		    !streq(value, "1") && !streq(value, "0"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "--%s: '%s' is neither true nor false", o->name, value);
		*(bool *) at = !given || streq(value, "true") || streq(value, "1");
		return 0;
	case OPTION_STRING:
		*(const char **) at = value;
		return 0;
	case OPTION_STRINGS:
		if (add(a, at, value) < 0)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		return 0;
	}
	return 0;
}

int options_parse(const struct option_table *t, char *const *argv, size_t argc, struct arena *a,
		  void *to, struct strings *ret_args, bool *ret_help, struct err *e)
{
	struct strings args = { 0 };
	bool only_args = false, help = false;

	for (size_t i = 0; i < argc; i++) {
		const char *arg = argv[i];
		struct str value, name;

		if (only_args || arg[0] != '-' || arg[1] == 0) {
			if (add(a, &args, arg) < 0)
				return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
			only_args = only_args || t->first;
			continue;
		}
		if (streq(arg, "--")) {
			only_args = true;
			continue;
		}
		bool one_dash = arg[1] != '-';

		name = str_cut(str_of(arg + (one_dash ? 1 : 2)), '=', &value);
		const struct option *o = find(t, name, one_dash);

		if (!o && (str_is(name, "help") || (one_dash && str_is(name, "h")))) {
			help = true;
			continue;
		}
		if (!o)
			return unknown(t, arg, name, e);
		if (!value.p && o->kind != OPTION_FLAG) {
			if (++i == argc)
				return err_set(e, ERR_INVALID, EINVAL,
					       "flag needs an argument: '%s'", arg);
			value = str_of(argv[i]);
		}
		int r = store(a, o, to, value.p ? value.p : "", value.p != NULL, e);

		if (r < 0)
			return r;
	}
	/* The list ends with NULL, as an argv does. */
	if (add(a, &args, NULL) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	args.n--;
	*ret_args = args;
	*ret_help = help;
	return 0;
}

void options_help(const struct option_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct option *o = &t->v[i];
		char left[64];

		(void) snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "  ",
				o->letter ? o->letter : ' ', o->letter ? ", " : " ", o->name,
				o->value ? " " : "", o->value ? o->value : "");
		(void) printf("   %-34s %s\n", left, o->help);
	}
}

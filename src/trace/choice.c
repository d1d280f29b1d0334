/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/choice.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
#include "kernel/syscall/list/arguments.h"
#include "kernel/syscall/list/calls.h"

#define LAST	   (CHOICE_WORDS * 64 - 1)
#define NAMES_MOST 512

static const struct {
	const char *name;
	unsigned int group;
} classes[] = {
	{ "file", CALLS_FILE },	      { "desc", CALLS_DESC },	{ "process", CALLS_PROCESS },
	{ "network", CALLS_NETWORK }, { "net", CALLS_NETWORK }, { "signal", CALLS_SIGNAL },
	{ "memory", CALLS_MEMORY },   { "ipc", CALLS_IPC },
};

void choice_all(struct choice *c)
{
	memset(c->calls, 0xff, sizeof(c->calls));
	c->signals = true;
}

static void add(struct choice *c, unsigned int nr)
{
	nr = nr > LAST ? LAST : nr;
	c->calls[nr / 64] |= (uint64_t) 1 << nr % 64;
}

/* False: there is no such class. */
static bool add_class(struct choice *c, struct str name)
{
	size_t n;
	const struct call_info *calls = call_list(&n);

	for (size_t k = 0; k < ARRAY_SIZE(classes); k++) {
		if (!str_is(name, classes[k].name))
			continue;
		for (size_t i = 0; i < n; i++)
			if (call_arguments(calls[i].nr)->groups & classes[k].group)
				add(c, calls[i].nr);
		return true;
	}
	return false;
}

static int no_call(struct str name, struct err *e)
{
	const char *names[NAMES_MOST], *near;
	auto_free char *given = str_dup(name);
	size_t n;
	const struct call_info *calls = call_list(&n);

	for (size_t i = 0; i < n && i < NAMES_MOST; i++)
		names[i] = calls[i].name;
	near = given ? str_nearest(given, names, n < NAMES_MOST ? n : NAMES_MOST) : NULL;
	return err_set(e, ERR_INVALID, EINVAL, "no system call '%.*s'%s%s%s",
		       (int) (name.n < 60 ? name.n : 60), name.p, near ? ": did you mean '" : "",
		       near ? near : "", near ? "'?" : "");
}

static int add_word(struct choice *c, struct str word, struct err *e)
{
	size_t n;
	const struct call_info *calls = call_list(&n);
	uint32_t nr;

	if (word.n && word.p[0] == '%') {
		struct str name = { word.p + 1, word.n - 1 };

		return add_class(c, name)
			       ? 0
			       : err_set(e, ERR_INVALID, EINVAL,
					 "no class of system calls '%.*s': there are %%file, "
					 "%%desc, "
					 "%%process, %%network, %%signal, %%memory, %%ipc",
					 (int) (word.n < 60 ? word.n : 60), word.p);
	}
	if (str_is(word, "all")) {
		memset(c->calls, 0xff, sizeof(c->calls));
		return 0;
	}
	if (str_is(word, "none"))
		return 0;
	if (num_parse_u32(word, 0, UINT32_MAX, &nr) == 0) {
		add(c, nr);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (str_is(word, calls[i].name)) {
			add(c, calls[i].nr);
			return 0;
		}
	return no_call(word, e);
}

static int parse_set(struct choice *c, struct str set, struct err *e)
{
	bool others = set.n && set.p[0] == '!';
	struct str rest = others ? (struct str){ set.p + 1, set.n - 1 } : set;

	memset(c->calls, 0, sizeof(c->calls));
	do {
		int r = add_word(c, str_cut(rest, ',', &rest), e);

		if (r < 0)
			return r;
	} while (rest.p);
	for (size_t n = 0; others && n < CHOICE_WORDS; n++)
		c->calls[n] = ~c->calls[n];
	return 0;
}

int choice_parse(struct choice *c, const char *text, struct err *e)
{
	struct str value, key = str_cut(str_of(text), '=', &value);

	if (!value.p)
		return parse_set(c, key, e);
	if (str_is(key, "trace") || str_is(key, "t"))
		return parse_set(c, value, e);
	if ((str_is(key, "signal") || str_is(key, "signals") || str_is(key, "s")) &&
	    (str_is(value, "all") || str_is(value, "none"))) {
		c->signals = str_is(value, "all");
		return 0;
	}
	return err_set(
		e, ERR_UNSUPPORTED, EOPNOTSUPP,
		"unsupported: '%.60s': an expression is trace=SET, signal=all or signal=none",
		text);
}

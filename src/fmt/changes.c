/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/changes.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "fmt/shown.h"

static int bad(struct str line, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "change '%s': %s", shown_of(line).z, why);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "the changes are too large");
}

static int push(struct arena *a, const char ***list, size_t *n, const char *z, struct err *e)
{
	const char **grown = arena_array(a, *n + 2, sizeof(*grown));

	if (!grown || !z)
		return no_memory(e);
	if (*n)
		memcpy(grown, *list, *n * sizeof(*grown));
	grown[(*n)++] = z;
	*list = grown;
	return 0;
}

/* A JSON array of strings; 1 when the text is one, 0 when it is not. */
static int json_list(struct arena *a, struct str text, const char ***ret, size_t *ret_n)
{
	const struct json *v = NULL;
	const char **list;
	struct err e = {};

	if (!text.n || text.p[0] != '[' || json_parse(a, text, &v, &e) < 0 || v->type != JSON_ARRAY)
		return 0;
	list = arena_array(a, v->n + 1, sizeof(*list));
	if (!list)
		return 0;
	for (size_t i = 0; i < v->n; i++) {
		list[i] = json_string(&v->items[i]);
		if (!list[i])
			return 0;
	}
	*ret = list;
	*ret_n = v->n;
	return 1;
}

/* The exec form, or the shell form as the image's shell runs it. */
static int command(struct arena *a, const struct oci_run_config *c, struct str text,
		   const char ***ret, size_t *ret_n, struct err *e)
{
	const char **list = NULL;
	size_t n = 0;
	int r = 0;

	if (json_list(a, text, ret, ret_n))
		return 0;
	for (size_t i = 0; i < c->shell_n && r == 0; i++)
		r = push(a, &list, &n, c->shell[i], e);
	if (!c->shell_n)
		r = push(a, &list, &n, "/bin/sh", e);
	if (!c->shell_n && r == 0)
		r = push(a, &list, &n, "-c", e);
	if (r == 0)
		r = push(a, &list, &n, arena_dup(a, text), e);
	*ret = list;
	*ret_n = n;
	return r;
}

/* The next word: quotes and backslashes as a shell reads them; p NULL at the end. */
static const char *word(struct arena *a, struct str *text)
{
	struct str s = str_trim(*text);
	char *out, quote = 0;
	size_t i = 0, n = 0;

	if (!s.n)
		return NULL;
	out = arena_alloc(a, s.n + 1);
	if (!out)
		return NULL;
	for (; i < s.n; i++) {
		char ch = s.p[i];

		if (ch == '\\' && i + 1 < s.n && quote != '\'')
			out[n++] = s.p[++i];
		else if (quote ? ch == quote : ch == '"' || ch == '\'')
			quote = quote ? 0 : ch;
		else if (!quote && (ch == ' ' || ch == '\t'))
			break;
		else
			out[n++] = ch;
	}
	*text = (struct str){ s.p + i, s.n - i };
	return out;
}

static int set_env(struct arena *a, struct oci_run_config *c, const char *pair, struct err *e)
{
	size_t key = (size_t) (strchr(pair, '=') - pair) + 1;

	for (size_t i = 0; i < c->env_n; i++) {
		if (strncmp(c->env[i], pair, key) == 0) {
			c->env[i] = pair;
			return 0;
		}
	}
	return push(a, &c->env, &c->env_n, pair, e);
}

static int set_label(struct arena *a, struct oci_run_config *c, const char *pair, struct err *e)
{
	const char *equals = strchr(pair, '=');
	char *key = arena_dup(a, (struct str){ pair, (size_t) (equals - pair) });
	struct json_pair *grown;

	if (!key)
		return no_memory(e);
	for (size_t i = 0; i < c->labels_n; i++) {
		if (streq(c->labels[i].key, key)) {
			c->labels[i].value = equals + 1;
			return 0;
		}
	}
	grown = arena_array(a, c->labels_n + 1, sizeof(*grown));
	if (!grown)
		return no_memory(e);
	if (c->labels_n)
		memcpy(grown, c->labels, c->labels_n * sizeof(*grown));
	grown[c->labels_n++] = (struct json_pair){ key, equals + 1 };
	c->labels = grown;
	return 0;
}

/* "K=V K2='v v'", and the old form "K V V". */
static int pairs(struct arena *a, struct oci_run_config *c, struct str line, struct str text,
		 int (*set)(struct arena *a, struct oci_run_config *c, const char *pair,
			    struct err *e),
		 struct err *e)
{
	struct str rest = text;
	const char *first = word(a, &rest);
	int r;

	if (!first)
		return bad(line, "wants KEY=VALUE", e);
	if (!strchr(first, '=')) {
		rest = str_trim(rest);
		if (!rest.n)
			return bad(line, "wants KEY=VALUE", e);
		first = arena_printf(a, "%s=%.*s", first, (int) rest.n, rest.p);
		return first ? set(a, c, first, e) : no_memory(e);
	}
	for (const char *w = first; w; w = word(a, &rest)) {
		if (!strchr(w, '=') || w[0] == '=')
			return bad(line, "wants KEY=VALUE", e);
		r = set(a, c, w, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool has(const char *const *list, size_t n, const char *z)
{
	for (size_t i = 0; i < n; i++)
		if (streq(list[i], z))
			return true;
	return false;
}

static int expose(struct arena *a, struct oci_run_config *c, struct str line, struct str text,
		  struct err *e)
{
	const char *w;

	while ((w = word(a, &text))) {
		struct str proto = {}, port = str_cut(str_of(w), '/', &proto);
		uint32_t number;
		const char *key;
		int r;

		if (num_parse_u32(port, 1, 65535, &number) < 0 ||
		    (proto.p && !str_is(proto, "tcp") && !str_is(proto, "udp") &&
		     !str_is(proto, "sctp")))
			return bad(line, "wants PORT or PORT/tcp, PORT/udp, PORT/sctp", e);
		key = arena_printf(a, "%u/%s", number, proto.p ? proto.p : "tcp");
		if (key && has(c->exposed_ports, c->exposed_ports_n, key))
			continue;
		r = push(a, &c->exposed_ports, &c->exposed_ports_n, key, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int volumes(struct arena *a, struct oci_run_config *c, struct str line, struct str text,
		   struct err *e)
{
	const char **list = NULL, *w;
	size_t n = 0;
	int r = 0;

	if (!json_list(a, text, &list, &n))
		while (r == 0 && (w = word(a, &text)))
			r = push(a, &list, &n, w, e);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (list[i][0] != '/')
			return bad(line, "wants absolute paths", e);
		if (!has(c->volumes, c->volumes_n, list[i]))
			r = push(a, &c->volumes, &c->volumes_n, list[i], e);
	}
	return r;
}

static int workdir(struct arena *a, struct oci_run_config *c, struct str line, struct str text,
		   struct err *e)
{
	const char *base = c->working_dir ? c->working_dir : "/";

	if (!text.n)
		return bad(line, "wants a path", e);
	if (text.p[0] == '/')
		c->working_dir = arena_dup(a, text);
	else
		c->working_dir = arena_printf(a, "%s%s%.*s", base,
					      base[strlen(base) - 1] == '/' ? "" : "/",
					      (int) text.n, text.p);
	return c->working_dir ? 0 : no_memory(e);
}

/* [--interval=30s --timeout= --start-period= --start-interval= --retries=N] CMD ... | NONE */
static int health(struct arena *a, struct oci_run_config *c, struct str line, struct str text,
		  struct err *e)
{
	static const char why[] =
		"wants [--interval=30s --timeout=30s --start-period=0s --retries=3] "
		"CMD ... or NONE";
	struct oci_healthcheck *h = arena_alloc(a, sizeof(*h));
	const char **list = NULL;
	size_t n = 0;
	int r;

	if (!h)
		return no_memory(e);
	while (str_starts(text, "--")) {
		struct str rest = {}, flag = str_cut(text, ' ', &rest), value = {};
		struct str key = str_cut(flag, '=', &value);
		int64_t *to = str_is(key, "--interval")		? &h->interval
			      : str_is(key, "--timeout")	? &h->timeout
			      : str_is(key, "--start-period")	? &h->start_period
			      : str_is(key, "--start-interval") ? &h->start_interval
								: NULL;

		if (!value.p ||
		    (to				? clock_parse_duration(value, to) < 0 || *to < 0
		     : str_is(key, "--retries") ? num_parse_i64(value, 0, 1000000, &h->retries) < 0
						: true))
			return bad(line, why, e);
		text = str_trim(rest);
	}
	if (str_is(text, "NONE")) {
		r = push(a, &h->test, &h->test_n, "NONE", e);
	} else if (str_starts(text, "CMD ")) {
		text = str_trim((struct str){ text.p + 4, text.n - 4 });
		if (json_list(a, text, &list, &n)) {
			r = push(a, &h->test, &h->test_n, "CMD", e);
			for (size_t i = 0; i < n && r == 0; i++)
				r = push(a, &h->test, &h->test_n, list[i], e);
		} else {
			r = push(a, &h->test, &h->test_n, "CMD-SHELL", e);
			if (r == 0)
				r = push(a, &h->test, &h->test_n, arena_dup(a, text), e);
		}
	} else {
		return bad(line, why, e);
	}
	if (r == 0)
		c->healthcheck = h;
	return r;
}

static int text_of(struct arena *a, struct str line, struct str text, const char **to,
		   struct err *e)
{
	if (!text.n)
		return bad(line, "wants a value", e);
	*to = arena_dup(a, text);
	return *to ? 0 : no_memory(e);
}

int changes_apply(struct arena *a, struct oci_run_config *c, struct str whole, struct err *e)
{
	static const char *const names[] = { "CMD",	    "ENTRYPOINT", "ENV",     "EXPOSE",
					     "HEALTHCHECK", "LABEL",	  "ONBUILD", "SHELL",
					     "STOPSIGNAL",  "USER",	  "VOLUME",  "WORKDIR" };
	struct str line = str_trim(whole);
	size_t n = 0, which;
	struct str text;

	while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	text = str_trim((struct str){ line.p + n, line.n - n });
	for (which = 0; which < ARRAY_SIZE(names); which++)
		if (strlen(names[which]) == n && strncasecmp(names[which], line.p, n) == 0)
			break;
	switch (which) {
	case 0:
		return command(a, c, text, &c->cmd, &c->cmd_n, e);
	case 1:
		return command(a, c, text, &c->entrypoint, &c->entrypoint_n, e);
	case 2:
		return pairs(a, c, line, text, set_env, e);
	case 3:
		return expose(a, c, line, text, e);
	case 4:
		return health(a, c, line, text, e);
	case 5:
		return pairs(a, c, line, text, set_label, e);
	case 6:
		return push(a, &c->on_build, &c->on_build_n, arena_dup(a, text), e);
	case 7:
		return json_list(a, text, &c->shell, &c->shell_n)
			       ? 0
			       : bad(line, "wants a JSON array", e);
	case 8:
		return text_of(a, line, text, &c->stop_signal, e);
	case 9:
		return text_of(a, line, text, &c->user, e);
	case 10:
		return volumes(a, c, line, text, e);
	case 11:
		return workdir(a, c, line, text, e);
	}
	return bad(
		line,
		"is none of CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL "
		"USER VOLUME WORKDIR",
		e);
}

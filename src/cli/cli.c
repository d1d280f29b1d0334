/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "fmt/json.h"

int cli_flush(struct cli *c)
{
	if (c->out.n && c->out_status == 0)
		c->out_status = fd_write_all(STDOUT_FILENO, c->out.p, c->out.n);
	buf_clear(&c->out);
	return c->out_status;
}

static void say(struct cli *c, const char *prefix, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s%s\n", prefix, text);

	(void) cli_flush(c);
	if (n > 0) /* nowhere is left to tell of a failure to write this */
		(void) !write(STDERR_FILENO, line,
			      (size_t) n < sizeof(line) ? (size_t) n : sizeof(line) - 1);
}

int cli_fail(struct cli *c, const struct err *e)
{
	say(c, "atoll: ", e->msg);
	return CLI_FAILED;
}

int cli_failf(struct cli *c, const char *fmt, ...)
{
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(c, "atoll: ", text);
	return CLI_FAILED;
}

void cli_warn(struct cli *c, const char *fmt, ...)
{
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(c, "atoll: ", text);
}

int cli_usage(struct cli *c, const struct err *e)
{
	char help[256];

	say(c, "atoll: ", e->msg);
	(void) snprintf(help, sizeof(help), "See '%s --help'.", c->path);
	say(c, "", help);
	return c->verb && c->verb->usage_status ? c->verb->usage_status : CLI_USAGE;
}

bool cli_is_tty(int fd)
{
	int saved = errno;
	bool tty = isatty(fd) == 1;

	errno = saved;
	return tty;
}

bool cli_confirm(struct cli *c, const char *question)
{
	char answer[16];
	ssize_t n;

	buf_addf(&c->out, "%s\nAre you sure you want to continue? [y/N] ", question);
	(void) cli_flush(c);
	n = read(STDIN_FILENO, answer, sizeof(answer));
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

int cli_each(struct cli *c, struct option_args args, bool print, const void *options,
	     int (*action)(struct cli *c, const char *ref, const void *options, struct err *e))
{
	int status = CLI_OK;
	struct err e;

	for (size_t i = 0; i < args.n; i++) {
		if (action(c, args.argv[i], options, &e) < 0)
			status = cli_fail(c, &e);
		else if (print)
			buf_addf(&c->out, "%s\n", args.argv[i]);
	}
	return status;
}

struct json_pair *cli_pairs(struct cli *c, const struct option_list *l)
{
	struct json_pair *pairs = arena_array(&c->arena, l->n + 1, sizeof(*pairs));

	for (size_t i = 0; pairs && i < l->n; i++) {
		struct str value, key = str_cut(str_of(l->items[i]), '=', &value);

		pairs[i].key = arena_dup(&c->arena, key);
		pairs[i].value = value.p ? value.p : "";
		if (!pairs[i].key)
			return NULL;
	}
	return pairs;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* login, logout: who a user is to a registry. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/image_pull.h"

struct login_options {
	const char *username, *password;
	bool password_stdin, tls_verify;
};

static const struct login_options login_defaults = { .tls_verify = true };

static const struct option login_table[] = {
	{ OPTION_ITEM_(struct login_options, password, OPTION_STRING, "password", 'p'),
	  .value = "string", .help = "Password; others can see it in the list of processes" },
	{ OPTION_ITEM_(struct login_options, password_stdin, OPTION_BOOL, "password-stdin", 0),
	  .help = "Take the password from STDIN" },
	{ OPTION_ITEM_(struct login_options, tls_verify, OPTION_BOOL, "tls-verify", 0),
	  .help = "Ask for TLS and a certificate that can be verified (default true)" },
	{ OPTION_ITEM_(struct login_options, username, OPTION_STRING, "username", 'u'),
	  .value = "string", .help = "Username" },
};

static int keep(const char *what, struct str text, char *to, size_t size, struct err *e)
{
	if (!text.n)
		return err_set(e, ERR_INVALID, EINVAL, "the %s is empty", what);
	if (text.n >= size || memchr(text.p, '\0', text.n) || memchr(text.p, '\n', text.n))
		return err_set(e, ERR_INVALID, EINVAL, "the %s is too long, or has several lines",
			       what);
	memcpy(to, text.p, text.n);
	to[text.n] = '\0';
	return 0;
}

/* A line of the terminal, which does not show it if it is secret. */
static int ask(const char *question, bool secret, const char *what, char *to, size_t size,
	       struct err *e)
{
	auto_buf struct buf line = BUF_INIT(size);
	struct termios old, quiet;
	char c;
	ssize_t n;
	bool hidden = secret && tcgetattr(STDIN_FILENO, &old) == 0;

	(void) dprintf(STDERR_FILENO, "%s: ", question);
	if (hidden) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t) ECHO;
		(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet); /* else it is seen */
	}
	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
		buf_addc(&line, c);
	if (hidden) {
		(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void) dprintf(STDERR_FILENO, "\n");
	}
	return n < 0 ? err_sys(e, errno, "read the %s", what)
		     : keep(what, str_trim(buf_str(&line)), to, size, e);
}

static int take_password(const struct login_options *o, struct registry_login *l, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(REGISTRY_SECRET_MAX);
	int r;

	if (o->password && o->password_stdin)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--password and --password-stdin do not go together");
	if (o->password)
		return keep("password", str_of(o->password), l->secret, sizeof(l->secret), e);
	if (!o->password_stdin && cli_is_tty(STDIN_FILENO))
		return ask("Password", true, "password", l->secret, sizeof(l->secret), e);
	if (!o->password_stdin)
		return err_set(e, ERR_INVALID, EINVAL,
			       "there is no terminal to ask for the password: --password-stdin");
	r = fd_read_all(STDIN_FILENO, &text);
	if (r < 0)
		return err_sys(e, -r, "read the password from STDIN");
	/* As docker does: the end of the line is not part of it. */
	while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	return keep("password", buf_str(&text), l->secret, sizeof(l->secret), e);
}

static int take_user(const struct login_options *o, struct registry_login *l, struct err *e)
{
	if (o->username)
		return keep("user name", str_of(o->username), l->user, sizeof(l->user), e);
	if (o->password_stdin || !cli_is_tty(STDIN_FILENO))
		return err_set(e, ERR_INVALID, EINVAL, "there is no user name: --username");
	return ask("Username", false, "user name", l->user, sizeof(l->user), e);
}

static int login_run(struct cli *c, const void *options, struct option_args args)
{
	const struct login_options *o = options;
	struct registry_login *l = calloc(1, sizeof(*l));
	struct svc_login_kept kept;
	struct err e;
	int r = l ? 0 : err_set(&e, ERR_EXHAUSTED, ENOMEM, "no memory left");

	r = r < 0 ? r : take_user(o, l, &e);
	if (r == 0 && strchr(l->user, ':'))
		r = err_set(&e, ERR_INVALID, EINVAL, "a user name has no ':'");
	r = r < 0 ? r : take_password(o, l, &e);
	r = r < 0 ? r : svc_login(args.n ? args.argv[0] : "", l, !o->tls_verify, &kept, &e);
	if (l)
		explicit_bzero(l, sizeof(*l));
	free(l);
	if (r < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "Login Succeeded\n");
	cli_warn(c, "the %s is kept in %s", kept.identity ? "identity token" : "password",
		 kept.where);
	return CLI_OK;
}

const struct verb verb_login = {
	.usage = "[OPTIONS] [SERVER]",
	.summary = "Log in to a registry",
	.about = "Sees whether the registry (docker.io without SERVER) takes the user name and the "
		 "password, and keeps them where docker and podman find them, too: with the "
		 "credential helper that docker's config.json names, or there or in "
		 "$REGISTRY_AUTH_FILE as they are. Where a registry gives an identity token that "
		 "is kept, and not the password.",
	.example = "pass show registry | atoll login -u me --password-stdin registry.example.com",
	.options = login_table,
	.options_n = ARRAY_SIZE(login_table),
	.size = sizeof(struct login_options),
	.defaults = &login_defaults,
	.args_max = 1,
	.run = login_run,
};

static int logout_run(struct cli *c, const void *options, struct option_args args)
{
	char where[512];
	struct err e;

	(void) options;
	if (svc_logout(args.n ? args.argv[0] : "", where, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "Removing login credentials from %s\n", where);
	return CLI_OK;
}

const struct verb verb_logout = {
	.usage = "[SERVER]",
	.summary = "Log out from a registry",
	.args_max = 1,
	.run = logout_run,
};

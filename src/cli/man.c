/* SPDX-License-Identifier: Apache-2.0 */
/* man: the manual pages of all verbs in roff, made from their tables. For the installation. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "kernel/syscall/list/calls.h"

#define PAGE_MAX (1u << 20)

struct options {
	const char *dir;
	bool syscalls;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, dir, OPTION_STRING, "dir", 0), .value = "directory",
	  .complete = OPTION_COMPLETE_DIR, .help = "Write all pages into this directory" },
	{ OPTION_ITEM_(struct options, syscalls, OPTION_BOOL, "syscalls", 0),
	  .help = "Print the page of the system calls of Atoll's kernel" },
};

/* Text that roff takes as it is. */
static void roff_text(struct buf *out, const char *text)
{
	bool line_start = true;

	for (const char *p = text; *p; p++) {
		if (line_start && (*p == '.' || *p == '\''))
			buf_adds(out, "\\&");
		if (*p == '\\')
			buf_adds(out, "\\e");
		else if (*p == '-')
			buf_adds(out, "\\-");
		else
			buf_addc(out, *p);
		line_start = *p == '\n';
	}
}

static void roff_paragraphs(struct buf *out, const char *text)
{
	struct str rest = str_of(text);

	while (rest.p && rest.n) {
		const char *end = memmem(rest.p, rest.n, "\n\n", 2);
		size_t n = end ? (size_t) (end - rest.p) : rest.n;
		auto_free char *paragraph = str_dup((struct str){ rest.p, n });

		if (!paragraph)
			return;
		if (rest.p != text)
			buf_adds(out, ".PP\n");
		roff_text(out, paragraph);
		buf_addc(out, '\n');
		rest.p = end ? end + 2 : NULL;
		rest.n = end ? rest.n - n - 2 : 0;
	}
}

static void page_options(const struct verb *v, struct buf *out)
{
	const struct option *sorted[VERB_OPTIONS_MAX];
	size_t n = verb_options_sorted(v, sorted, VERB_OPTIONS_MAX);

	if (!n)
		return;
	buf_adds(out, ".SH OPTIONS\n");
	for (size_t i = 0; i < n; i++) {
		const struct option *o = sorted[i];

		buf_adds(out, ".TP\n");
		if (o->letter)
			buf_addf(out, "\\fB\\-%c\\fR, ", o->letter);
		buf_adds(out, "\\fB\\-\\-");
		roff_text(out, o->name);
		buf_adds(out, "\\fR");
		if (option_takes_value(o)) {
			buf_adds(out, "=\\fI");
			roff_text(out, o->value);
			buf_adds(out, "\\fR");
		}
		buf_addc(out, '\n');
		roff_text(out, o->help);
		buf_adds(out, ".\n");
	}
}

static void page_verbs(const struct verb *v, const char *path, struct buf *out)
{
	if (!v->verbs)
		return;
	buf_adds(out, ".SH COMMANDS\n");
	for (const struct verb_entry *en = v->verbs; en->name; en++) {
		if (en->hidden)
			continue;
		buf_adds(out, ".TP\n\\fB");
		roff_text(out, path);
		buf_addf(out, " %s\\fR\n", en->name);
		roff_text(out, en->verb->summary);
		buf_adds(out, ".\n");
	}
}

/* path: "atoll image ls". */
static void page(const struct verb *v, const char *path, struct buf *out)
{
	const char *about = v->about ? v->about : v->summary;

	buf_adds(out, ".TH \"");
	for (const char *p = path; *p; p++)
		buf_addc(out, *p == ' ' ? '-' : (char) (*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
	buf_adds(out, "\" \"1\" \"\" \"Atoll " ATOLL_VERSION "\" \"Atoll manual\"\n.SH NAME\n");
	for (const char *p = path; *p; p++)
		buf_adds(out, *p == ' ' ? "\\-" : (char[]){ *p, 0 });
	buf_adds(out, " \\- ");
	roff_text(out, v->summary);
	buf_adds(out, "\n.SH SYNOPSIS\n\\fB");
	roff_text(out, path);
	buf_adds(out, "\\fR ");
	roff_text(out, v->usage);
	buf_adds(out, "\n.SH DESCRIPTION\n");
	roff_paragraphs(out, about);
	if (!v->about)
		out->n--, buf_adds(out, ".\n");
	page_verbs(v, path, out);
	page_options(v, out);
	if (v->example) {
		buf_adds(out, ".SH EXAMPLES\n.nf\n");
		roff_text(out, v->example);
		buf_adds(out, "\n.fi\n");
	}
	buf_adds(out,
		 ".SH EXIT STATUS\n"
		 "0 when all went well, 1 when what was asked failed, 125 for a wrong flag.\n");
	if (!streq(path, "atoll"))
		buf_adds(out, ".SH SEE ALSO\n.BR atoll (1)\n");
}

/* atoll-syscalls(7). */
static void page_syscalls(struct buf *out)
{
	size_t n;
	const struct call_info *all = call_list(&n);

	buf_adds(out, ".TH \"ATOLL-SYSCALLS\" \"7\" \"\" \"Atoll " ATOLL_VERSION
		      "\" \"Atoll manual\"\n.SH NAME\n"
		      "atoll\\-syscalls \\- system calls of Atoll\\(aqs own kernel\n"
		      ".SH DESCRIPTION\n"
		      "All system calls of x86\\-64 Linux. Those that are \\fBfull\\fR or"
		      " \\fBpartial\\fR do what their manual pages say, but for what is named."
		      " Those that are \\fBrefused\\fR always give the errno named, by intent;"
		      " those that are \\fBmissing\\fR give ENOSYS.\n");
	for (size_t i = 0; i < n; i++) {
		buf_addf(out, ".TP\n\\fB%s\\fR (%u)\n%s", all[i].name, all[i].nr,
			 call_state_text(all[i].state));
		if (all[i].error)
			buf_addf(out, ", %s", all[i].error);
		if (all[i].words) {
			buf_adds(out, ": ");
			roff_text(out, all[i].words);
		}
		buf_addc(out, '\n');
	}
	buf_adds(out, ".SH SEE ALSO\n.BR atoll (1),\n.BR syscalls (2)\n");
}

struct pages {
	struct cli *c;
	int dir_fd;
	const struct verb *done[128]; /* a verb of two places gets one page */
	size_t done_n;
};

static int write_pages(struct pages *p, const struct verb *v, const char *path, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(PAGE_MAX);
	char *name = arena_printf(&p->c->arena, "%s.1", path);
	int r;

	for (size_t i = 0; i < p->done_n; i++)
		if (p->done[i] == v)
			return 0;
	if (p->done_n == ARRAY_SIZE(p->done) || !name)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many pages");
	p->done[p->done_n++] = v;
	for (char *q = name; *q; q++)
		if (*q == ' ')
			*q = '-';
	page(v, path, &text);
	r = buf_error(&text);
	if (r == 0)
		r = file_replace(p->dir_fd, name, buf_str(&text), 0644, false);
	if (r < 0)
		return err_sys(e, -r, "write '%s'", name);
	/* Leaves first: "image ls" of the group is the page of "images". */
	for (int groups = 0; groups < 2; groups++)
		for (const struct verb_entry *en = v->verbs; en && en->name; en++) {
			if (en->hidden || (en->verb->verbs != NULL) != groups)
				continue;
			r = write_pages(p, en->verb,
					arena_printf(&p->c->arena, "%s %s", path, en->name), e);
			if (r < 0)
				return r;
		}
	return 0;
}

static int print_page(struct cli *c, struct option_args args)
{
	const struct verb *v = c->root;
	const char *path = "atoll";

	for (size_t i = 0; i < args.n; i++) {
		const struct verb_entry *en = verb_find(v, args.argv[i]);

		if (!en)
			return cli_failf(c, "no such command: %.60s", args.argv[i]);
		v = en->verb;
		path = arena_printf(&c->arena, "%s %s", path, en->name);
	}
	page(v, path, &c->out);
	return CLI_OK;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct pages p = { .c = c };
	auto_fd int fd = FD_NONE;
	struct err e;

	if (o->syscalls) {
		page_syscalls(&c->out);
		return CLI_OK;
	}
	if (!o->dir)
		return print_page(c, args);
	fd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		(void) err_sys(&e, errno, "open '%s'", o->dir);
		return cli_fail(c, &e);
	}
	p.dir_fd = fd;
	return write_pages(&p, c->root, "atoll", &e) < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_man = {
	.usage = "[OPTIONS] [COMMAND...]",
	.summary = "Print the manual page of a command, or write all",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_max = 3,
	.run = run,
};

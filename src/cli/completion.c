/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion: scripts for bash, zsh and fish, made from the tables. All three work alike: walk the
 * words to find the verb, its other names led back to one; then offer flags, commands, what a flag
 * takes, or names asked of `atoll` itself.
 */
#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/verbs.h"

struct item {
	const char *path;      /* "atoll image ls" */
	const char *canonical; /* where its verb is described: "atoll images" */
	const struct verb *verb;
};

struct items {
	struct item *v;
	size_t n;
};

static const char *const kind_names[] = {
	[OPTION_COMPLETE_NONE] = "none",       [OPTION_COMPLETE_FILE] = "file",
	[OPTION_COMPLETE_DIR] = "dir",	       [OPTION_COMPLETE_CONTAINER] = "container",
	[OPTION_COMPLETE_RUNNING] = "running", [OPTION_COMPLETE_IMAGE] = "image",
	[OPTION_COMPLETE_VOLUME] = "volume",   [OPTION_COMPLETE_NETWORK] = "network",
	[OPTION_COMPLETE_KERNEL] = "kernel",   [OPTION_COMPLETE_SNAPSHOT] = "snapshot",
	[OPTION_COMPLETE_SHELL] = "shell",
};

static void collect_one(struct cli *c, struct items *all, const char *path, const struct verb *v)
{
	struct item *it = arena_push(&c->arena, &all->v, &all->n, sizeof(*it));

	if (!it)
		return;
	*it = (struct item){ .path = path, .canonical = path, .verb = v };
	for (size_t i = 0; i + 1 < all->n; i++)
		if (all->v[i].verb == v) {
			it->canonical = all->v[i].path;
			break;
		}
}

static void collect(struct cli *c, struct items *all, const char *path, const struct verb *v)
{
	collect_one(c, all, path, v);
	for (int groups = 0; groups < 2; groups++)
		for (const struct verb_entry *en = v->verbs; en && en->name; en++) {
			const char *below = arena_printf(&c->arena, "%s %s", path, en->name);

			if (en->hidden || (en->verb->verbs != NULL) != groups || !below)
				continue;
			if (groups)
				collect(c, all, below, en->verb);
			else
				collect_one(c, all, below, en->verb);
		}
	for (const struct verb_entry *en = v->verbs; en && en->name; en++)
		for (struct str rest = str_of(en->aliases); rest.p;) {
			struct str alias = str_cut(rest, ' ', &rest);

			collect_one(
				c, all,
				arena_printf(&c->arena, "%s %.*s", path, (int) alias.n, alias.p),
				en->verb);
		}
}

static bool own(const struct item *it)
{
	return it->path == it->canonical;
}

/* Within single quotes, for all three shells (fish: \' and \\). */
static void quote(struct buf *out, const char *text, bool fish)
{
	buf_addc(out, '\'');
	for (const char *p = text; *p; p++) {
		if (*p == '\'')
			buf_adds(out, fish ? "\\'" : "'\\''");
		else if (*p == '\\' && fish)
			buf_adds(out, "\\\\");
		else
			buf_addc(out, *p);
	}
	buf_addc(out, '\'');
}

/* "CANONICAL PATH" of other names: shared by bash and zsh. */
static void emit_canonical(struct buf *out, const struct items *all)
{
	buf_adds(out, "_atoll_canonical() {\n\tcase $1 in\n");
	for (size_t i = 0; i < all->n; i++)
		if (!own(&all->v[i]))
			buf_addf(out, "\t'%s') REPLY='%s';;\n", all->v[i].path,
				 all->v[i].canonical);
	buf_adds(out, "\t*) REPLY=$1;;\n\tesac\n}\n\n");
}

/* What follows a flag: "KIND WORDS"; "" for flags that take nothing. */
static void emit_values(struct buf *out, const struct items *all)
{
	buf_adds(out, "_atoll_value() {\n\tREPLY=\n\tcase $1:$2 in\n");
	for (size_t i = 0; i < all->n; i++) {
		const struct option *o;

		if (!own(&all->v[i]))
			continue;
		for (size_t k = 0; (o = verb_option(all->v[i].verb, k)); k++) {
			if (!option_takes_value(o) || o->kind == OPTION_REFUSED)
				continue;
			buf_addf(out, "\t'%s:--%s'", all->v[i].path, o->name);
			if (o->letter)
				buf_addf(out, "|'%s:-%c'", all->v[i].path, o->letter);
			buf_addf(out, ") REPLY='%s%s%s';;\n",
				 o->words ? "words" : kind_names[o->complete], o->words ? " " : "",
				 o->words ? o->words : "");
		}
	}
	buf_adds(out, "\tesac\n}\n\n");
}

static void emit_operands(struct buf *out, const struct items *all)
{
	buf_adds(out, "_atoll_operand() {\n\tcase $1 in\n");
	for (size_t i = 0; i < all->n; i++)
		if (own(&all->v[i]) && all->v[i].verb->complete != OPTION_COMPLETE_NONE)
			buf_addf(out, "\t'%s') REPLY='%s';;\n", all->v[i].path,
				 kind_names[all->v[i].verb->complete]);
	buf_adds(out, "\t*) REPLY=none;;\n\tesac\n}\n\n");
}

/* 'name' or 'name:text' */
static void emit_word(struct buf *out, const char *prefix, const char *name, const char *text)
{
	buf_addf(out, " '%s%s", prefix, name);
	if (text) {
		buf_addc(out, ':');
		for (const char *p = text; *p; p++)
			buf_adds(out, *p == '\'' ? "'\\''" : (char[]){ *p, 0 });
	}
	buf_addc(out, '\'');
}

/* A list per verb: commands or flags; with descriptions for zsh. */
static void emit_list(struct buf *out, const struct items *all, bool commands, bool described)
{
	buf_addf(out, "_atoll_%s() {\n\tlist=()\n\tcase $1 in\n", commands ? "commands" : "flags");
	for (size_t i = 0; i < all->n; i++) {
		const struct option *sorted[VERB_OPTIONS_MAX];
		const struct verb *v = all->v[i].verb;
		size_t n = verb_options_sorted(v, sorted, VERB_OPTIONS_MAX);

		if (!own(&all->v[i]) || (commands && !v->verbs))
			continue;
		buf_addf(out, "\t'%s') list=(", all->v[i].path);
		for (const struct verb_entry *en = commands ? v->verbs : NULL; en && en->name; en++)
			if (!en->hidden)
				emit_word(out, "", en->name, described ? en->verb->summary : NULL);
		for (size_t k = 0; !commands && k < n; k++)
			emit_word(out, "--", sorted[k]->name, described ? sorted[k]->help : NULL);
		if (!commands)
			emit_word(out, "--", "help", described ? "Print usage" : NULL);
		buf_adds(out, " );;\n");
	}
	buf_adds(out, "\tesac\n}\n\n");
}

/* Names that only atoll knows: shared by bash and zsh. Global flags typed so far are kept. */
static const char names_function[] =
	"_atoll_names() {\n"
	"\tcase $1 in\n"
	"\tcontainer) \"${atoll[@]}\" ps -a --format '{{.Names}}' 2>/dev/null;;\n"
	"\trunning) \"${atoll[@]}\" ps --format '{{.Names}}' 2>/dev/null;;\n"
	"\timage) \"${atoll[@]}\" images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null |\n"
	"\t\tgrep -v '<none>';;\n"
	"\tvolume) \"${atoll[@]}\" volume ls -q 2>/dev/null;;\n"
	"\tnetwork) \"${atoll[@]}\" network ls --format '{{.Name}}' 2>/dev/null;;\n"
	"\tkernel) \"${atoll[@]}\" kernel ls -q 2>/dev/null;;\n"
	"\tsnapshot) \"${atoll[@]}\" snapshot ls -q 2>/dev/null;;\n"
	"\tshell) echo bash zsh fish;;\n"
	"\tesac\n"
	"}\n\n";

static const char bash_main[] =
	"_atoll_offer() {\n"
	"\tlocal kind=${1%% *}\n"
	"\tcase $kind in\n"
	"\tnone|'') ;;\n"
	"\twords) COMPREPLY=($(compgen -W \"${1#words }\" -- \"$cur\"));;\n"
	"\tfile) COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null;;\n"
	"\tdir) COMPREPLY=($(compgen -d -- \"$cur\")); compopt -o filenames 2>/dev/null;;\n"
	"\t*) COMPREPLY=($(compgen -W \"$(_atoll_names \"$kind\")\" -- \"$cur\"))\n"
	"\t\t[[ $cur == *:* ]] && declare -F __ltrim_colon_completions >/dev/null &&\n"
	"\t\t\t__ltrim_colon_completions \"$cur\";;\n"
	"\tesac\n"
	"}\n\n"
	"_atoll() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i=1 w path=atoll\n"
	"\tlocal REPLY list atoll=(\"${COMP_WORDS[0]}\") leaf=\n"
	"\tCOMPREPLY=()\n"
	"\t# --flag=value comes as three words\n"
	"\tif [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then "
	"prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
	"\twhile (( i < COMP_CWORD )); do\n"
	"\t\tw=${COMP_WORDS[i]}\n"
	"\t\tif [[ $path == atoll && ( $w == --root || $w == --state ) ]]; then\n"
	"\t\t\t[[ ${COMP_WORDS[i+1]} == = ]] && i=$((i+1))\n"
	"\t\t\tatoll+=(\"$w\" \"${COMP_WORDS[i+1]}\"); i=$((i+2)); continue\n"
	"\t\tfi\n"
	"\t\tif [[ $w == -* ]]; then\n"
	"\t\t\t_atoll_value \"$path\" \"$w\"\n"
	"\t\t\t[[ $REPLY && ${COMP_WORDS[i+1]} != = ]] && i=$((i+1))\n"
	"\t\telif [[ ! $leaf ]]; then\n"
	"\t\t\t_atoll_commands \"$path\"\n"
	"\t\t\tif [[ ${#list[@]} -gt 0 ]]; then _atoll_canonical \"$path $w\"; path=$REPLY; else "
	"leaf=1; fi\n"
	"\t\tfi\n"
	"\t\ti=$((i+1))\n"
	"\tdone\n"
	"\tif [[ $prev == -* ]]; then\n"
	"\t\t_atoll_value \"$path\" \"$prev\"\n"
	"\t\tif [[ $REPLY ]]; then _atoll_offer \"$REPLY\"; return; fi\n"
	"\tfi\n"
	"\tif [[ $cur == -* ]]; then\n"
	"\t\t_atoll_flags \"$path\"\n"
	"\t\tCOMPREPLY=($(compgen -W \"${list[*]}\" -- \"$cur\")); return\n"
	"\tfi\n"
	"\t_atoll_commands \"$path\"\n"
	"\tif [[ ${#list[@]} -gt 0 ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"${list[*]}\" -- \"$cur\")); return\n"
	"\tfi\n"
	"\t_atoll_operand \"$path\"\n"
	"\t_atoll_offer \"$REPLY\"\n"
	"}\n\n"
	"complete -F _atoll atoll\n";

static const char zsh_main[] =
	"_atoll_offer() {\n"
	"\tlocal kind=${1%% *}\n"
	"\tcase $kind in\n"
	"\tnone|'') return 1;;\n"
	"\twords) compadd -- ${=1#words };;\n"
	"\tfile) _files;;\n"
	"\tdir) _files -/;;\n"
	"\t*) compadd -- ${(f)\"$(_atoll_names $kind)\"};;\n"
	"\tesac\n"
	"}\n\n"
	"_atoll() {\n"
	"\tlocal i=2 w way=atoll REPLY leaf=\n"
	"\tlocal -a list atoll\n"
	"\tatoll=($words[1])\n"
	"\twhile (( i < CURRENT )); do\n"
	"\t\tw=$words[i]\n"
	"\t\tif [[ $way == atoll && ( $w == --root || $w == --state ) ]]; then\n"
	"\t\t\tatoll+=($w $words[i+1]); (( i += 2 )); continue\n"
	"\t\tfi\n"
	"\t\tif [[ $w == -* ]]; then\n"
	"\t\t\t_atoll_value $way $w\n"
	"\t\t\t[[ -n $REPLY ]] && (( i += 1 ))\n"
	"\t\telif [[ -z $leaf ]]; then\n"
	"\t\t\t_atoll_commands $way\n"
	"\t\t\tif (( $#list )); then _atoll_canonical \"$way $w\"; way=$REPLY; else leaf=1; fi\n"
	"\t\tfi\n"
	"\t\t(( i += 1 ))\n"
	"\tdone\n"
	"\tif [[ $words[CURRENT-1] == -* ]]; then\n"
	"\t\t_atoll_value $way $words[CURRENT-1]\n"
	"\t\tif [[ -n $REPLY ]]; then _atoll_offer $REPLY; return; fi\n"
	"\tfi\n"
	"\tif [[ $words[CURRENT] == -* ]]; then\n"
	"\t\t_atoll_flags $way; _describe flag list; return\n"
	"\tfi\n"
	"\t_atoll_commands $way\n"
	"\tif (( $#list )); then _describe command list; return; fi\n"
	"\t_atoll_operand $way\n"
	"\t_atoll_offer $REPLY\n"
	"}\n\n"
	"if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _atoll \"$@\"; else compdef _atoll "
	"atoll; fi\n";

static void emit_sh(struct buf *out, const struct items *all, bool zsh)
{
	buf_adds(out, zsh ? "#compdef atoll\n# zsh completion for atoll, made by "
			    "'atoll completion zsh'\n\n"
			  : "# bash completion for atoll, made by 'atoll completion bash'\n\n");
	emit_canonical(out, all);
	emit_values(out, all);
	emit_operands(out, all);
	emit_list(out, all, true, zsh);
	emit_list(out, all, false, zsh);
	buf_adds(out, names_function);
	buf_adds(out, zsh ? zsh_main : bash_main);
}

static const char fish_head[] = "# fish completion for atoll, made by 'atoll completion fish'\n\n"
				"# The verb the line is about, by its one name.\n"
				"function __atoll_path\n"
				"\tset -l path atoll\n"
				"\tset -l skip 0\n"
				"\tfor w in (commandline -opc)[2..-1]\n"
				"\t\tif test $skip = 1; set skip 0; continue; end\n"
				"\t\tswitch $w\n"
				"\t\tcase --root --state --log-level; set skip 1\n"
				"\t\tcase '-*'\n"
				"\t\tcase '*'\n"
				"\t\t\tset -l next (__atoll_canonical \"$path $w\")\n"
				"\t\t\ttest -n \"$next\"; and set path $next; or break\n"
				"\t\tend\n"
				"\tend\n"
				"\techo $path\n"
				"end\n\n"
				"function __atoll_at\n\ttest (__atoll_path) = \"$argv\"\nend\n\n";

static const char *fish_source(enum option_complete kind)
{
	switch (kind) {
	case OPTION_COMPLETE_CONTAINER:
		return "(atoll ps -a --format '{{.Names}}' 2>/dev/null)";
	case OPTION_COMPLETE_RUNNING:
		return "(atoll ps --format '{{.Names}}' 2>/dev/null)";
	case OPTION_COMPLETE_IMAGE:
		return "(atoll images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null)";
	case OPTION_COMPLETE_VOLUME:
		return "(atoll volume ls -q 2>/dev/null)";
	case OPTION_COMPLETE_NETWORK:
		return "(atoll network ls --format '{{.Name}}' 2>/dev/null)";
	case OPTION_COMPLETE_KERNEL:
		return "(atoll kernel ls -q 2>/dev/null)";
	case OPTION_COMPLETE_SNAPSHOT:
		return "(atoll snapshot ls -q 2>/dev/null)";
	case OPTION_COMPLETE_SHELL:
		return "bash zsh fish";
	case OPTION_COMPLETE_DIR:
		return "(__fish_complete_directories)";
	case OPTION_COMPLETE_NONE:
	case OPTION_COMPLETE_FILE:
		return NULL;
	}
	return NULL;
}

static void fish_option(struct buf *out, const struct item *it, const struct option *o)
{
	buf_addf(out, "complete -c atoll -n '__atoll_at %s' -l %s", it->path, o->name);
	if (o->letter)
		buf_addf(out, " -s %c", o->letter);
	if (option_takes_value(o)) {
		const char *source = o->words ? o->words : fish_source(o->complete);

		buf_adds(out, o->complete == OPTION_COMPLETE_FILE && !o->words ? " -rF" : " -x");
		if (source) {
			buf_adds(out, " -a ");
			quote(out, source, true);
		}
	}
	buf_adds(out, " -d ");
	quote(out, o->help, true);
	buf_addc(out, '\n');
}

static void emit_fish(struct buf *out, const struct items *all)
{
	buf_adds(out, fish_head);
	buf_adds(out, "function __atoll_canonical\n\tswitch \"$argv\"\n");
	for (size_t i = 0; i < all->n; i++)
		buf_addf(out, "\tcase '%s'; echo '%s'\n", all->v[i].path, all->v[i].canonical);
	buf_adds(out, "\tend\nend\n\ncomplete -c atoll -f\n");
	for (size_t i = 0; i < all->n; i++) {
		const struct option *sorted[VERB_OPTIONS_MAX];
		const struct item *it = &all->v[i];
		const char *source = fish_source(it->verb->complete);
		size_t n = verb_options_sorted(it->verb, sorted, VERB_OPTIONS_MAX);

		if (!own(it))
			continue;
		for (const struct verb_entry *en = it->verb->verbs; en && en->name; en++) {
			if (en->hidden)
				continue;
			buf_addf(out, "complete -c atoll -n '__atoll_at %s' -a %s -d ", it->path,
				 en->name);
			quote(out, en->verb->summary, true);
			buf_addc(out, '\n');
		}
		for (size_t k = 0; k < n; k++)
			fish_option(out, it, sorted[k]);
		if (it->verb->complete == OPTION_COMPLETE_FILE)
			buf_addf(out, "complete -c atoll -n '__atoll_at %s' -F\n", it->path);
		if (source) {
			buf_addf(out, "complete -c atoll -n '__atoll_at %s' -a ", it->path);
			quote(out, source, true);
			buf_addc(out, '\n');
		}
	}
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	struct items all = { 0 };

	(void) options;
	collect(c, &all, "atoll", c->root);
	if (streq(args.argv[0], "bash"))
		emit_sh(&c->out, &all, false);
	else if (streq(args.argv[0], "zsh"))
		emit_sh(&c->out, &all, true);
	else if (streq(args.argv[0], "fish"))
		emit_fish(&c->out, &all);
	else
		return cli_failf(c, "unknown shell '%.60s': bash, zsh or fish", args.argv[0]);
	return CLI_OK;
}

const struct verb verb_completion = {
	.usage = "SHELL",
	.summary = "Print the completion script for bash, zsh or fish",
	.example = "source <(atoll completion bash)\natoll completion fish | source",
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_SHELL,
	.run = run,
};

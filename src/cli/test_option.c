/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/option.h"

#include "base/auto.h"
#include "base/test.h"

struct o {
	bool all, tty, inter, entry_set, proxy;
	const char *name, *entry;
	struct option_list env;
	int64_t n, bytes, swap, wait, cpus;
};

static const struct o defaults = { .proxy = true, .n = 7 };

static const struct option table[] = {
	{ OPTION_ITEM_(struct o, all, OPTION_BOOL, "all", 'a'), .help = "All" },
	{ OPTION_ITEM_(struct o, bytes, OPTION_BYTES, "memory", 'm'), .value = "bytes",
	  .help = "Memory" },
	{ OPTION_ITEM_(struct o, cpus, OPTION_NANO, "cpus", 0), .value = "decimal",
	  .help = "Processors" },
	{ OPTION_ITEM_(struct o, entry, OPTION_STRING, "entrypoint", 0),
	  OPTION_SET(struct o, entry), .value = "string", .help = "Entry" },
	{ OPTION_ITEM_(struct o, env, OPTION_LIST, "env", 'e'), .value = "list", .help = "Env" },
	{ OPTION_ITEM_(struct o, inter, OPTION_BOOL, "interactive", 'i'), .help = "In" },
	{ OPTION_ITEM_(struct o, n, OPTION_INT, "number", 'n'), .value = "int", .help = "Number",
	  .min = -1, .max = 100 },
	{ OPTION_ITEM_(struct o, name, OPTION_STRING, "name", 0), .value = "string",
	  .help = "Name" },
	{ OPTION_ITEM_(struct o, proxy, OPTION_BOOL, "proxy", 0), .help = "Proxy" },
	{ OPTION_ITEM_(struct o, swap, OPTION_BYTES, "swap", 0), .value = "bytes", .min = -1,
	  .help = "Swap" },
	{ OPTION_ITEM_(struct o, tty, OPTION_BOOL, "tty", 't'), .help = "Terminal" },
	{ OPTION_ITEM_(struct o, wait, OPTION_DURATION, "wait", 0), .value = "duration",
	  .help = "Wait" },
	{ .name = "publish", .letter = 'p', .kind = OPTION_REFUSED, .why = "there are no ports" },
};

static struct verb verb = {
	.usage = "[OPTIONS] IMAGE",
	.summary = "Test",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct o),
	.args_min = 1,
	.args_max = 2,
};

static struct o got;
static char text[1024]; /* operands joined by '|', or the message */
static struct arena arena;

static int parse(const char *line)
{
	static char words[512];
	char *argv[32];
	enum option_outcome outcome;
	struct option_args args;
	int argc = 0;
	struct err e;

	(void) snprintf(words, sizeof(words), "%s", line);
	for (char *w = words, *end = NULL; w && *w; w = end) {
		end = strchr(w, ' ');
		if (end)
			*end++ = '\0';
		if (*w)
			argv[argc++] = w;
	}
	arena_fini(&arena);
	arena = ARENA_INIT(1u << 20);
	got = defaults;
	text[0] = 0;
	if (option_parse(&verb, argc, argv, &arena, &got, &outcome, &args, &e) < 0) {
		(void) snprintf(text, sizeof(text), "%s", e.msg);
		return -1;
	}
	if (outcome == OPTION_HELP)
		return 1;
	for (size_t i = 0; i < args.n; i++)
		(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				i ? "|" : "", args.argv[i]);
	return 0;
}

static void test_syntax(void)
{
	verb.operands_end = true;
	CHECK(parse("-it --name x -e A=1 -eB=2 -e=C=3 --env D=4 --env=E=5 image cmd -x") == 0);
	CHECK(got.tty && got.inter && got.env.n == 5);
	CHECK_STR(got.env.items[0], "A=1");
	CHECK_STR(got.env.items[1], "B=2");
	CHECK_STR(got.env.items[2], "C=3");
	CHECK_STR(got.env.items[4], "E=5");
	CHECK_STR(got.name, "x");
	CHECK_STR(text, "image|cmd|-x");
	CHECK(parse("-- -a b") == 0 && !got.all);
	CHECK_STR(text, "-a|b");
	CHECK(parse("- -a") == 0 && !got.all);
	CHECK_STR(text, "-|-a");
	verb.operands_end = false;
	CHECK(parse("x -a y --all=false") == 0 && !got.all);
	CHECK_STR(text, "x|y");
	CHECK(parse("-ain5 x") == 0 && got.all && got.inter && got.n == 5);
	CHECK(parse("-a=false --proxy=0 x") == 0 && !got.all && !got.proxy);
	CHECK(parse("--entrypoint= x") == 0 && got.entry_set && !*got.entry);
	CHECK(parse("x") == 0 && !got.entry_set && got.n == 7 && got.proxy);
	CHECK(parse("--help") == 1 && parse("x -h") == 1);
}

static void test_values(void)
{
	CHECK(parse("-m 512m --swap -1 --cpus 1.5 --wait 1m30s") == 0);
	CHECK(got.bytes == 512 << 20 && got.swap == -1 && got.cpus == 1500000000);
	CHECK(got.wait == 90 * (int64_t) 1000000000);
	CHECK(parse("-m -1") < 0);
	CHECK(parse("-n 101") < 0);
	CHECK_STR(text, "invalid argument \"101\" for \"-n, --number\": must be from -1 to 100");
	CHECK(parse("-n x") < 0 && parse("--wait soon") < 0 && parse("--cpus many") < 0);
	CHECK(parse("--all=maybe") < 0);
	CHECK_STR(text, "invalid argument \"maybe\" for \"-a, --all\": must be true or false");
}

static void test_refusals(void)
{
	CHECK(parse("--nmae x") < 0);
	CHECK_STR(text, "unknown flag: --nmae; did you mean --name?");
	CHECK(parse("--qqqqqqqq") < 0);
	CHECK_STR(text, "unknown flag: --qqqqqqqq");
	CHECK(parse("-az") < 0);
	CHECK_STR(text, "unknown shorthand flag: 'z' in -az");
	CHECK(parse("--name") < 0);
	CHECK_STR(text, "flag needs an argument: --name");
	CHECK(parse("-ae") < 0);
	CHECK_STR(text, "flag needs an argument: 'e' in -ae");
	CHECK(parse("-p 80:80 x") < 0);
	CHECK_STR(text, "flag -p, --publish is unsupported: there are no ports");
}

static void test_help(void)
{
	auto_buf struct buf out = BUF_INIT(1u << 16);
	struct option_args args = { 0 };
	struct err e;

	verb_help(&verb, "atoll test", &out);
	CHECK(strstr(buf_z(&out), "Usage:  atoll test [OPTIONS] IMAGE\n"));
	CHECK(strstr(buf_z(&out), "  -m, --memory bytes "));
	CHECK(!strstr(buf_z(&out), "publish"));
	CHECK(option_check_args(&verb, "atoll test", args, &e) < 0);
	CHECK_STR(e.msg, "\"atoll test\" requires at least 1 argument");
	args.n = 3;
	CHECK(option_check_args(&verb, "atoll test", args, &e) < 0);
	CHECK_STR(e.msg, "\"atoll test\" takes at most 2 arguments");
	args.n = 2;
	CHECK(option_check_args(&verb, "atoll test", args, &e) == 0);
}

int main(void)
{
	test_syntax();
	test_values();
	test_refusals();
	test_help();
	arena_fini(&arena);
	return test_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/containerfile.h"

static void test_parts(void)
{
	static const char text[] = "# syntax=docker/dockerfile:1\n"
				   "# escape=`\n"
				   "from --platform=linux/amd64 debian AS base\n"
				   "\n"
				   "  # a comment\n"
				   "RUN --mount=type=cache,target=/c --network=none a `\n"
				   "# between\n"
				   "\n"
				   "    b \\ c\n"
				   "CMD [\"x\", \"y z\"]\r\n"
				   "CMD [not json]\n"
				   "COPY --chown=a:b <<-\"ONE\" <<TWO /to/\n"
				   "\tfirst $A\n"
				   "\tONE\n"
				   "second\n"
				   "TWO\n"
				   "RUN cat <<<text\n";
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct containerfile_step *s;
	struct containerfile f;
	struct err e = {};

	CHECK(containerfile_parse(&a, (struct str){ text, sizeof(text) - 1 }, "F", &f, &e) == 0);
	CHECK(f.n == 6 && f.escape == '`');
	if (f.n != 6)
		return;
	s = f.steps;
	CHECK(s->kind == CONTAINERFILE_FROM && s->line == 3 && s->flags_n == 1 &&
	      streq(s->flags[0].key, "platform") && streq(s->flags[0].value, "linux/amd64") &&
	      str_is(s->rest, "debian AS base"));
	s = &f.steps[1];
	CHECK(s->kind == CONTAINERFILE_RUN && s->line == 6 && s->flags_n == 2 &&
	      streq(s->flags[0].value, "type=cache,target=/c") && str_is(s->rest, "a     b \\ c"));
	s = &f.steps[2];
	CHECK(s->words_n == 2 && streq(s->words[1], "y z"));
	CHECK(!f.steps[3].words && str_is(f.steps[3].rest, "[not json]"));
	s = &f.steps[4];
	CHECK(s->line == 12 && s->heredocs_n == 2 && streq(s->heredocs[0].name, "ONE") &&
	      !s->heredocs[0].expand && str_is(s->heredocs[0].text, "first $A\n"));
	CHECK(s->heredocs[1].expand && str_is(s->heredocs[1].text, "second\n"));
	CHECK(f.steps[5].heredocs_n == 0 && f.steps[5].line == 17);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *says;
	} v[] = {
		{ "FROM x\nRUNN y", "F:2: there is no instruction 'RUNN' (did you mean 'RUN'?)" },
		{ "FROM x\n\nEXPOSE", "F:3: EXPOSE wants something to follow it\n     3 | EXPOSE" },
		{ "FROM x\nRUN <<EOF\nno end", "the here-document 'EOF' has no end" },
		{ "# escape=x\nFROM x", "the escape character is \\ or `" },
		{ "# only a comment\n", "F: there is no instruction in it" },
		{ "", "F: there is no instruction in it" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct containerfile f;
		struct err e = {};

		CHECK(containerfile_parse(&a, str_of(v[i].text), "F", &f, &e) < 0 &&
		      e.kind == ERR_INVALID && strstr(e.msg, v[i].says));
		if (!strstr(e.msg, v[i].says))
			(void) fprintf(stderr, "%s\n", e.msg);
	}
}

static void test_step(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct containerfile_step s;
	struct err e = {};

	CHECK(containerfile_parse_step(&a, STR("COPY --from=x . /a"), '\\', &s, &e) == 0);
	CHECK(s.kind == CONTAINERFILE_COPY && s.line == 0 && s.flags_n == 1);
	CHECK(containerfile_parse_step(&a, STR("COPY <<E /a"), '\\', &s, &e) < 0);
}

int main(void)
{
	test_parts();
	test_refused();
	test_step();
	return test_done();
}

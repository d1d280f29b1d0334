/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gotemplate.h"

#include "base/test.h"

static const char document[] =
	"{\"Name\":\"/web\",\"Pid\":42,\"Ratio\":1.256,\"State\":{\"Running\":true,\"Health\":null,"
	"\"Code\":0},\"Config\":{\"Labels\":{\"b\":\"2\",\"a\":\"1\"},\"Env\":[\"A=1\",\"B=2\"],"
	"\"Cmd\":null,\"N\":1},\"Mounts\":[{\"Source\":\"/x\",\"RW\":true},{\"Source\":\"/y\","
	"\"RW\":false}],\"Empty\":[]}";

static char got[4096];

static const char *run(const char *text, bool header)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf out = BUF_INIT(sizeof(got) - 1);
	struct gotemplate_env env = { .header = header };
	const struct gotemplate *t = NULL;
	const struct json *data;
	struct err e;
	int r = json_parse(&a, str_of(document), &data, &e);

	if (r == 0)
		r = gotemplate_parse(&a, str_of(text), &t, &e);
	if (r == 0)
		r = gotemplate_run(t, data, &env, &a, &out, &e);
	(void) snprintf(got, sizeof(got), "%s", r < 0 ? e.msg : buf_z(&out));
	return got;
}

static const struct {
	const char *text, *want;
} cases[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ "{{.Name}} {{.Pid}}", "/web 42" },
	{ "{{ .State.Running }}", "true" },
	{ "{{.State.Health}}", "<nil>" },
	{ "{{json .Config.Labels}}", "{\"b\":\"2\",\"a\":\"1\"}" },
	{ "{{.Config.Labels}}", "map[a:1 b:2]" },
	{ "{{.Config.Env}}", "[A=1 B=2]" },
	{ "{{.Config.Labels.nope}}", "<no value>" },
	{ "{{index .Config.Labels \"a\"}}", "1" },
	{ "{{index .Config.Labels \"zz\"}}|", "|" },
	{ "{{index .Mounts 1 \"Source\"}}", "/y" },
	{ "{{(index .Mounts 0).Source}}", "/x" },
	{ "{{range .Mounts}}{{.Source}} {{end}}", "/x /y " },
	{ "{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}};{{end}}", "0=/x;1=/y;" },
	{ "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 " },
	{ "{{range .Empty}}x{{else}}none{{end}}", "none" },
	{ "{{range .Config.Cmd}}x{{else}}nil{{end}}", "nil" },
	{ "{{range .Config.Env}}{{if eq . \"B=2\"}}{{break}}{{end}}{{.}}{{end}}", "A=1" },
	{ "{{range .Config.Env}}{{if eq . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "B=2" },
	{ "{{if .State.Running}}up{{else}}down{{end}}", "up" },
	{ "{{if .State.Code}}bad{{else if .State.Running}}run{{else}}x{{end}}", "run" },
	{ "{{if not .State.Running}}a{{else if .State.Code}}b{{else}}c{{end}}", "c" },
	{ "{{if and .State.Running (eq .Pid 42)}}yes{{end}}", "yes" },
	{ "{{if or .State.Health .State.Code}}yes{{else}}no{{end}}", "no" },
	{ "{{with .State}}{{.Code}}{{end}}{{with .Config.Cmd}}x{{else}}-{{end}}", "0-" },
	{ "{{with .Config.Cmd}}x{{else with .Name}}{{.}}{{end}}", "/web" },
	{ "{{$x := .Pid}}{{$x}} {{$x = 7}}{{$x}} {{$.Pid}}", "42 7 42" },
	{ "{{join .Config.Env \", \"}}", "A=1, B=2" },
	{ "{{.Name | upper | printf \"%-6s|\"}}", "/WEB  |" },
	{ "{{lower \"ABC\"}}{{title \"two words\"}}", "abcTwo Words" },
	{ "{{split \"a:b:c\" \":\"}}{{index (split \"a:b\" \":\") 1}}", "[a b c]b" },
	{ "{{println .Name 1}}", "/web 1\n" },
	{ "{{print 1 2 \"x\" \"y\" 3}}", "1 2xy3" },
	{ "{{printf \"%s-%d-%v-%q-%x-%t-%5d|%05d|%.2f|%%\" .Name .Pid .State.Code \"a\\\"\" 255 "
	  "true 7 -7 .Ratio}}",
	  "/web-42-0-\"a\\\"\"-ff-true-    7|-0007|1.26|%" },
	{ "{{printf \"%s\"}} {{printf \"%d\" \"x\"}} {{printf \"x\" 1}}",
	  "%!s(MISSING) %!d(x) x%!(EXTRA)" },
	{ "{{len .Config.Env}}{{len .Name}}{{len .Config.Labels}}", "242" },
	{ "{{lt 1 2}}{{le 2 2}}{{gt -1 -2}}{{ge 1.5 2}}{{ne 1 2}}{{eq 3 1 2 3}}",
	  "truetruetruefalsetruetrue" },
	{ "{{slice .Name 1}}{{slice \"abcdef\" 1 3}}{{truncate .Name 2}}", "webbc/w" },
	{ "{{pad .Name 1 2}}|", " /web  |" },
	{ "a {{- 1 -}} b", "a1b" },
	{ "a{{/* note */}}b", "ab" },
	{ "a {{- /* note */ -}} b", "ab" },
	{ "{{`raw \\n`}}{{\"t\\tab\"}}", "raw \\nt\tab" },
	{ "{{eq .State.Health nil}}", "true" },
	{ "{{.Nope}}", "template: 1:3: there is no field .Nope" },
	{ "\n  {{.State.Nope}}", "template: 2:5: there is no field .Nope" },
	{ "{{.Name.X}}", "template: 1:3: can't evaluate field X in a string" },
	{ "{{.State.Health.X}}", "template: 1:3: nil has no field .X" },
	{ "{{nofunc .}}", "template: 1:3: function \"nofunc\" not defined" },
	{ "{{.Name", "template: 1:3: unclosed action: no \"}}\"" },
	{ "{{\"x}}", "template: 1:3: unterminated string" },
	{ "{{if .Name}}x", "template: 1:3: no {{end}} for this" },
	{ "x{{end}}", "template: 1:7: unexpected {{end}}" },
	{ "{{}}", "template: 1:3: missing value" },
	{ "{{.Name | }}", "template: 1:11: missing value" },
	{ "{{(.Name}}", "template: 1:9: unclosed left parenthesis" },
	{ "{{.Name)}}", "template: 1:8: unexpected right parenthesis" },
	{ "{{1 2}}", "template: 1:5: can't give an argument to a non-function" },
	{ "{{index .Config.Env 5}}", "template: 1:3: index 5 is out of range: 2 elements" },
	{ "{{lt 1 \"a\"}}", "template: 1:3: incompatible types for comparison" },
	{ "{{template \"x\"}}", "template: 1:11: {{template}} is not supported" },
	{ "{{break}}", "template: 1:3: break and continue stand alone, within range" },
	{ "{{$nope}}", "template: 1:3: undefined variable \"$nope\"" },
	{ "{{range .Pid}}{{end}}", "template: 1:9: range can't iterate over a number" },
};

static void test_limits(void)
{
	auto_buf struct buf deep = BUF_INIT(1u << 20);

	for (int i = 0; i < 1000; i++)
		buf_adds(&deep, "{{if 1}}");
	CHECK(strstr(run(buf_z(&deep), false), "nested too deeply"));
	buf_clear(&deep);
	buf_adds(&deep, "{{");
	for (int i = 0; i < 1000; i++)
		buf_adds(&deep, "(");
	buf_adds(&deep, "}}");
	CHECK(strstr(run(buf_z(&deep), false), "nested too deeply"));
	buf_clear(&deep);
	for (int i = 0; i < 300; i++)
		buf_adds(&deep, "{{printf \"%100d\" 1}}");
	CHECK(strstr(run(buf_z(&deep), false), "too much output"));
}

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(run(cases[i].text, false), cases[i].want);
	CHECK_STR(run("{{json .Name}}{{upper .Name}}{{join .Name \",\"}}", true), "/web/WEB/web");
	test_limits();
	return test_done();
}

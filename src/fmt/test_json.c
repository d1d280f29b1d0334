/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/json.h"

struct inner {
	uint64_t limit;
	bool limit_set;
};

struct outer {
	const char *name;
	const char **args;
	size_t args_n;
	struct inner *inner;
	struct inner *list;
	size_t list_n;
	struct json_pair *labels;
	size_t labels_n;
	uint32_t uid;
	bool yes;
};

static const struct json_field inner_fields[] = {
	JSON_U64_OPT(struct inner, limit, limit_set, "limit", 0, UINT64_MAX),
};
static const struct json_table inner_table = JSON_TABLE(struct inner, inner_fields,
							JSON_UNKNOWN_REFUSE);
static const struct json_field outer_fields[] = {
	JSON_STRING_FIELD(struct outer, name, "name", JSON_REQUIRED),
	JSON_STRINGS_FIELD(struct outer, args, args_n, "args", 0),
	JSON_OBJECT_FIELD(struct outer, inner, "inner", &inner_table, 0),
	JSON_ARRAY_FIELD(struct outer, list, list_n, "list", &inner_table, 0),
	JSON_MAP_FIELD(struct outer, labels, labels_n, "labels", 0),
	JSON_U32_FIELD(struct outer, uid, "uid", 0, 100, 0),
	JSON_BOOL_FIELD(struct outer, yes, "yes", 0),
	JSON_REFUSED_FIELD("later"),
};
static const struct json_table outer_table = JSON_TABLE(struct outer, outer_fields,
							JSON_UNKNOWN_IGNORE);

static int decode(struct arena *a, const char *text, struct outer *o, struct err *e)
{
	const struct json *root = NULL;
	int r = json_parse(a, str_of(text), &root, e);

	return r < 0 ? r : json_decode(a, root, &outer_table, o, "", e);
}

static void test_errors(void)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "", "not valid JSON: empty" },
		{ "{\"name\":1}", "name: must be a string, not a number" },
		{ "{}", "name: missing" },
		{ "{\"name\":\"a\",\"name\":\"b\"}",
		  "not valid JSON, line 1: duplicate key 'name'" },
		{ "{\"name\":\"a\",\"uid\":101}", "uid: 101 is not an integer from 0 to 100" },
		{ "{\"name\":\"a\",\"list\":[{},{\"x\":1}]}", "list[1].x: unknown key" },
		{ "{\"name\":\"a\",\"inner\":{\"limit\":-1}}",
		  "inner.limit: -1 is not an integer from 0 to 18446744073709551615" },
		{ "{\"name\":\"a\",\"later\":{}}", "later: not supported" },
		{ "{\"name\":\"a\",\"args\":[1]}", "args[0]: must be a string, not a number" },
		{ "[]", "document: must be an object, not an array" },
		{ "{\"name\":\"a\\u0000b\"}", "not valid JSON, line 1: a string holds a NUL byte" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct outer o = {};
		struct err e = {};

		CHECK(decode(&a, bad[i].text, &o, &e) < 0);
		CHECK_STR(e.msg, bad[i].message);
	}
}

static void test_limits(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20), tiny = ARENA_INIT(64);
	auto_buf struct buf deep = BUF_INIT(10000);
	const struct json *v = NULL;
	struct err e = {};

	for (int i = 0; i < JSON_DEPTH_MAX + 1; i++)
		buf_addc(&deep, '[');
	CHECK(json_parse(&a, buf_str(&deep), &v, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(json_parse(&tiny, STR("[1,2,3,4,5,6,7,8,9]"), &v, &e) < 0 && e.kind == ERR_EXHAUSTED);
	CHECK(json_parse(&a, STR("{} x"), &v, &e) < 0);
	CHECK(json_parse(&a, STR("\"\xff\""), &v, &e) < 0);
}

int main(void)
{
	static const char text[] =
		"{\"name\":\"n\",\"args\":[\"a\",\"b\"],\"inner\":{\"limit\":18446744073709551615},"
		"\"list\":[{},{\"limit\":0}],\"labels\":{\"k\":\"v\"},\"uid\":7,\"yes\":true}";
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf out = BUF_INIT(1 << 16);
	struct json_writer w = JSON_WRITER(&out);
	const struct json *root = NULL;
	struct outer o = {};
	struct err e = {};

	CHECK(decode(&a, text, &o, &e) == 0);
	CHECK_STR(o.name, "n");
	CHECK(o.args_n == 2 && !o.args[2]);
	CHECK(o.inner && o.inner->limit == UINT64_MAX && o.inner->limit_set);
	CHECK(o.list_n == 2 && !o.list[0].limit_set && o.list[1].limit_set);
	CHECK(o.labels_n == 1 && o.uid == 7 && o.yes);
	CHECK(json_parse(&a, str_of(text), &root, &e) == 0);
	json_w_value(&w, NULL, root);
	CHECK_STR(buf_z(&out), text);
	buf_clear(&out);
	w = JSON_WRITER_PRETTY(&out, 4);
	json_w_object(&w, NULL);
	json_w_string(&w, "a\"", "x\n\xff\x01\xc3\xa9");
	json_w_array(&w, "e");
	json_w_end(&w);
	json_w_fixed(&w, "f", -1234, 3);
	json_w_end(&w);
	CHECK_STR(buf_z(&out), "{\n    \"a\\\"\": \"x\\n\xef\xbf\xbd\\u0001\xc3\xa9\",\n    \"e\": "
			       "[],\n    \"f\": -1.234\n}");
	test_errors();
	test_limits();
	return test_done();
}

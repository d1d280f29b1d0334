/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/groups_unit.h"

#include "base/auto.h"
#include "base/test.h"
#include "fmt/spec.h"

static void test_names(void)
{
	static const struct {
		const char *path, *unit, *slice;
	} good[] = {
		{ NULL, "atoll-a.b_1.scope", "system.slice" },
		{ "", "atoll-a.b_1.scope", "system.slice" },
		{ "machine.slice:libpod:12ab", "libpod-12ab.scope", "machine.slice" },
		{ "user-x-y.slice:p:n", "p-n.scope", "user-x-y.slice" },
		{ ":p:n", "p-n.scope", "system.slice" },
		{ "-.slice::n", "-n.scope", "-.slice" },
		{ "word", "word.scope", "system.slice" },
	};
	static const char *const bad[] = {
		"/a/b",		 "a/b",		  "machine.slice:a", "a:b:c",	     "a.slice:b:",
		"a.slice:b:c:d", "a.slice:b:c d", "a--b.slice:x:y",  "-a.slice:x:y", "a-.slice:x:y",
		"a.slice:b:c'd", "x/y.slice:a:b", "a.slice:..:/x",
	};
	struct unit_names n;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct groups_options o = { .id = "a.b_1", .path = good[i].path };

		CHECK(unit_names_of(&o, false, &n, &e) == 0);
		CHECK_STR(n.unit, good[i].unit);
		CHECK_STR(n.slice, good[i].slice);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct groups_options o = { .id = "x", .path = bad[i] };

		CHECK(unit_names_of(&o, false, &n, &e) < 0 && e.kind == ERR_INVALID);
		CHECK(strstr(e.msg, "cgroupsPath") != NULL);
	}
	struct groups_options o = { .id = "a+b" };

	CHECK(unit_names_of(&o, true, &n, &e) == 0);
	CHECK_STR(n.unit, "atoll-a\\x2bb.scope");
	CHECK_STR(n.slice, "user.slice");
	char path[400] = "machine.slice:p:";

	memset(path + strlen(path), 'x', 300);
	o.path = path;
	CHECK(unit_names_of(&o, true, &n, &e) < 0);
}

static int annotate(const char *key, const char *value, size_t *ret_n, struct err *e)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct json_pair pair = { .key = key, .value = value };
	struct spec s = { .annotations = &pair, .annotations_n = 1 };
	struct groups_options o = { .id = "x", .spec = &s };
	int r = unit_put_annotations(&b, &o, e);

	*ret_n = b.n;
	return r;
}

static void test_annotations(void)
{
	static const struct {
		const char *key, *value;
	} bad[] = {
		{ "org.systemd.property.PIDs", "@au [1]" },
		{ "org.systemd.property.Slice", "'x.slice'" },
		{ "org.systemd.property.Description", "plain words" },
		{ "org.systemd.property.", "1" },
		{ "org.systemd.property.A B", "1" },
		{ "org.systemd.property.TimeoutStopSec", "'long'" },
		{ "org.systemd.property.TimeoutStopSec", "-1" },
	};
	struct err e;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK(annotate(bad[i].key, bad[i].value, &n, &e) < 0 && e.kind == ERR_INVALID);
		CHECK(strstr(e.msg, bad[i].key) != NULL);
	}
	CHECK(annotate("org.systemd.property.TimeoutStopSec", "5", &n, &e) == 0);
	CHECK(n == 4 + 16 + 1 + 3 + 8); /* TimeoutStopUSec is a t */
	CHECK(annotate("org.example", "anything", &n, &e) == 0 && n == 0);
}

/* The names that systemd gives devices, in the bytes that go to it. */
static bool says(const struct buf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text) + 1) != NULL;
}

static void test_devices(void)
{
	struct spec_device_rule rules[] = {
		{ .allow = false, .type = 'a', .major = -1, .minor = -1 },
		{ .allow = true, .type = 'c', .major = 10, .minor = 229, .read = true },
		{ .allow = true,
		  .type = 'b',
		  .major = 7,
		  .minor = -1,
		  .read = true,
		  .write = true },
	};
	struct spec_resources r = { .devices = rules, .devices_n = 3 };
	auto_buf struct buf b = BUF_INIT(65536);
	struct err e;

	CHECK(unit_put_devices(&b, &r, true, &e) == 0);
	CHECK(says(&b, "strict") && says(&b, "/dev/char/10:229") && says(&b, "block-7"));
	CHECK(says(&b, "/dev/char/1:3") && says(&b, "char-136") && says(&b, "char-*"));
	rules[0].allow = true;
	r.devices_n = 1;
	buf_clear(&b);
	CHECK(unit_put_devices(&b, &r, true, &e) == 0);
	CHECK(says(&b, "auto") && !says(&b, "/dev/char/1:3"));
	/* All but one: each name once, with all it is allowed. */
	rules[1] = (struct spec_device_rule){ .type = 'c', .major = 1, .minor = 1 };
	r.devices_n = 2;
	buf_clear(&b);
	CHECK(unit_put_devices(&b, &r, true, &e) == 0 && says(&b, "char-*"));
	const char *at = memmem(b.p, b.n, "char-*", 7);

	CHECK(at && memmem(at, (size_t) (b.p + b.n - at), "rwm", 4) == at + 12);
	CHECK(at && !memmem(at + 1, (size_t) (b.p + b.n - at - 1), "char-*", 7));
	buf_clear(&b);
	CHECK(unit_put_devices(&b, NULL, false, &e) == 0 && b.n == 0);
}

int main(void)
{
	test_names();
	test_annotations();
	test_devices();
	return test_done();
}

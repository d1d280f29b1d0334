/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/dbus.h"

#include <errno.h>

#include "base/auto.h"
#include "base/test.h"

/* A call of ours read back, byte by byte shorter and damaged. */
static void test_call(void)
{
	auto_buf struct buf body = BUF_INIT(4096), b = BUF_INIT(4096);
	struct dbus_message m;
	struct str text;
	uint32_t n;
	size_t size = 0;

	dbus_string(&body, STR("x.scope"));
	dbus_u32(&body, 7);
	dbus_write_call(&b, &(struct dbus_call){ .destination = "org.a",
						 .path = "/org/a",
						 .interface = "org.a.I",
						 .member = "Go",
						 .signature = "su",
						 .body = buf_str(&body),
						 .serial = 9 });
	CHECK(buf_ok(&b) && dbus_size((struct str){ b.p, DBUS_HEAD_SIZE }, &size) == 0);
	CHECK(size == b.n);
	CHECK(dbus_parse(buf_str(&b), &m) == 0);
	CHECK(m.kind == DBUS_CALL && m.serial == 9 && !m.big);
	CHECK(str_is(m.path, "/org/a") && str_is(m.member, "Go") && str_is(m.interface, "org.a.I"));
	CHECK(str_is(m.signature, "su"));
	struct dbus_reader r = DBUS_READER(&m);

	CHECK(dbus_read_string(&r, &text) == 0 && str_is(text, "x.scope"));
	CHECK(dbus_read_u32(&r, &n) == 0 && n == 7);
	CHECK(dbus_read_u32(&r, &n) == -EBADMSG);
	for (size_t i = 0; i < b.n; i++)
		CHECK(dbus_parse((struct str){ b.p, i }, &m) < 0);
	b.p[3] = 2;
	CHECK(dbus_parse(buf_str(&b), &m) == -EBADMSG); /* another version */
}

/* An error as a peer of the other byte order writes it. */
static void test_big_endian(void)
{
	static const char bytes[] = "B\3\1\1\0\0\0\7\0\0\0\2\0\0\0\37"
				    "\4\1s\0\0\0\0\5a.b.C\0\0\0"
				    "\5\1u\0\0\0\0\3"
				    "\10\1g\0\1s\0\0\0\0\0\2no\0";
	struct dbus_message m;
	struct str text;

	/* The last padding belongs to the header, not to its fields. */
	CHECK(dbus_parse((struct str){ bytes, 16 + 31 + 1 + 7 }, &m) == 0);
	CHECK(m.kind == DBUS_ERROR && m.big && m.serial == 2 && m.reply_serial == 3);
	CHECK(str_is(m.error, "a.b.C"));
	struct dbus_reader r = DBUS_READER(&m);

	CHECK(dbus_read_string(&r, &text) == 0 && str_is(text, "no"));
}

static void test_sizes(void)
{
	static const char huge[] = "l\1\0\1\377\377\377\177\1\0\0\0\0\0\0\0";
	static const char fields[] = "l\1\0\1\0\0\0\0\1\0\0\0\377\377\377\377";
	size_t n;

	CHECK(dbus_size((struct str){ huge, 16 }, &n) == -EMSGSIZE);
	CHECK(dbus_size((struct str){ fields, 16 }, &n) == -EMSGSIZE);
	CHECK(dbus_size((struct str){ huge, 15 }, &n) == -EBADMSG);
}

static void test_types(void)
{
	static const char *const good[] = { "s",   "a{sv}",    "a(ss)",	       "(iu)",
					    "aay", "a{s(ib)}", "aaaa(a{s(v)})" };
	static const char *const bad[] = { "",	   "ss",   "a",	     "()", "(s",  "a{vs}",
					   "a{s}", "{sv}", "a{sss}", "z",  "a{s", "as)" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK(dbus_type_valid(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!dbus_type_valid(str_of(bad[i])));
	CHECK(dbus_object_path_valid(STR("/")) && dbus_object_path_valid(STR("/a/b_1")));
	CHECK(!dbus_object_path_valid(STR("/a/")) && !dbus_object_path_valid(STR("a")));
	CHECK(!dbus_object_path_valid(STR("/a//b")) && !dbus_object_path_valid(STR("/a.b")));
	auto_buf struct buf b = BUF_INIT(256);

	dbus_path_escape(&b, STR("1-a.scope"));
	CHECK_STR(buf_z(&b), "_31_2da_2escope");
}

static void test_addresses(void)
{
	static const struct {
		const char *in, *path;
		bool abstract;
	} good[] = {
		{ "unix:path=/run/bus", "/run/bus", false },
		{ "unix:guid=12,path=/a%20b;unix:path=/c", "/a b", false },
		{ "tcp:host=x,port=1;unix:abstract=/tmp/y,guid=7", "/tmp/y", true },
		{ ";unix:path=/x;", "/x", false },
	};
	static const struct {
		const char *in;
		int r;
	} bad[] = { { "", -ENOENT },
		    { "tcp:host=x", -ENOENT },
		    { "unix:runtime=yes", -ENOENT },
		    { "/run/bus", -EINVAL },
		    { "unix:path", -EINVAL },
		    { "unix:path=", -EINVAL },
		    { "unix:path=%0", -EINVAL },
		    { "unix:path=a%00b", -EINVAL },
		    { "unix:path=%zz", -EINVAL } };
	struct dbus_address a;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK(dbus_address_parse(str_of(good[i].in), &a) == 0);
		CHECK_STR(a.path, good[i].path);
		CHECK(a.abstract == good[i].abstract && a.n == strlen(a.path));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(dbus_address_parse(str_of(bad[i].in), &a) == bad[i].r);
	char text[200] = "unix:path=/";

	memset(text + 11, 'x', 120);
	CHECK(dbus_address_parse(str_of(text), &a) == -ENAMETOOLONG);
}

static void test_welcome(void)
{
	CHECK(dbus_welcome(STR("")) == 0);
	CHECK(dbus_welcome(STR("DATA\r\nOK 12")) == 0);
	CHECK(dbus_welcome(STR("DATA\r\nOK 12\r\nl")) == 13);
	CHECK(dbus_welcome(STR("OK 12\r\n")) == 7);
	CHECK(dbus_welcome(STR("REJECTED EXTERNAL\r\n")) == -EACCES);
	CHECK(dbus_welcome(STR("DATA\r\nREJECTED EXTERNAL\r\n")) == -EACCES);
	CHECK(dbus_welcome(STR("HTTP/1.1 400 Bad\r\n")) == -EBADMSG);
	CHECK(dbus_welcome(STR("DATA\r\nDATA\r\n")) == -EBADMSG);
	char text[600];

	memset(text, 'D', sizeof(text));
	CHECK(dbus_welcome((struct str){ text, sizeof(text) }) == -EBADMSG);
}

int main(void)
{
	test_call();
	test_big_endian();
	test_sizes();
	test_types();
	test_addresses();
	test_welcome();
	return test_done();
}

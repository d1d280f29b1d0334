/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "fmt/changes.h"

static void test_good(void)
{
	static const char *const lines[] = {
		"CMD [\"a\",\"b c\"]",
		"entrypoint run it",
		"ENV A=1 B=\"two words\"",
		"ENV A 3 4",
		"EXPOSE 80 53/udp 80/tcp",
		"LABEL k=v \"x y\"=z",
		"USER 1000:1000",
		"WORKDIR /srv",
		"WORKDIR app",
		"VOLUME /a /b",
		"VOLUME [\"/b\",\"/c d\"]",
		"STOPSIGNAL SIGINT",
		"HEALTHCHECK --interval=5s --retries=2 CMD curl -f http://x/",
	};
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct oci_run_config c = {};
	struct err e = {};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		CHECK(changes_apply(&a, &c, str_of(lines[i]), &e) == 0);
	CHECK(c.cmd_n == 2 && streq(c.cmd[1], "b c"));
	CHECK(c.entrypoint_n == 3 && streq(c.entrypoint[2], "run it"));
	CHECK(c.env_n == 2 && streq(c.env[0], "A=3 4") && streq(c.env[1], "B=two words"));
	CHECK(c.exposed_ports_n == 2 && streq(c.exposed_ports[1], "53/udp"));
	CHECK(c.labels_n == 2 && streq(c.labels[1].key, "x y"));
	CHECK_STR(c.working_dir, "/srv/app");
	CHECK(c.volumes_n == 3 && streq(c.volumes[2], "/c d"));
	CHECK(c.healthcheck && c.healthcheck->retries == 2 && c.healthcheck->test_n == 2 &&
	      c.healthcheck->interval == 5000000000);
}

static void test_bad(void)
{
	static const char *const lines[] = {
		"",	    "RUN x",	   "ENV",	  "ENV A",
		"EXPOSE x", "EXPOSE 0",	   "VOLUME a",	  "USER",
		"SHELL sh", "LABEL a=b c", "HEALTHCHECK", "HEALTHCHECK --interval=x CMD y"
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct oci_run_config c = {};
		struct err e = {};

		CHECK(changes_apply(&a, &c, str_of(lines[i]), &e) < 0);
		CHECK(e.kind == ERR_INVALID);
	}
}

int main(void)
{
	test_good();
	test_bad();
	return test_done();
}

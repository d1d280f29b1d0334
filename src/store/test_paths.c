/* SPDX-License-Identifier: Apache-2.0 */
#include "store/paths.h"

#include <stdlib.h>

#include "base/str.h"
#include "base/test.h"

int main(void)
{
	struct paths p;
	struct err e;

	CHECK(paths_init(&p, "/a//b/./c/", "/run/x", &e) == 0);
	CHECK_STR(p.root, "/a/b/c");
	CHECK_STR(paths_db(&p).z, "/a/b/c/atoll.db");
	CHECK_STR(paths_log(&p, "0123").z, "/a/b/c/workloads/0123/workload.log");
	CHECK_STR(paths_run(&p, "0123").z, "/run/x/workloads/0123");
	CHECK(paths_init(&p, "/a/../b", NULL, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(paths_init(&p, "/", NULL, &e) < 0 && e.kind == ERR_INVALID);
	char longer[PATHS_MAX + 8];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	CHECK(paths_init(&p, longer, NULL, &e) < 0 && e.kind == ERR_INVALID);
	CHECK(setenv("ATOLL_ROOT", "/from/env", 1) == 0);
	CHECK(paths_init(&p, NULL, "rel", &e) == 0);
	CHECK_STR(p.root, "/from/env");
	CHECK(p.state[0] == '/' && str_ends(str_of(p.state), "/rel"));
	CHECK(paths_init(&p, "/given", "rel", &e) == 0);
	CHECK_STR(p.root, "/given");
	return test_done();
}

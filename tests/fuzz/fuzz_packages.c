/* SPDX-License-Identifier: Apache-2.0 */
/* One text as every list of packages there is: what comes out has names and versions. */
#include <stdlib.h>

#include "fmt/distro.h"
#include "fmt/packages.h"
#include "fuzz.h"

static int check(void *user, const struct package *p)
{
	++*(size_t *) user;
	if (!package_word_ok(p->name) || !package_word_ok(p->version) ||
	    !package_word_ok(p->source) || !package_word_ok(p->source_version))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT(1u << 20);
	struct buf ecosystem = BUF_INIT(1000);
	struct str text = { (const char *) data, size };
	struct os_release o;
	struct package p;
	size_t n = 0;

	if (packages_dpkg(text, check, &n) || packages_apk(text, check, &n))
		abort();
	if (packages_python(&a, text, &p) == 0)
		(void) check(&n, &p);
	if (packages_node(&a, text, &p) == 0)
		(void) check(&n, &p);
	if (os_release_parse(&a, text, &o) == 0)
		distro_ecosystem(&o, &ecosystem);
	buf_fini(&ecosystem);
	arena_fini(&a);
	return 0;
}

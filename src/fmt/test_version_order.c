/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/version_order.h"

#include "base/auto.h"
#include "base/test.h"

/* Each list from old to new; "=" before a version: the same as the one before it. */
static void ascending(enum version_scheme scheme, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			bool same = i == k;
			int want;

			for (size_t m = (i < k ? i : k) + 1; m <= (i < k ? k : i) && i != k; m++) {
				same = v[m][0] == '=';
				if (!same)
					break;
			}
			want = same ? 0 : i < k ? -1 : 1;
			struct str a = str_of(v[i] + (v[i][0] == '=')),
				   b = str_of(v[k] + (v[k][0] == '='));

			if (version_order(scheme, a, b) != want)
				(void) fprintf(stderr, "%s and %s\n", a.p, b.p);
			CHECK(version_order(scheme, a, b) == want);
		}
}

int main(void)
{
	static const char *const debian[] = {
		"",	      "1.0~~",	       "1.0~~a",	"1.0~",	   "1.0~rc1-1",
		"1.0",	      "=1.0-0",	       "=0:1.0",	"1.0-1",   "=01.0-1",
		"1.0-1+b1",   "1.0-1+deb12u1", "1.0-1+deb12u2", "1.0-1.1", "1.0a",
		"1.0+dfsg-1", "1.0.1",	       "1.2",		"1.10",	   "1:0.1",
		"2:0",
	};
	static const char *const alpine[] = {
		"1.0_alpha", "1.0_alpha2", "1.0_beta1", "1.0_rc1", "1.0",
		"=1.0~12ab", "1.0-r0",	   "1.0-r1",	"1.0-r10", "1.0_git20200101",
		"1.0_p1",    "1.0_p1-r1",  "1.0a",	"1.0b",	   "1.0.1",
		"=1.01",     "1.1",	   "1.2.3",	"1.10",	   "2",
	};
	static const char *const python[] = {
		"nonsense", "1.0.dev1",	      "1.0a1.dev2", "1.0a1",  "=1.0-alpha.1", "1.0b2",
		"1.0rc1",   "=1.0c1",	      "1.0",	    "=1",     "=v1.0.0",      "1.0+abc",
		"1.0+5",    "1.0.post1.dev1", "1.0.post1",  "=1.0-1", "1.1",	      "1.10",
		"2012.1",   "1!0.1",
	};
	static const char *const node[] = {
		"x",
		"1.0.0-1",
		"1.0.0-alpha",
		"1.0.0-alpha.1",
		"1.0.0-alpha.beta",
		"1.0.0-beta.2",
		"1.0.0-beta.11",
		"1.0.0-rc.1",
		"1.0.0",
		"=v1.0.0+build",
		"=1",
		"1.0.1",
		"1.2.0",
		"1.10.0",
		"2.0.0",
	};

	ascending(VERSION_DEBIAN, debian, ARRAY_SIZE(debian));
	ascending(VERSION_ALPINE, alpine, ARRAY_SIZE(alpine));
	ascending(VERSION_PEP440, python, ARRAY_SIZE(python));
	ascending(VERSION_SEMVER, node, ARRAY_SIZE(node));
	return test_done();
}

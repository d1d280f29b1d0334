/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "fmt/registries.h"

static struct reference ref_of(const char *text)
{
	struct reference ref = {};
	struct err e = {};

	CHECK(reference_parse(str_of(text), &ref, &e) == 0);
	return ref;
}

static void add(struct registries *c, const char *file, const char *text)
{
	struct err e = {};

	CHECK(registries_add(c, str_of(text), file, &e) == 0);
	CHECK_STR(e.msg, "");
}

static void refused(const char *text, const char *says)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	struct err e = {};

	CHECK(registries_add(&c, str_of(text), "/etc/x.conf", &e) < 0);
	CHECK(strncmp(e.msg, "/etc/x.conf: ", 13) == 0);
	if (!strstr(e.msg, says))
		CHECK_STR(e.msg, says);
}

/* Where it is, as "a, b!, c": with ! where it is insecure; or why it is nowhere. */
static void places(struct registries *c, const char *name, const char *want)
{
	struct reference ref = ref_of(name);
	struct registries_place *all = NULL;
	char got[2048] = "", text[REFERENCE_MAX];
	struct err e = {};
	size_t n = 0;

	if (registries_places(c, &ref, &all, &n, &e) < 0)
		(void) snprintf(got, sizeof(got), "%s", e.msg);
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(got);

		reference_text(&all[i].ref, text);
		(void) snprintf(got + used, sizeof(got) - used, "%s%s%s", i ? ", " : "", text,
				all[i].insecure ? "!" : "");
	}
	CHECK_STR(got, want);
}

static void meant(struct registries *c, const char *name, const char *want)
{
	struct reference *all = NULL;
	char got[2048] = "", text[REFERENCE_MAX];
	struct err e = {};
	size_t n = 0;

	CHECK(registries_meant(c, str_of(name), &all, &n, &e) == 0);
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(got);

		reference_text(&all[i], text);
		(void) snprintf(got + used, sizeof(got) - used, "%s%s", i ? ", " : "", text);
	}
	CHECK_STR(got, want);
}

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void mirrors(void)
{
	auto_registries struct registries c = REGISTRIES_INIT;

	places(&c, "debian:12", "docker.io/library/debian:12");
	add(&c, "a.conf",
	    "[[registry]]\nlocation = 'docker.io'\n"
	    "[[registry.mirror]]\nlocation = 'one.example:5000/hub/'\ninsecure = true\n"
	    "[[registry.mirror]]\nlocation = 'two.example'\npull-from-mirror = 'digest-only'\n"
	    "[[registry.mirror]]\nlocation = 'three.example'\npull-from-mirror = 'tag-only'\n"
	    "[[registry]]\nprefix = 'docker.io/library/busybox'\nlocation = 'q.example/b'\n"
	    "[[registry]]\nprefix = 'example.com/bad'\nblocked = true\n"
	    "[[registry]]\nprefix = '*.example.com'\nlocation = 'real.example/x'\n"
	    "insecure = true\n"
	    "[[registry]]\nprefix = '*.sub.example.com'\n"
	    "[[registry]]\nlocation = 'd.example'\nmirror-by-digest-only = true\n"
	    "[[registry.mirror]]\nlocation = 'm.example'\n"
	    "[[registry]]\nprefix = 'short.example'\nlocation = 'short'\n");
	places(&c, "debian:12",
	       "one.example:5000/hub/library/debian:12!, three.example/library/debian:12, "
	       "docker.io/library/debian:12");
	places(&c, "debian" DIGEST,
	       "one.example:5000/hub/library/debian" DIGEST "!, two.example/library/debian" DIGEST
	       ", docker.io/library/debian" DIGEST);
	places(&c, "busybox:1", "q.example/b:1");
	places(&c, "busybox2:1",
	       "one.example:5000/hub/library/busybox2:1!, "
	       "three.example/library/busybox2:1, docker.io/library/busybox2:1");
	places(&c, "example.com/bad/a:1",
	       "example.com/bad/a is blocked: registry 'example.com/bad' in a.conf");
	places(&c, "example.com/badly:1", "example.com/badly:1");
	places(&c, "a.example.com/y:1", "real.example/x/y:1!");
	places(&c, "a.sub.example.com/y:1", "a.sub.example.com/y:1");
	places(&c, "xexample.com/y:1", "xexample.com/y:1");
	places(&c, "d.example/y:1", "d.example/y:1");
	places(&c, "d.example/y" DIGEST, "m.example/y" DIGEST ", d.example/y" DIGEST);
	places(&c, "short.example/y:1",
	       "a.conf, registry 'short.example': location 'short' does not begin with a "
	       "registry: HOST[:PORT]");
	/* A later file's entry stands for the whole of the earlier. */
	add(&c, "b.conf", "[[registry]]\nlocation = 'docker.io'\nblocked = true");
	places(&c, "debian:12",
	       "docker.io/library/debian is blocked: registry 'docker.io' in b.conf");
}

static void short_names(void)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	auto_buf struct buf out = BUF_INIT(4096);

	meant(&c, "debian", "");
	add(&c, "a.conf",
	    "unqualified-search-registries = ['quay.io', 'docker.io', 'localhost:5000']\n"
	    "[aliases]\n'debian' = 'docker.io/library/debian'\n'a/b' = 'x.example/c'\n"
	    "'gone' = 'x.example/gone'");
	CHECK(c.mode == REGISTRIES_PERMISSIVE);
	add(&c, "b.conf", "short-name-mode = 'enforcing'\n[aliases]\ngone = ''");
	CHECK(c.mode == REGISTRIES_ENFORCING);
	meant(&c, "debian:12", "docker.io/library/debian:12");
	meant(&c, "debian" DIGEST, "docker.io/library/debian" DIGEST);
	meant(&c, "a/b", "x.example/c");
	meant(&c, "gone:1", "quay.io/gone:1, docker.io/library/gone:1, localhost:5000/gone:1");
	meant(&c, "docker.io/debian", "");
	meant(&c, "localhost/debian", "");
	add(&c, "c.conf", "unqualified-search-registries = []");
	meant(&c, "gone:1", "");
	registries_write_alias(&out, &c, "a/b", "y.example/d");
	CHECK_STR(buf_z(&out), "[aliases]\n\"debian\" = \"docker.io/library/debian\"\n"
			       "\"gone\" = \"\"\n\"a/b\" = \"y.example/d\"\n");
	add(&c, "d.conf", buf_z(&out));
	meant(&c, "a/b:7", "y.example/d:7");
}

static void what_is_wrong(void)
{
	refused("x", "line 1");
	refused("[registries.search]\nregistries = ['a']", "version 1");
	refused("[[registry]]\n", "without prefix and location");
	refused("[[registry]]\nlocation = 'https://a.b/'", "no URL");
	refused("[[registry]]\nlocation = '///'", "empty location");
	refused("[[registry]]\nprefix = 'a.*.b'\nlocation = 'a'", "*.DOMAIN only");
	refused("[[registry]]\nprefix = '*.b/c'\nlocation = 'a'", "*.DOMAIN only");
	refused("[[registry]]\nlocation = 'a.b'\n[[registry]]\nlocation = 'a.b'", "twice");
	refused("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]", "location");
	refused("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation = 'c'\n"
		"pull-from-mirror = 'never'",
		"all, digest-only or tag-only");
	refused("[[registry]]\nlocation = 'a.b'\nmirror-by-digest-only = true\n"
		"[[registry.mirror]]\nlocation = 'c'\npull-from-mirror = 'all'",
		"do not go together");
	refused("[[registry]]\nlocation = 5", "must be a string");
	refused("short-name-mode = 'x'", "enforcing, permissive or disabled");
	refused("unqualified-search-registries = ['a b.c']", "is no registry");
	refused("unqualified-search-registries = ['a']", "is no registry");
	refused("[aliases]\n'a.b/c' = 'd.e/f'", "without registry and tag");
	refused("[aliases]\n'c:1' = 'd.e/f'", "without registry and tag");
	refused("[aliases]\n'c' = 'd/f'", "with its registry");
	refused("[aliases]\n'c' = 'd.e/f:1'", "without a tag");
}

int main(void)
{
	mirrors();
	short_names();
	what_is_wrong();
	return test_done();
}

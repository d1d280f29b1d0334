/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/packages.h"

#include <errno.h>

#include "base/auto.h"
#include "fmt/json.h"

static const struct {
	const char *name;
	enum version_scheme scheme;
} kinds[PACKAGE_KINDS] = {
	[PACKAGE_DEB] = { "deb", VERSION_DEBIAN },
	[PACKAGE_APK] = { "apk", VERSION_ALPINE },
	[PACKAGE_PYTHON] = { "pypi", VERSION_PEP440 },
	[PACKAGE_NODE] = { "npm", VERSION_SEMVER },
};

const char *package_kind_name(enum package_kind kind)
{
	return (size_t) kind < ARRAY_SIZE(kinds) ? kinds[kind].name : NULL;
}

enum version_scheme package_scheme(enum package_kind kind)
{
	return kinds[kind].scheme;
}

bool package_word_ok(struct str s)
{
	if (!s.n || s.n > PACKAGE_WORD_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

static int tell(struct package *p, package_told told, void *user)
{
	if (!package_word_ok(p->name) || !package_word_ok(p->version))
		return 0;
	if (!package_word_ok(p->source))
		p->source = p->name;
	if (!package_word_ok(p->source_version))
		p->source_version = p->version;
	return told(user, p);
}

/* ---- dpkg: stanzas of deb822, parted by empty lines ---- */

/* "install ok installed": the third word. Configuration files alone are no package. */
static bool is_installed(struct str status)
{
	struct str rest, word = str_cut(str_trim(status), ' ', &rest);

	for (size_t i = 0; i < 2; i++)
		word = str_cut(str_trim(rest), ' ', &rest);
	return !str_is(word, "config-files") && !str_is(word, "not-installed") &&
	       !str_is(word, "half-installed");
}

static void dpkg_field(struct package *p, bool *installed, struct str key, struct str value)
{
	struct str rest;

	value = str_trim(value);
	if (str_is(key, "Package")) {
		p->name = value;
	} else if (str_is(key, "Version")) {
		p->version = value;
	} else if (str_is(key, "Status")) {
		*installed = is_installed(value);
	} else if (str_is(key, "Source")) { /* "name", or "name (version)" where that is another */
		p->source = str_trim(str_cut(value, '(', &rest));
		p->source_version = rest.p ? str_trim(str_cut(rest, ')', &rest)) : rest;
	}
}

int packages_dpkg(struct str text, package_told told, void *user)
{
	struct package p = { .kind = PACKAGE_DEB };
	bool installed = true;

	while (text.p) {
		struct str line = str_cut(text, '\n', &text), value;

		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n && (*line.p == ' ' || *line.p == '\t'))
			continue; /* the rest of a field that nobody needs */
		if (line.n) {
			struct str key = str_cut(line, ':', &value);

			if (value.p)
				dpkg_field(&p, &installed, key, value);
		}
		if (!line.n || !text.p) {
			int r = installed ? tell(&p, told, user) : 0;

			if (r)
				return r;
			p = (struct package){ .kind = PACKAGE_DEB };
			installed = true;
		}
	}
	return 0;
}

/* ---- apk: lines of a letter, a colon and a value ---- */

int packages_apk(struct str text, package_told told, void *user)
{
	struct package p = { .kind = PACKAGE_APK };

	while (text.p) {
		struct str line = str_cut(text, '\n', &text);

		if (line.n > 2 && line.p[1] == ':') {
			struct str value = { line.p + 2, line.n - 2 };

			if (*line.p == 'P')
				p.name = value;
			else if (*line.p == 'V')
				p.version = value;
			else if (*line.p == 'o')
				p.source = value;
		}
		if (!line.n || !text.p) {
			int r = tell(&p, told, user);

			if (r)
				return r;
			p = (struct package){ .kind = PACKAGE_APK };
		}
	}
	return 0;
}

/* ---- Python, Node ---- */

char *package_python_name(struct arena *a, struct str name)
{
	char *z = arena_dup(a, name);
	size_t n = 0;

	for (size_t i = 0; z && i < name.n; i++) {
		char c = z[i];

		if (c == '-' || c == '_' || c == '.') {
			if (n && z[n - 1] != '-')
				z[n++] = '-';
		} else {
			z[n++] = c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
		}
	}
	if (z)
		z[n] = '\0';
	return z;
}

static int finish(struct package *p)
{
	if (!package_word_ok(p->name) || !package_word_ok(p->version))
		return -EINVAL;
	p->source = p->name;
	p->source_version = p->version;
	return 0;
}

int packages_python(struct arena *a, struct str text, struct package *ret)
{
	struct package p = { .kind = PACKAGE_PYTHON };

	while (text.p) {
		struct str line = str_trim(str_cut(text, '\n', &text)), value;

		if (!line.n)
			break; /* what follows is a description */
		struct str key = str_cut(line, ':', &value);

		if (value.p && str_is(key, "Name") && !p.name.n) {
			const char *name = package_python_name(a, str_trim(value));

			if (!name)
				return -ENOMEM;
			p.name = str_of(name);
		} else if (value.p && str_is(key, "Version") && !p.version.n) {
			p.version = str_trim(value);
		}
	}
	if (finish(&p) < 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

int packages_node(struct arena *a, struct str text, struct package *ret)
{
	struct package p = { .kind = PACKAGE_NODE };
	const struct json *root;
	const char *name, *version;
	struct err ignored;

	if (json_parse(a, text, &root, &ignored) < 0)
		return -EINVAL;
	name = json_string(json_get(root, "name"));
	version = json_string(json_get(root, "version"));
	p.name = str_of(name ? name : "");
	p.version = str_of(version ? version : "");
	if (finish(&p) < 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

/* ---- os-release(5) ---- */

/* A shell's word: quotes around it go, a backslash means what follows it. NULL: no memory. */
static char *unquoted(struct arena *a, struct str v)
{
	char *z = arena_alloc(a, v.n + 1);
	char quote = '\0';
	size_t n = 0;

	for (size_t i = 0; z && i < v.n; i++) {
		char c = v.p[i];

		if (quote ? c == quote : c == '"' || c == '\'')
			quote = quote ? '\0' : c;
		else if (c == '\\' && quote != '\'' && i + 1 < v.n)
			z[n++] = v.p[++i];
		else if ((unsigned char) c >= ' ' && c != '\x7f')
			z[n++] = c;
	}
	return z;
}

int os_release_parse(struct arena *a, struct str text, struct os_release *ret)
{
	struct os_release o = { .id = "", .version = "", .codename = "", .name = "" };
	const struct {
		const char *key;
		const char **to;
	} fields[] = {
		{ "ID", &o.id },
		{ "VERSION_ID", &o.version },
		{ "VERSION_CODENAME", &o.codename },
		{ "PRETTY_NAME", &o.name },
	};

	while (text.p) {
		struct str line = str_trim(str_cut(text, '\n', &text)), value;
		struct str key = str_cut(line, '=', &value);

		for (size_t i = 0; value.p && value.n <= PACKAGE_WORD_MAX && i < ARRAY_SIZE(fields);
		     i++)
			if (str_is(key, fields[i].key) && !(*fields[i].to = unquoted(a, value)))
				return -ENOMEM;
	}
	*ret = o;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fmt/shown.h"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

static bool port_ok(struct str s)
{
	if (s.n == 0 || s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* host[:port]; host is dot-separated labels of letters, digits and inner '-', or [ipv6]. */
static bool domain_ok(struct str s)
{
	struct str host = s, port = {};

	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end)
			return false;
		host = (struct str){ s.p + 1, (size_t) (end - s.p - 1) };
		for (size_t i = 0; i < host.n; i++)
			if (!is_hex((struct str){ host.p + i, 1 }) && host.p[i] != ':')
				return false;
		if ((size_t) (end - s.p) + 1 == s.n)
			return host.n > 0;
		return end[1] == ':' && host.n > 0 &&
		       port_ok((struct str){ end + 2, s.n - (size_t) (end + 2 - s.p) });
	}
	host = str_cut(s, ':', &port);
	if (port.p && !port_ok(port))
		return false;
	while (host.p) {
		struct str label = str_cut(host, '.', &host);

		if (label.n == 0 || !is_alnum(label.p[0]) || !is_alnum(label.p[label.n - 1]))
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!is_alnum(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

/* Lower-case letters and digits, with single '.', one or two '_' or any '-' between them. */
static bool component_ok(struct str s)
{
	size_t i = 0;

	if (s.n == 0 || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1]))
		return false;
	while (i < s.n) {
		size_t run = i;

		if (is_lower_alnum(s.p[i])) {
			i++;
			continue;
		}
		while (run < s.n && s.p[run] == s.p[i])
			run++;
		if (s.p[i] == '.' ? run - i > 1 : s.p[i] == '_' ? run - i > 2 : s.p[i] != '-')
			return false;
		if (run < s.n && !is_lower_alnum(s.p[run]))
			return false;
		i = run;
	}
	return true;
}

static bool path_ok(struct str s)
{
	while (s.p) {
		struct str part = str_cut(s, '/', &s);

		if (!component_ok(part))
			return false;
	}
	return true;
}

static bool tag_ok(struct str s)
{
	if (s.n == 0 || s.n > REFERENCE_TAG_MAX || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-')
			return false;
	return true;
}

static bool is_domain(struct str s)
{
	if (str_is(s, "localhost"))
		return true;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' || s.p[i] == ':' || (s.p[i] >= 'A' && s.p[i] <= 'Z'))
			return true;
	return false;
}

/* The last ':' after the last '/', or NULL. */
static const char *tag_colon(struct str s)
{
	for (size_t i = s.n; i-- > 0;) {
		if (s.p[i] == ':')
			return s.p + i;
		if (s.p[i] == '/')
			return NULL;
	}
	return NULL;
}

static int bad(struct err *e, struct str whole, const char *why)
{
	return err_set(e, ERR_INVALID, EINVAL, "image reference '%s': %s", shown_of(whole).z, why);
}

static int name_set(struct reference *ref, struct str whole, struct str name, struct err *e)
{
	struct str domain = STR("docker.io"), path = name, rest = {};
	struct str first = str_cut(name, '/', &rest);
	const char *lib = "";
	int n;

	if (rest.p && is_domain(first)) {
		domain = first;
		path = rest;
	}
	if (!domain_ok(domain))
		return bad(e, whole, "the registry's name before '/' must be host[:port]");
	if (str_is(domain, "index.docker.io"))
		domain = STR("docker.io");
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] >= 'A' && path.p[i] <= 'Z')
			return bad(e, whole, "the repository's name must be lower case");
	if (!path_ok(path))
		return bad(e, whole,
			   "a name is made of lower-case letters, digits and inner '.', '_', '-', "
			   "its parts parted by '/'");
	if (str_is(domain, "docker.io") && !memchr(path.p, '/', path.n))
		lib = "library/";
	n = snprintf(ref->name, sizeof(ref->name), "%.*s/%s%.*s", (int) domain.n, domain.p, lib,
		     (int) path.n, path.p);
	if (n < 0 || (size_t) n >= sizeof(ref->name))
		return bad(e, whole, "the name is longer than 255 characters");
	return 0;
}

int reference_parse(struct str s, struct reference *ret_ref, struct err *e)
{
	struct reference ref = {};
	struct str name = s, digest = {};
	const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
	const char *colon;
	int r;

	if (s.n == 0)
		return err_set(e, ERR_INVALID, EINVAL, "the image reference is empty");
	if (s.n >= REFERENCE_MAX)
		return bad(e, s, "longer than 511 characters");
	if (at) {
		digest = (struct str){ at + 1, s.n - (size_t) (at + 1 - s.p) };
		name.n = (size_t) (at - s.p);
		if (digest_parse(digest, &ref.digest) < 0)
			return bad(e, s, "after '@' there must be sha256: and 64 hex digits");
		ref.has_digest = true;
	}
	colon = tag_colon(name);
	if (colon) {
		struct str tag = { colon + 1, name.n - (size_t) (colon + 1 - name.p) };

		if (!tag_ok(tag))
			return bad(e, s,
				   "a tag has at most 128 letters, digits, '_', '.' and '-', and "
				   "begins with a letter, digit or '_'");
		memcpy(ref.tag, tag.p, tag.n);
		name.n = (size_t) (colon - name.p);
	}
	if (name.n == DIGEST_HEX_LEN && is_hex(name))
		return bad(e, s, "64 hex digits are an id, not a name");
	r = name_set(&ref, s, name, e);
	if (r < 0)
		return r;
	*ret_ref = ref;
	return 0;
}

struct str reference_bare(struct str s)
{
	struct str digest, name = str_cut(s, '@', &digest);
	const char *colon = tag_colon(name);

	return colon ? (struct str){ name.p, (size_t) (colon - name.p) } : name;
}

bool reference_is_short(struct str s)
{
	struct str rest, first = str_cut(reference_bare(s), '/', &rest);

	return !rest.p || !is_domain(first);
}

void reference_default_tag(struct reference *ref)
{
	if (!ref->tag[0] && !ref->has_digest)
		memcpy(ref->tag, "latest", sizeof("latest"));
}

void reference_text(const struct reference *ref, char ret_text[static REFERENCE_MAX])
{
	char digest[DIGEST_TEXT_MAX] = "";

	if (ref->has_digest)
		digest_text(&ref->digest, digest);
	/* 255 + 1 + 128 + 1 + 71 < 512 */
	(void) snprintf(ret_text, REFERENCE_MAX, "%s%s%s%s%s", ref->name, ref->tag[0] ? ":" : "",
			ref->tag, digest[0] ? "@" : "", digest);
}

const char *reference_familiar_of(const char *stored)
{
	static const char hub[] = "docker.io/", library[] = "library/";
	struct str first, rest;

	if (strncmp(stored, hub, sizeof(hub) - 1) != 0)
		return stored;
	/* "docker.io/a.b/c" without its domain would be read as one of the domain a.b. */
	first = str_cut(str_of(stored + sizeof(hub) - 1), '/', &rest);
	if (rest.p && is_domain(first))
		return stored;
	stored += sizeof(hub) - 1;
	if (strncmp(stored, library, sizeof(library) - 1) == 0 &&
	    !strchr(stored + sizeof(library) - 1, '/'))
		stored += sizeof(library) - 1;
	return stored;
}

const char *reference_familiar(const struct reference *ref)
{
	return reference_familiar_of(ref->name);
}

bool reference_is_id(struct str s, struct str *ret_hex)
{
	if (str_starts(s, "sha256:"))
		s = (struct str){ s.p + 7, s.n - 7 };
	if (s.n < 2 || s.n > DIGEST_HEX_LEN || !is_hex(s))
		return false;
	*ret_hex = s;
	return true;
}

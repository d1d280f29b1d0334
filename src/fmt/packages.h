/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is installed, as package managers write it down: dpkg's status, apk's data base, the
 * metadata of a Python distribution, a Node package's package.json; and os-release. Not where these
 * files lie, nor what is wrong with the packages.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/version_order.h"

enum package_kind { PACKAGE_DEB, PACKAGE_APK, PACKAGE_PYTHON, PACKAGE_NODE };
#define PACKAGE_KINDS	 4
#define PACKAGE_WORD_MAX 256 /* bytes of a name or a version; what is longer is none */

struct package {
	enum package_kind kind;
	struct str name, version;
	struct str source,
		source_version; /* the same as name and version where there is no other */
};

/* "deb", "apk", "pypi", "npm": the type of a package URL. NULL: no such kind. */
const char *package_kind_name(enum package_kind kind);
enum version_scheme package_scheme(enum package_kind kind);

/* 0 to go on; anything else is handed back. */
typedef int (*package_told)(void *user, const struct package *p);

/* The installed ones of a status file, or of one of status.d. What is damaged is passed over. */
[[nodiscard]] int packages_dpkg(struct str text, package_told told, void *user);
[[nodiscard]] int packages_apk(struct str text, package_told told, void *user);
/* METADATA or PKG-INFO: one package; -EINVAL where the text names none. */
[[nodiscard]] int packages_python(struct arena *a, struct str text, struct package *ret);
[[nodiscard]] int packages_node(struct arena *a, struct str text, struct package *ret);

/* "Foo.bar_baz" is "foo-bar-baz" (PEP 503). NULL: no memory. */
char *package_python_name(struct arena *a, struct str name);

/* Printable ASCII without blanks, 1 to PACKAGE_WORD_MAX of it. */
bool package_word_ok(struct str s);

struct os_release {
	const char *id, *version, *codename, *name; /* "" where it does not say; name: pretty */
};
[[nodiscard]] int os_release_parse(struct arena *a, struct str text, struct os_release *ret);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known to be wrong with versions of packages, as sorted lines of text: made of feeds
 * (fmt/advisory_feed.h) once, then searched by halves.
 *
 *	"atoll-advisories 1\n", then lines in the order of their bytes:
 *	ECOSYSTEM \t PACKAGE \t ID \t SEVERITY \t WHEN \t SUMMARY
 *
 * ECOSYSTEM is OSV's name ("Debian:12", "PyPI"), SEVERITY a digit of enum severity. WHEN is words
 * between blanks: IV from version V on, FV until before V, UV the same where V is no fix that could
 *be had, LV until V; several of these one after the other. EV version V itself. Of all those, not:
 *NV. First: B, the package is a binary one, not a source. Every field is checked as it is read: the
 *file may have been anything.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "fmt/packages.h"

#define ADVISORY_HEAD	     "atoll-advisories 1\n"
#define ADVISORY_SUMMARY_MAX 200
#define ADVISORY_WHEN_MAX    (64u << 10)

enum severity {
	SEVERITY_UNKNOWN,
	SEVERITY_NEGLIGIBLE,
	SEVERITY_LOW,
	SEVERITY_MEDIUM,
	SEVERITY_HIGH,
	SEVERITY_CRITICAL,
};
#define SEVERITIES 6
/* "unknown", ..., "critical"; -EINVAL for what is none. Case does not matter. */
const char *severity_name(enum severity s);
[[nodiscard]] int severity_parse(struct str s, enum severity *ret);

struct advisory {
	struct str ecosystem, package, id, when, summary;
	enum severity severity;
};

/*
 * A line at the buffer's end. -EINVAL, and nothing is added: a field that cannot stand in one. The
 * summary is cut to ADVISORY_SUMMARY_MAX and has no control characters.
 */
[[nodiscard]] int advisory_write(struct buf *out, const struct advisory *a);
[[nodiscard]] bool advisory_parse(struct str line, struct advisory *ret);
bool advisory_of_binary(const struct advisory *a);

/* Whether it is about this version; gives the first one that it is not about, empty: there is none.
 */
bool advisory_hits(const struct advisory *a, enum version_scheme scheme, struct str version,
		   struct str *ret_fixed);

/* -EINVAL: no such data base. Else the lines alone. */
[[nodiscard]] int advisory_base(struct str text, struct str *ret_lines);
/* Its lines about one package; package empty: about the ecosystem. */
struct str advisory_find(struct str lines, struct str ecosystem, struct str package);

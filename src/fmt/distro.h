/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releases of distributions: their code names, when their support ends, and what feeds of
 * advisories call them. The table is in the source, with where it is from.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "fmt/packages.h"

struct distro_release {
	const char *id, *version; /* as in os-release; of Alpine the first two numbers */
	const char *codename;	  /* NULL: none */
	const char *end;	  /* of free security support: "2028-06-30" */
};

/* NULL: not in the table. */
const struct distro_release *distro_release(const struct os_release *o);
const struct distro_release *distro_by_codename(const char *id, struct str codename);

/*
 * OSV's name of the ecosystem its packages are of ("Debian:12", "Alpine:v3.22"), nothing where
 * there is none that we know.
 */
void distro_ecosystem(const struct os_release *o, struct buf *out);
/* The same of a feed's name: "Ubuntu:22.04:LTS" is "Ubuntu:22.04". */
void distro_ecosystem_of(struct str osv, struct buf *out);

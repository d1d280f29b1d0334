/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/distro.h"

#include "base/auto.h"

/*
 * Debian, with its LTS, and Ubuntu, without what is paid for: /usr/share/distro-info/debian.csv and
 * ubuntu.csv of distro-info-data 0.58+deb12u7. Alpine: https://alpinelinux.org/releases/, its main
 * repository.
 */
static const struct distro_release releases[] = {
	{ "alpine", "3.12", NULL, "2022-05-01" },
	{ "alpine", "3.13", NULL, "2022-11-01" },
	{ "alpine", "3.14", NULL, "2023-05-01" },
	{ "alpine", "3.15", NULL, "2023-11-01" },
	{ "alpine", "3.16", NULL, "2024-05-23" },
	{ "alpine", "3.17", NULL, "2024-11-22" },
	{ "alpine", "3.18", NULL, "2025-05-09" },
	{ "alpine", "3.19", NULL, "2025-11-01" },
	{ "alpine", "3.20", NULL, "2026-04-01" },
	{ "alpine", "3.21", NULL, "2026-11-01" },
	{ "alpine", "3.22", NULL, "2027-05-01" },
	{ "alpine", "3.23", NULL, "2027-11-01" },
	{ "debian", "7", "wheezy", "2018-05-31" },
	{ "debian", "8", "jessie", "2020-06-30" },
	{ "debian", "9", "stretch", "2022-06-30" },
	{ "debian", "10", "buster", "2024-06-30" },
	{ "debian", "11", "bullseye", "2026-08-31" },
	{ "debian", "12", "bookworm", "2028-06-30" },
	{ "debian", "13", "trixie", "2030-06-30" },
	{ "debian", "14", "forky", NULL },
	{ "debian", "15", "duke", NULL },
	{ "ubuntu", "20.04", "focal", "2025-05-29" },
	{ "ubuntu", "20.10", "groovy", "2021-07-22" },
	{ "ubuntu", "21.04", "hirsute", "2022-01-20" },
	{ "ubuntu", "21.10", "impish", "2022-07-14" },
	{ "ubuntu", "22.04", "jammy", "2027-06-01" },
	{ "ubuntu", "22.10", "kinetic", "2023-07-20" },
	{ "ubuntu", "23.04", "lunar", "2024-01-25" },
	{ "ubuntu", "23.10", "mantic", "2024-07-11" },
	{ "ubuntu", "24.04", "noble", "2029-05-31" },
	{ "ubuntu", "24.10", "oracular", "2025-07-10" },
	{ "ubuntu", "25.04", "plucky", "2026-01-15" },
	{ "ubuntu", "25.10", "questing", "2026-07-09" },
	{ "ubuntu", "26.04", "resolute", "2031-05-29" },
	{ "ubuntu", "26.10", "stonking", "2027-07-15" },
};

/* "3.22" of "3.22.1": what Alpine calls a release. */
static struct str two_numbers(const char *version)
{
	struct str s = str_of(version), rest, first = str_cut(s, '.', &rest);
	struct str second = rest.p ? str_cut(rest, '.', &rest) : (struct str){ 0 };

	return second.n ? (struct str){ s.p, first.n + 1 + second.n } : s;
}

static struct str version_of(const struct os_release *o)
{
	return streq(o->id, "alpine") ? two_numbers(o->version) : str_of(o->version);
}

const struct distro_release *distro_by_codename(const char *id, struct str codename)
{
	for (size_t i = 0; i < ARRAY_SIZE(releases); i++)
		if (streq(releases[i].id, id) && releases[i].codename &&
		    str_is(codename, releases[i].codename))
			return &releases[i];
	return NULL;
}

const struct distro_release *distro_release(const struct os_release *o)
{
	struct str version = version_of(o);

	if (!version.n) /* Debian's next release has a name alone */
		return distro_by_codename(o->id, str_of(o->codename));
	for (size_t i = 0; i < ARRAY_SIZE(releases); i++)
		if (streq(releases[i].id, o->id) && str_is(version, releases[i].version))
			return &releases[i];
	return NULL;
}

void distro_ecosystem(const struct os_release *o, struct buf *out)
{
	const struct distro_release *r = distro_release(o);
	struct str version = r ? str_of(r->version) : version_of(o);

	if (!version.n)
		return;
	if (streq(o->id, "debian"))
		buf_adds(out, "Debian:");
	else if (streq(o->id, "ubuntu"))
		buf_adds(out, "Ubuntu:");
	else if (streq(o->id, "alpine"))
		buf_adds(out, "Alpine:v");
	else
		return;
	buf_addstr(out, version);
}

void distro_ecosystem_of(struct str osv, struct buf *out)
{
	struct str rest, name = str_cut(osv, ':', &rest);

	if (!str_is(name, "Ubuntu") || !rest.p || str_starts(rest, "Pro:")) {
		buf_addstr(out, osv);
		return;
	}
	buf_adds(out, "Ubuntu:");
	buf_addstr(out, str_cut(rest, ':', &rest));
}

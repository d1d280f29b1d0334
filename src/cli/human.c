/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/human.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

/* As C's %.*g with `figures` significant figures, in the largest unit that keeps it above 1. */
static struct human scaled(uint64_t bytes, double base, const char *const *units, size_t n,
			   int figures)
{
	double v = (double) bytes;
	struct human h;
	size_t i = 0;

	while (v >= base && i + 1 < n) {
		v /= base;
		i++;
	}
	(void) snprintf(h.z, sizeof(h.z), "%.*g%s", figures, v, units[i]);
	return h;
}

static const char *const decimal[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
static const char *const binary[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

struct human human_size(uint64_t bytes)
{
	return scaled(bytes, 1000.0, decimal, 7, 3);
}

struct human human_size4(uint64_t bytes)
{
	return scaled(bytes, 1000.0, decimal, 7, 4);
}

struct human human_memory(uint64_t bytes)
{
	return scaled(bytes, 1024.0, binary, 7, 4);
}

struct human human_ago(nsec_t then, nsec_t now)
{
	char text[CLOCK_DURATION_MAX];
	struct human h;

	if (then == 0) {
		(void) snprintf(h.z, sizeof(h.z), "N/A");
		return h;
	}
	clock_human(now > then ? now - then : 0, text);
	(void) snprintf(h.z, sizeof(h.z), "%s ago", text);
	return h;
}

struct human human_time(nsec_t wall)
{
	time_t t = (time_t) (wall / NSEC_PER_SEC);
	struct human h;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(h.z, sizeof(h.z), "%Y-%m-%d %H:%M:%S +0000 UTC", &tm))
		h.z[0] = 0;
	return h;
}

struct human human_percent(uint64_t part, uint64_t whole)
{
	struct human h;

	(void) snprintf(h.z, sizeof(h.z), "%.2f%%",
			whole ? 100.0 * (double) part / (double) whole : 0.0);
	return h;
}

const char *human_id(struct arena *a, const char *id, bool truncate)
{
	struct str s = str_of(id);

	if (!truncate)
		return id;
	if (str_starts(s, "sha256:")) {
		s.p += 7;
		s.n -= 7;
	}
	if (s.n > 12)
		s.n = 12;
	return arena_dup(a, s);
}

const char *human_ellipsis(struct arena *a, const char *text, size_t max)
{
	size_t count = 0, cut = 0, i;

	for (i = 0; text[i]; i++) {
		if ((text[i] & 0xc0) == 0x80)
			continue;
		if (count + 1 == max)
			cut = i;
		count++;
	}
	if (count <= max)
		return text;
	return arena_printf(a, "%.*s…", (int) cut, text);
}

const char *human_clean(struct arena *a, const char *text)
{
	size_t bad = 0;
	char *clean, *to;

	for (const char *p = text; *p; p++)
		bad += (unsigned char) *p < ' ' || *p == 0x7f;
	if (!bad)
		return text;
	clean = to = arena_alloc(a, strlen(text) + bad + 1);
	for (const char *p = text; to && *p; p++) {
		if ((unsigned char) *p < ' ' || *p == 0x7f) {
			*to++ = '^';
			*to++ = (char) (*p ^ 0x40);
		} else {
			*to++ = *p;
		}
	}
	return clean ? clean : "";
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/require.h"

#include <errno.h>

#include "base/auto.h"
#include "base/num.h"
#include "image/resolve.h"
#include "svc/image_scan.h"

#define ARENA_MAX ((size_t) 256 << 20)
#define DAY	  (24 * 3600 * NSEC_PER_SEC)
#define DAYS_MAX  36500u

struct required {
	nsec_t max_age; /* 0: any */
	bool supported, scanned;
	unsigned refused, refused_fixed; /* a bit for each severity */
};

struct check {
	const struct image *image;
	const char *name;
	struct required need;
	struct err *e;
};

static int parse_age(struct str text, nsec_t *ret)
{
	uint64_t days;

	if (!str_ends(text, "d"))
		return clock_parse_duration(text, ret);
	text.n--;
	if (num_parse_u64(text, 1, DAYS_MAX, &days) < 0)
		return -EINVAL;
	*ret = (nsec_t) days * DAY;
	return 0;
}

static int parse_word(struct str word, struct required *need)
{
	struct str value, key = str_cut(word, '=', &value);
	enum severity s = SEVERITY_UNKNOWN;
	unsigned from;

	if (str_is(word, "supported"))
		return need->supported = true, 0;
	if (str_is(word, "scanned"))
		return need->scanned = true, 0;
	if (str_is(key, "max-age") && value.p)
		return parse_age(value, &need->max_age) < 0 || need->max_age <= 0 ? -EINVAL : 0;
	if (value.p && severity_parse(value, &s) < 0)
		return -EINVAL;
	from = ((1u << SEVERITIES) - 1) & ~((1u << s) - 1);
	if (str_is(key, "below") && value.p)
		need->refused |= from;
	else if (str_is(key, "patched"))
		need->refused_fixed |= from;
	else
		return -EINVAL;
	need->scanned = true;
	return 0;
}

static int parse(const char *text, struct required *need, struct err *e)
{
	struct str rest = str_of(text);

	while (rest.p) {
		struct str word = str_trim(str_cut(rest, ',', &rest));

		if (parse_word(word, need) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--require '%.*s': max-age=TIME, supported, scanned, "
				       "below=SEVERITY and patched[=SEVERITY] are known",
				       word.n < 60 ? (int) word.n : 60, word.p ? word.p : "");
	}
	return 0;
}

/* ---- what is asked of it ---- */

static int check_age(const struct check *k, nsec_t now)
{
	nsec_t made = k->image->row.created;

	if (!k->need.max_age || (made && now - made <= k->need.max_age))
		return 0;
	if (!made)
		return err_set(k->e, ERR_DENIED, EACCES,
			       "--require max-age: image '%.100s' does not say when it was made",
			       k->name);
	return err_set(k->e, ERR_DENIED, EACCES,
		       "--require max-age: image '%.100s' is %lld days old: pull or build a newer "
		       "one",
		       k->name, (long long) ((now - made) / DAY));
}

static int check_support(const struct check *k, const struct scan_report *r, nsec_t now)
{
	struct scan_support support = scan_support(&r->os, now);

	if (!k->need.supported || (support.end && !support.over))
		return 0;
	if (!support.end)
		return err_set(k->e, ERR_DENIED, EACCES,
			       "--require supported: it is not known how long the distribution of "
			       "image '%.100s' is supported",
			       k->name);
	return err_set(k->e, ERR_DENIED, EACCES,
		       "--require supported: %.60s of image '%.100s' is without support since %s: "
		       "build it upon a newer release",
		       r->os.name, k->name, support.end);
}

static int check_whole(const struct check *k, const struct scan_bases *b,
		       const struct scan_report *r, nsec_t now)
{
	if (b->oldest && now - b->oldest > SCAN_BASE_OLD)
		return err_set(k->e, ERR_DENIED, EACCES,
			       "--require: a data base of advisories is older than a week: import "
			       "it again (atoll image scan-db ls)");
	for (size_t i = 0; i < PACKAGE_KINDS; i++)
		if (r->unchecked[i])
			return err_set(k->e, ERR_DENIED, EACCES,
				       "--require scanned: no data base of advisories knows the %s "
				       "packages of image '%.100s': import one that does (atoll "
				       "image scan-db import)",
				       package_kind_name((enum package_kind) i), k->name);
	if (r->rpm || r->unread)
		return err_set(k->e, ERR_DENIED, EACCES,
			       "--require scanned: image '%.100s' has lists of packages that %s",
			       k->name,
			       r->rpm ? "are rpm's, which are not read" : "cannot be read");
	return 0;
}

static int check_findings(const struct check *k, const struct scan_report *r)
{
	const struct scan_finding *worst = NULL;
	size_t n = 0;

	for (size_t i = 0; i < r->findings_n; i++) {
		const struct scan_finding *f = &r->findings[i];
		unsigned bit = 1u << f->severity;

		if (!(k->need.refused & bit) && !(k->need.refused_fixed & bit && *f->fixed))
			continue;
		n++;
		if (!worst || f->severity > worst->severity)
			worst = f;
	}
	if (!n)
		return 0;
	return err_set(
		k->e, ERR_DENIED, EACCES,
		"--require: image '%.80s' has %zu known fault%s that it must not have, as "
		"%.40s (%s) in %.60s %.40s%s%.40s: see `atoll image scan`, and build it anew "
		"with newer packages",
		k->name, n, n == 1 ? "" : "s", worst->id,
		severity_name((enum severity) worst->severity), worst->package, worst->version,
		*worst->fixed ? ", fixed in " : "", worst->fixed);
}

int require_check(struct svc *s, const struct image *im, const char *require, struct err *e)
{
	auto_scan_bases struct scan_bases bases = { .n = 0 };
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct check k = { .image = im, .name = im->name[0] ? im->name : im->id_text, .e = e };
	struct scan_target t;
	nsec_t now = clock_wall();
	int r = parse(require, &k.need, e);

	r = r < 0 ? r : check_age(&k, now);
	if (r < 0 || (!k.need.scanned && !k.need.supported))
		return r;
	if (k.need.scanned)
		r = scan_bases_open(s, NULL, 0, NULL, &bases, e);
	r = r < 0 ? err_ctx(e, "--require") : svc_scan_image(s, &bases, im, &a, &t, e);
	r = r < 0 ? r : check_support(&k, &t.report, now);
	if (r == 0 && k.need.scanned)
		r = check_whole(&k, &bases, &t.report, now);
	return r < 0 ? r : check_findings(&k, &t.report);
}

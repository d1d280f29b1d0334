/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "base/auto.h"
#include "base/num.h"

static nsec_t clock_read(clockid_t id)
{
	struct timespec ts;

	(void) clock_gettime(id, &ts); /* fails only for a clock id that does not exist */
	return (nsec_t) ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

nsec_t clock_mono(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

nsec_t clock_wall(void)
{
	return clock_read(CLOCK_REALTIME);
}

nsec_t clock_deadline(nsec_t in)
{
	nsec_t at;

	return __builtin_add_overflow(clock_mono(), in, &at) ? NSEC_NEVER : at;
}

int clock_poll_ms(nsec_t deadline)
{
	nsec_t left;

	if (deadline == NSEC_NEVER)
		return -1;
	left = deadline - clock_mono();
	if (left <= 0)
		return 0;
	left = (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return left > INT_MAX ? INT_MAX : (int) left;
}

/*
 * The date of a day since 1970-01-01. Not gmtime(): that reads the time zone's file first, which
 * stands on the start path of a workload. Years begin in March here, so that the leap day is the
 * last of them; an era is 400 of them.
 */
static void date_of(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t from = days + 719468; /* since 0000-03-01 */
	int64_t era = (from >= 0 ? from : from - 146096) / 146097;
	unsigned in_era = (unsigned) (from - era * 146097);
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * in_year + 2) / 153; /* 0: March */

	*ret_day = in_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = (unsigned) (year + era * 400) + (*ret_month <= 2);
}

/* Exactly n digits and a character after them; returns what follows. */
static char *put_digits(char *to, unsigned v, int n, char after)
{
	for (int i = n; i-- > 0; v /= 10)
		to[i] = (char) ('0' + v % 10);
	to[n] = after;
	return to + n + 1;
}

void clock_rfc3339(nsec_t wall, char ret_text[static CLOCK_RFC3339_MAX])
{
	nsec_t seconds = wall / NSEC_PER_SEC, fraction = wall % NSEC_PER_SEC;
	unsigned year, month, day;

	if (wall == 0) {
		(void) snprintf(ret_text, CLOCK_RFC3339_MAX, "0001-01-01T00:00:00Z");
		return;
	}
	if (fraction < 0) {
		fraction += NSEC_PER_SEC;
		seconds--;
	}
	int64_t days = seconds / 86400, rest = seconds % 86400;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	date_of(days, &year, &month, &day);
	char *p = put_digits(ret_text, year % 10000u, 4, '-');

	p = put_digits(p, month, 2, '-');
	p = put_digits(p, day, 2, 'T');
	p = put_digits(p, (unsigned) (rest / 3600), 2, ':');
	p = put_digits(p, (unsigned) (rest / 60 % 60), 2, ':');
	p = put_digits(p, (unsigned) (rest % 60), 2, '.');
	p = put_digits(p, (unsigned) fraction, 9, 'Z');
	*p = '\0';
}

/* Exactly `n` digits off the front of *s. */
static int take_digits(struct str *s, size_t n, uint32_t max, int *ret_v)
{
	uint32_t v;

	if (s->n < n || num_parse_u32((struct str){ s->p, n }, 0, max, &v) < 0)
		return -EINVAL;
	s->p += n;
	s->n -= n;
	*ret_v = (int) v;
	return 0;
}

static int take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return -EINVAL;
	s->p++;
	s->n--;
	return 0;
}

static int take_fraction(struct str *s, nsec_t *ret_ns)
{
	nsec_t unit = NSEC_PER_SEC, v = 0;

	*ret_ns = 0;
	if (take_char(s, '.') < 0)
		return 0;
	if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
		return -EINVAL;
	while (s->n && s->p[0] >= '0' && s->p[0] <= '9') {
		unit /= 10;
		v += unit * (s->p[0] - '0');
		s->p++;
		s->n--;
	}
	*ret_ns = v;
	return 0;
}

static int take_zone(struct str *s, nsec_t *ret_seconds)
{
	int hours, minutes, sign;

	*ret_seconds = 0;
	if (s->n == 0 || take_char(s, 'Z') == 0)
		return 0;
	sign = s->p[0] == '-' ? -1 : 1;
	if (take_char(s, '+') < 0 && take_char(s, '-') < 0)
		return -EINVAL;
	if (take_digits(s, 2, 23, &hours) < 0)
		return -EINVAL;
	(void) take_char(s, ':');
	if (take_digits(s, 2, 59, &minutes) < 0)
		return -EINVAL;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return 0;
}

static int parse_date(struct str s, nsec_t *ret_wall)
{
	struct tm tm = {};
	nsec_t fraction = 0, zone = 0, seconds;

	if (take_digits(&s, 4, 9999, &tm.tm_year) < 0 || take_char(&s, '-') < 0 ||
	    take_digits(&s, 2, 12, &tm.tm_mon) < 0 || take_char(&s, '-') < 0 ||
	    take_digits(&s, 2, 31, &tm.tm_mday) < 0 || tm.tm_mon < 1 || tm.tm_mday < 1)
		return -EINVAL;
	if (s.n) {
		if (take_char(&s, 'T') < 0 && take_char(&s, ' ') < 0)
			return -EINVAL;
		if (take_digits(&s, 2, 23, &tm.tm_hour) < 0 || take_char(&s, ':') < 0 ||
		    take_digits(&s, 2, 59, &tm.tm_min) < 0)
			return -EINVAL;
		if (take_char(&s, ':') == 0 && take_digits(&s, 2, 60, &tm.tm_sec) < 0)
			return -EINVAL;
		if (take_fraction(&s, &fraction) < 0 || take_zone(&s, &zone) < 0)
			return -EINVAL;
	}
	if (s.n)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm) - zone;
	if (seconds > INT64_MAX / NSEC_PER_SEC - 1 || seconds < INT64_MIN / NSEC_PER_SEC + 1)
		return -EINVAL;
	*ret_wall = seconds * NSEC_PER_SEC + fraction;
	return 0;
}

int clock_parse(struct str s, nsec_t *ret_wall)
{
	struct str fraction, whole = str_cut(s, '.', &fraction);
	uint64_t v;

	if (s.n > 4 && s.p[4] == '-')
		return parse_date(s, ret_wall);
	if (whole.n == 0 || (fraction.p && fraction.n == 0))
		return -EINVAL;
	if (num_parse_fixed(s, (uint32_t) NSEC_PER_SEC, INT64_MAX, &v) < 0)
		return -EINVAL;
	*ret_wall = (nsec_t) v;
	return 0;
}

static const struct unit {
	const char *name;
	nsec_t ns;
} units[] = {
	/* longer names before their prefixes */
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\xc2\xb5s", 1000 },
	{ "ms", NSEC_PER_MSEC },
	{ "s", NSEC_PER_SEC },
	{ "m", 60 * NSEC_PER_SEC },
	{ "h", 3600 * NSEC_PER_SEC },
};

static const struct unit *take_unit(struct str *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (str_starts(*s, units[i].name)) {
			s->p += strlen(units[i].name);
			s->n -= strlen(units[i].name);
			return &units[i];
		}
	return NULL;
}

int clock_parse_duration(struct str s, nsec_t *ret_d)
{
	nsec_t sum = 0;

	if (str_eq(s, STR("0"))) {
		*ret_d = 0;
		return 0;
	}
	if (s.n == 0)
		return -EINVAL;
	while (s.n) {
		const struct unit *unit;
		struct str number = s;
		uint64_t milli;
		nsec_t part;
		size_t n = 0;

		while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.'))
			n++;
		number.n = n;
		s.p += n;
		s.n -= n;
		unit = take_unit(&s);
		if (!unit)
			return -EINVAL;
		if (num_parse_fixed(number, 1000, INT64_MAX, &milli) < 0)
			return -EINVAL;
		/* Below a millisecond only whole units make sense; no unit is that long here. */
		if (unit->ns >= 1000
			    ? __builtin_mul_overflow((nsec_t) milli, unit->ns / 1000, &part)
			    : (part = (nsec_t) milli * unit->ns / 1000, false))
			return -ERANGE;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
	}
	*ret_d = sum;
	return 0;
}

void clock_duration(nsec_t d, char ret_text[static CLOCK_DURATION_MAX])
{
	int64_t s = d / NSEC_PER_SEC, ms = d % NSEC_PER_SEC / NSEC_PER_MSEC;
	char seconds[16];

	if (d == 0) {
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "0s");
		return;
	}
	if (s == 0) {
		if (ms)
			(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%dms", (int) ms);
		else
			(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%dns", (int) d);
		return;
	}
	if (ms)
		(void) snprintf(seconds, sizeof(seconds), "%d.%03ds", (int) (s % 60), (int) ms);
	else
		(void) snprintf(seconds, sizeof(seconds), "%ds", (int) (s % 60));
	if (s >= 3600)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%dh%dm%.12s", (int) (s / 3600),
				(int) (s / 60 % 60), seconds);
	else if (s >= 60)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%dm%.12s", (int) (s / 60), seconds);
	else
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%s", seconds);
}

void clock_human(nsec_t d, char ret_text[static CLOCK_DURATION_MAX])
{
	int64_t s = d / NSEC_PER_SEC, m = s / 60, h = (m + 30) / 60;

	if (s < 1)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "Less than a second");
	else if (s == 1)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "1 second");
	else if (s < 60)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d seconds", (int) s);
	else if (m == 1)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "About a minute");
	else if (m < 60)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d minutes", (int) m);
	else if (h == 1)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "About an hour");
	else if (h < 48)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d hours", (int) h);
	else if (h < 24 * 7 * 2)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d days", (int) (h / 24));
	else if (h < 24 * 30 * 2)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d weeks", (int) (h / 24 / 7));
	else if (h < 24 * 365 * 2)
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d months", (int) (h / 24 / 30));
	else
		(void) snprintf(ret_text, CLOCK_DURATION_MAX, "%d years", (int) (h / 24 / 365));
}

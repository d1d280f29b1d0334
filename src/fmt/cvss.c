/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/cvss.h"

#include <errno.h>

#include "base/auto.h"

/* CVSS 3.1 specification, 7.4: the values of the base metrics. */
static const struct metric {
	const char *name;
	const char *letters;
	double values[4];
} metrics[] = {
	{ "AV", "NALP", { 0.85, 0.62, 0.55, 0.2 } },
	{ "AC", "LH", { 0.77, 0.44 } },
	{ "PR", "NLH", { 0.85, 0.62, 0.27 } },
	{ "UI", "NR", { 0.85, 0.62 } },
	{ "S", "UC", { 0, 1 } },
	{ "C", "HLN", { 0.56, 0.22, 0 } },
	{ "I", "HLN", { 0.56, 0.22, 0 } },
	{ "A", "HLN", { 0.56, 0.22, 0 } },
};
enum { AV, AC, PR, UI, S, C, I, A, METRICS };

/* Appendix A: up to one decimal, in integers so that no rounding error counts. */
static int round_up(double score)
{
	int whole = (int) (score * 100000 + 0.5);

	return whole % 10000 == 0 ? whole / 10000 : whole / 10000 + 1;
}

static double power(double x, unsigned n)
{
	double v = 1;

	while (n--)
		v *= x;
	return v;
}

static int score_of(const double v[static METRICS])
{
	bool changed = v[S] > 0;
	double privilege = changed && v[PR] < 0.3 ? 0.5 : changed && v[PR] < 0.7 ? 0.68 : v[PR];
	double base = 1 - (1 - v[C]) * (1 - v[I]) * (1 - v[A]);
	double impact = changed ? 7.52 * (base - 0.029) - 3.25 * power(base - 0.02, 15)
				: 6.42 * base;
	double exploit = 8.22 * v[AV] * v[AC] * privilege * v[UI];
	double sum = changed ? 1.08 * (impact + exploit) : impact + exploit;

	return impact <= 0 ? 0 : round_up(sum < 10 ? sum : 10);
}

int cvss_score(struct str vector)
{
	double v[METRICS];
	unsigned seen = 0;
	struct str rest;

	if (!str_starts(vector, "CVSS:3.0/") && !str_starts(vector, "CVSS:3.1/"))
		return -EINVAL;
	(void) str_cut(vector, '/', &rest); /* the version */
	while (rest.p) {
		struct str value, name = str_cut(str_cut(rest, '/', &rest), ':', &value);

		if (!value.p || value.n != 1 || !*value.p)
			return -EINVAL;
		for (size_t i = 0; i < METRICS; i++) {
			const char *at = strchr(metrics[i].letters, *value.p);

			if (!str_is(name, metrics[i].name))
				continue;
			if (!at || seen & 1u << i)
				return -EINVAL;
			v[i] = metrics[i].values[at - metrics[i].letters];
			seen |= 1u << i;
		}
	}
	return seen == (1u << METRICS) - 1 ? score_of(v) : -EINVAL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/version_order.h"

#include "base/auto.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static bool is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

static void skip(struct str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static int bytes_order(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? sign(r) : (a.n > b.n) - (a.n < b.n);
}

/* The digits that s begins with, without leading zeros. */
static struct str take_number(struct str *s)
{
	struct str v;

	while (s->n && *s->p == '0')
		skip(s, 1);
	v = (struct str){ s->p, 0 };
	while (s->n && is_digit(*s->p)) {
		skip(s, 1);
		v.n++;
	}
	return v;
}

static int number_order(struct str a, struct str b)
{
	return a.n != b.n ? (a.n > b.n) - (a.n < b.n) : bytes_order(a, b);
}

/* ---- dpkg ---- */

/* Of a character between numbers: "~" before the end, the end before letters, those before all. */
static int weight(struct str s)
{
	if (!s.n || is_digit(*s.p))
		return 0;
	if (*s.p == '~')
		return -1;
	return is_letter(*s.p) ? (unsigned char) *s.p : (unsigned char) *s.p + 256;
}

static int debian_part_order(struct str a, struct str b)
{
	while (a.n || b.n) {
		int r;

		while ((a.n && !is_digit(*a.p)) || (b.n && !is_digit(*b.p))) {
			if (weight(a) != weight(b))
				return sign(weight(a) - weight(b));
			skip(&a, 1);
			skip(&b, 1);
		}
		struct str left = take_number(&a), right = take_number(&b);

		r = number_order(left, right);
		if (r)
			return r;
	}
	return 0;
}

static int debian_order(struct str a, struct str b)
{
	struct str all[2] = { a, b }, epoch[2] = { 0 }, revision[2] = { 0 };

	for (size_t i = 0; i < 2; i++) {
		size_t n = 0;

		while (n < all[i].n && is_digit(all[i].p[n]))
			n++;
		if (n < all[i].n && all[i].p[n] == ':') {
			epoch[i] = take_number(&all[i]);
			skip(&all[i], 1);
		}
		n = all[i].n;
		while (n && all[i].p[n - 1] != '-')
			n--;
		if (n) {
			revision[i] = (struct str){ all[i].p + n, all[i].n - n };
			all[i].n = n - 1;
		}
	}
	int r = number_order(epoch[0], epoch[1]);
	r = r ? r : debian_part_order(all[0], all[1]);
	return r ? r : debian_part_order(revision[0], revision[1]);
}

/* ---- apk ---- */

/* In the order in which the rest of a version is older or newer where two differ in kind. */
enum apk_kind {
	APK_BAD,
	APK_BEFORE, /* _alpha _beta _pre _rc */
	APK_END,
	APK_REVISION,  /* -r1 */
	APK_SUFFIX_NO, /* of _rc1 */
	APK_AFTER,     /* _cvs _svn _git _hg _p */
	APK_LETTER,
	APK_NUMBER,
};

struct apk_token {
	enum apk_kind kind;
	size_t zeros; /* a number after a dot that begins with zeros is them alone: 1.05 < 1.5 */
	size_t rank;  /* of a suffix, a letter */
	struct str text;
};

struct apk_version {
	struct str left;
	enum apk_kind last;
	bool after_dot;
};

static struct apk_token apk_suffix(struct apk_version *v)
{
	static const struct {
		const char *word;
		enum apk_kind kind;
	} words[] = {
		{ "alpha", APK_BEFORE }, { "beta", APK_BEFORE }, { "pre", APK_BEFORE },
		{ "rc", APK_BEFORE },	 { "cvs", APK_AFTER },	 { "svn", APK_AFTER },
		{ "git", APK_AFTER },	 { "hg", APK_AFTER },	 { "p", APK_AFTER },
	};
	struct str s = v->left;

	skip(&s, 1);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!str_starts(s, words[i].word))
			continue;
		skip(&s, strlen(words[i].word));
		v->left = s;
		return (struct apk_token){ .kind = words[i].kind, .rank = i };
	}
	return (struct apk_token){ .kind = APK_BAD, .text = v->left };
}

static struct apk_token apk_number(struct apk_version *v)
{
	struct apk_token t = { .kind = APK_NUMBER };

	if (v->last == APK_BEFORE || v->last == APK_AFTER)
		t.kind = APK_SUFFIX_NO;
	if (v->after_dot)
		while (t.zeros < v->left.n && v->left.p[t.zeros] == '0')
			t.zeros++;
	v->after_dot = false;
	if (t.zeros)
		skip(&v->left, t.zeros);
	else
		t.text = take_number(&v->left);
	return t;
}

static struct apk_token apk_next(struct apk_version *v)
{
	struct apk_token t = { .kind = APK_BAD, .text = v->left };

	if (v->left.n && *v->left.p == '~') { /* the source's commit says nothing of its age */
		skip(&v->left, 1);
		while (v->left.n && (is_digit(*v->left.p) || is_letter(*v->left.p)))
			skip(&v->left, 1);
	}
	if (!v->left.n) {
		t = (struct apk_token){ .kind = APK_END };
	} else if (v->left.n > 1 && *v->left.p == '.' && is_digit(v->left.p[1])) {
		skip(&v->left, 1);
		v->after_dot = true;
		t = apk_number(v);
	} else if (is_digit(*v->left.p)) {
		t = apk_number(v);
	} else if (*v->left.p == '_') {
		t = apk_suffix(v);
	} else if (v->left.n > 2 && v->left.p[0] == '-' && v->left.p[1] == 'r' &&
		   is_digit(v->left.p[2])) {
		skip(&v->left, 2);
		t = (struct apk_token){ .kind = APK_REVISION };
		t.text = take_number(&v->left);
	} else if (*v->left.p >= 'a' && *v->left.p <= 'z' && v->last == APK_NUMBER) {
		t = (struct apk_token){ .kind = APK_LETTER, .rank = (unsigned char) *v->left.p };
		skip(&v->left, 1);
	}
	v->last = t.kind;
	return t;
}

static int apk_token_order(const struct apk_token *a, const struct apk_token *b)
{
	if (a->kind != b->kind)
		return a->kind > b->kind ? 1 : -1;
	if (a->kind == APK_BAD)
		return bytes_order(a->text, b->text);
	if (a->zeros != b->zeros)
		return a->zeros < b->zeros ? 1 : -1;
	if (a->rank != b->rank)
		return a->rank > b->rank ? 1 : -1;
	return number_order(a->text, b->text);
}

static int apk_order(struct str a, struct str b)
{
	struct apk_version left = { .left = a, .last = APK_END },
			   right = { .left = b, .last = APK_END };

	for (;;) {
		struct apk_token l = apk_next(&left), r = apk_next(&right);
		int order = apk_token_order(&l, &r);

		if (order || l.kind == APK_END || l.kind == APK_BAD)
			return order;
	}
}

/* ---- what PEP 440 and semantic versions share ---- */

/* Numbers between dots; those that one has not are zeros. */
static int release_order(struct str a, struct str b)
{
	while (a.n || b.n) {
		struct str l = take_number(&a), r = take_number(&b);
		int order = number_order(l, r);

		if (order)
			return order;
		if (a.n)
			skip(&a, 1);
		if (b.n)
			skip(&b, 1);
	}
	return 0;
}

/* "1.2.3" off the front; false: there is none. */
static bool take_release(struct str *s, struct str *ret_release)
{
	struct str rest = *s;

	for (;;) {
		if (!rest.n || !is_digit(*rest.p))
			return false;
		while (rest.n && is_digit(*rest.p))
			skip(&rest, 1);
		if (rest.n < 2 || *rest.p != '.' || !is_digit(rest.p[1]))
			break;
		skip(&rest, 1);
	}
	*ret_release = (struct str){ s->p, s->n - rest.n };
	*s = rest;
	return true;
}

/* Parts between dots (seps): digits[numbers_first] before or after words; fewer before more. */
static int labels_order(struct str a, struct str b, const char *seps, bool numbers_first)
{
	while (a.n && b.n) {
		struct str part[2] = { { a.p, 0 }, { b.p, 0 } };
		bool number[2] = { true, true };
		struct str *of[2] = { &a, &b };

		for (size_t i = 0; i < 2; i++) {
			while (of[i]->n && !strchr(seps, *of[i]->p ? *of[i]->p : ' ')) {
				number[i] = number[i] && is_digit(*of[i]->p);
				part[i].n++;
				skip(of[i], 1);
			}
			if (of[i]->n)
				skip(of[i], 1);
			number[i] = number[i] && part[i].n;
			while (number[i] && part[i].n > 1 && *part[i].p == '0')
				skip(&part[i], 1);
		}
		int r = number[0] != number[1] ? (number[0] == numbers_first ? -1 : 1)
			: number[0]	       ? number_order(part[0], part[1])
					       : bytes_order(part[0], part[1]);
		if (r)
			return r;
	}
	return (a.n > 0) - (b.n > 0);
}

/* ---- PEP 440 ---- */

struct pep440 {
	struct str epoch, release, pre, post, dev, local;
	int pre_kind; /* 0 a, 1 b, 2 rc; -1: a development version of none of them; 3: none */
	bool has_post, has_dev;
};

static bool take_word(struct str *s, const char *word)
{
	size_t n = strlen(word);

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(s->p[i]) != word[i])
			return false;
	skip(s, n);
	return true;
}

static struct str after_separator(struct str s)
{
	if (s.n && (*s.p == '.' || *s.p == '-' || *s.p == '_'))
		skip(&s, 1);
	return s;
}

/* One of the words, with a separator before it and before its number. -1: none. */
static int take_label(struct str *s, const char *const *words, size_t n, struct str *ret_number)
{
	for (size_t i = 0; i < n; i++) {
		struct str rest = after_separator(*s), number;

		if (!take_word(&rest, words[i]))
			continue;
		number = after_separator(rest);
		if (number.n && is_digit(*number.p))
			rest = number;
		*ret_number = take_number(&rest);
		*s = rest;
		return (int) i;
	}
	return -1;
}

static bool pep440_parse(struct str s, struct pep440 *v)
{
	static const char *const pre[] = { "alpha", "a", "beta", "b", "preview", "pre", "rc", "c" };
	static const int pre_kinds[] = { 0, 0, 1, 1, 2, 2, 2, 2 };
	static const char *const post[] = { "post", "rev", "r" }, *const dev[] = { "dev" };
	struct str rest;
	int which;

	*v = (struct pep440){ .pre_kind = 3 };
	(void) take_word(&s, "v"); /* it may stand there */
	rest = s;
	while (rest.n && is_digit(*rest.p))
		skip(&rest, 1);
	if (rest.n && *rest.p == '!') {
		v->epoch = take_number(&s);
		skip(&s, 1);
	}
	if (!take_release(&s, &v->release))
		return false;
	which = take_label(&s, pre, ARRAY_SIZE(pre), &v->pre);
	if (which >= 0)
		v->pre_kind = pre_kinds[which];
	if (s.n > 1 && *s.p == '-' && is_digit(s.p[1])) {
		skip(&s, 1);
		v->post = take_number(&s);
		v->has_post = true;
	} else {
		v->has_post = take_label(&s, post, ARRAY_SIZE(post), &v->post) >= 0;
	}
	v->has_dev = take_label(&s, dev, ARRAY_SIZE(dev), &v->dev) >= 0;
	if (v->has_dev && which < 0 && !v->has_post)
		v->pre_kind = -1;
	if (s.n > 1 && *s.p == '+') {
		skip(&s, 1);
		v->local = s;
		s.n = 0;
	}
	return s.n == 0;
}

static int optional_order(bool has_a, struct str a, bool has_b, struct str b, int absent)
{
	if (has_a != has_b)
		return has_a ? -absent : absent;
	return has_a ? number_order(a, b) : 0;
}

static int pep440_order(const struct pep440 *a, const struct pep440 *b)
{
	int r = number_order(a->epoch, b->epoch);

	r = r ? r : release_order(a->release, b->release);
	r = r ? r : (a->pre_kind > b->pre_kind) - (a->pre_kind < b->pre_kind);
	r = r ? r : number_order(a->pre, b->pre);
	r = r ? r : optional_order(a->has_post, a->post, b->has_post, b->post, -1);
	r = r ? r : optional_order(a->has_dev, a->dev, b->has_dev, b->dev, 1);
	return r ? r : labels_order(a->local, b->local, ".-_", false);
}

/* ---- semantic versions ---- */

struct semver {
	struct str release, pre;
};

static bool semver_parse(struct str s, struct semver *v)
{
	*v = (struct semver){ 0 };
	if (s.n && (*s.p == 'v' || *s.p == '='))
		skip(&s, 1);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '+') {
			s.n = i; /* the build decides nothing */
			break;
		}
	if (!take_release(&s, &v->release))
		return false;
	if (s.n > 1 && *s.p == '-') {
		skip(&s, 1);
		v->pre = s;
		s.n = 0;
	}
	return s.n == 0;
}

static int semver_order(const struct semver *a, const struct semver *b)
{
	int r = release_order(a->release, b->release);

	if (r)
		return r;
	if (!a->pre.n || !b->pre.n)
		return (b->pre.n > 0) - (a->pre.n > 0);
	return labels_order(a->pre, b->pre, ".", true);
}

int version_order(enum version_scheme scheme, struct str a, struct str b)
{
	struct pep440 pa, pb;
	struct semver sa, sb;
	bool ok_a = true, ok_b = true;

	switch (scheme) {
	case VERSION_DEBIAN:
		break;
	case VERSION_ALPINE:
		return apk_order(a, b);
	case VERSION_PEP440:
		ok_a = pep440_parse(a, &pa);
		ok_b = pep440_parse(b, &pb);
		if (ok_a && ok_b)
			return pep440_order(&pa, &pb);
		break;
	case VERSION_SEMVER:
		ok_a = semver_parse(a, &sa);
		ok_b = semver_parse(b, &sb);
		if (ok_a && ok_b)
			return semver_order(&sa, &sb);
		break;
	}
	return ok_a != ok_b ? (ok_a ? 1 : -1) : debian_order(a, b);
}

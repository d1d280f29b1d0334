/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/challenge.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct str *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t')) {
		s->p++;
		s->n--;
	}
}

static bool take(struct str *s, char c)
{
	if (!s->n || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

static struct str token(struct str *s)
{
	struct str t = { s->p, 0 };

	while (t.n < s->n && is_token(s->p[t.n]))
		t.n++;
	s->p += t.n;
	s->n -= t.n;
	return t;
}

static bool is_word(struct str s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static int add(char to[static CHALLENGE_TEXT_MAX], size_t *n, char c)
{
	if ((unsigned char) c < ' ' || c == 0x7f || *n + 1 >= CHALLENGE_TEXT_MAX)
		return -E2BIG;
	to[(*n)++] = c;
	to[*n] = '\0';
	return 0;
}

/* A token, or a quoted string without its quotes. */
static int value_of(struct str *s, char to[static CHALLENGE_TEXT_MAX])
{
	size_t n = 0;
	int r = 0;

	to[0] = '\0';
	if (!take(s, '"')) {
		struct str t = token(s);

		for (size_t i = 0; i < t.n && r == 0; i++)
			r = add(to, &n, t.p[i]);
		return t.n ? r : -EINVAL;
	}
	while (r == 0 && !take(s, '"')) {
		(void) take(s, '\\');
		if (!s->n)
			return -EINVAL;
		r = add(to, &n, *s->p);
		s->p++;
		s->n--;
	}
	return r;
}

/* One parameter that stands here; 0: there is none, but the next challenge or the end. */
static int parameter(struct str *s, struct challenge *c)
{
	char unused[CHALLENGE_TEXT_MAX];
	struct str at = *s, name = token(&at);
	int r;

	skip_blanks(&at);
	if (!name.n || !take(&at, '='))
		return 0;
	skip_blanks(&at);
	/* "==": padding of a token68, which has no parameters beside it. */
	if (!at.n || *at.p == '=' || *at.p == ',')
		return -EINVAL;
	r = value_of(&at, is_word(name, "realm")     ? c->realm
			  : is_word(name, "service") ? c->service
			  : is_word(name, "scope")   ? c->scope
			  : is_word(name, "error")   ? c->error
						     : unused);
	*s = at;
	return r < 0 ? r : 1;
}

static void skip_commas(struct str *s)
{
	do
		skip_blanks(s);
	while (take(s, ','));
}

int challenge_parse(struct str value, struct challenge *ret_c)
{
	*ret_c = (struct challenge){};
	skip_commas(&value);
	while (value.n) {
		struct challenge c = {};
		struct str scheme = token(&value);
		int r = 1;

		if (!scheme.n || (value.n && *value.p != ' ' && *value.p != ','))
			return -EINVAL;
		if (is_word(scheme, "Basic"))
			c.scheme = CHALLENGE_BASIC;
		else if (is_word(scheme, "Bearer"))
			c.scheme = CHALLENGE_BEARER;
		skip_blanks(&value);
		while (r > 0) {
			r = parameter(&value, &c);
			if (r < 0)
				return r;
			skip_blanks(&value);
			if (r > 0 && value.n && *value.p != ',')
				return -EINVAL;
			skip_commas(&value);
		}
		if (c.scheme > ret_c->scheme)
			*ret_c = c;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/mount_options.h"

bool mount_option_next(const char **text, struct mount_option *ret)
{
	const char *at = *text;

	while (*at == ',')
		at++;
	*ret = (struct mount_option){ .name = at };
	while (*at && *at != ',' && *at != '=')
		at++;
	ret->name_len = (size_t) (at - ret->name);
	ret->has_value = *at == '=';
	if (ret->has_value)
		at++;
	ret->value = at;
	while (*at && *at != ',')
		at++;
	ret->len = (size_t) (at - ret->value);
	*text = at;
	return at != ret->name;
}

static bool same(const char *bytes, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(bytes, text, len) == 0;
}

bool mount_option_is(const struct mount_option *o, const char *name)
{
	return same(o->name, o->name_len, name);
}

bool mount_option_says(const struct mount_option *o, const char *value)
{
	return o->has_value && same(o->value, o->len, value);
}

/* The digits that a value begins with: how many; 0: none, or too large a number. */
static size_t digits(const struct mount_option *o, unsigned int base, uint64_t *ret)
{
	uint64_t n = 0;
	size_t at = 0;

	for (; at < o->len && o->value[at] >= '0' && o->value[at] < '0' + (int) base; at++) {
		if (__builtin_mul_overflow(n, (uint64_t) base, &n) ||
		    __builtin_add_overflow(n, (uint64_t) (o->value[at] - '0'), &n))
			return 0;
	}
	*ret = n;
	return at;
}

bool mount_option_number(const struct mount_option *o, unsigned int base, uint64_t most,
			 uint64_t *ret)
{
	uint64_t n;

	if (o->len == 0 || digits(o, base, &n) != o->len || n > most)
		return false;
	*ret = n;
	return true;
}

bool mount_option_size(const struct mount_option *o, uint64_t whole, uint64_t *ret)
{
	static const char units[] = "kmgt";
	size_t used;
	uint64_t n;

	used = digits(o, 10, &n);
	if (used == 0 || used + 1 < o->len)
		return false;
	if (used < o->len && o->value[used] == '%') {
		if (__builtin_mul_overflow(n, whole / 100, &n))
			return false;
	} else if (used < o->len) {
		size_t k = 0;

		while (k < sizeof(units) - 1 && (o->value[used] | 0x20) != units[k])
			k++;
		if (k == sizeof(units) - 1 ||
		    __builtin_mul_overflow(n, (uint64_t) 1 << 10 * (k + 1), &n))
			return false;
	}
	*ret = n;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/uts.h"

struct names {
	char host[UTS_NAME + 1], domain[UTS_NAME + 1];
};

static struct names *names(void)
{
	static struct names one = { "atoll", "(none)" };

	return &one;
}

static void set(char *to, const char *name, size_t len)
{
	memset(to, 0, UTS_NAME + 1);
	memcpy(to, name, min_of(len, (size_t) UTS_NAME));
}

const char *uts_hostname(void)
{
	return names()->host;
}

const char *uts_domainname(void)
{
	return names()->domain;
}

void uts_set_hostname(const char *name, size_t len)
{
	set(names()->host, name, len);
}

void uts_set_domainname(const char *name, size_t len)
{
	set(names()->domain, name, len);
}

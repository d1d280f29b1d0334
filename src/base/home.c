/* SPDX-License-Identifier: Apache-2.0 */
#include "base/home.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *home_user(void)
{
	const char *home = secure_getenv("HOME");

	return home && *home == '/' ? home : geteuid() == 0 ? "/root" : "/nonexistent";
}

/* XDG base directory specification. */
struct home_text home_root_default(void)
{
	const char *data = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
	struct home_text t = { "/var/lib/atoll" };

	if (geteuid() == 0)
		return t;
	if (data && data[0] == '/')
		(void) snprintf(t.z, sizeof(t.z), "%s/atoll", data);
	else if (home && home[0] == '/')
		(void) snprintf(t.z, sizeof(t.z), "%s/.local/share/atoll", home);
	return t;
}

struct home_text home_root(void)
{
	const char *root = secure_getenv("ATOLL_ROOT");
	struct home_text t = home_root_default();

	if (root && root[0] == '/' && strlen(root) < sizeof(t.z))
		(void) snprintf(t.z, sizeof(t.z), "%s", root);
	return t;
}

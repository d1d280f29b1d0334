/* SPDX-License-Identifier: Apache-2.0 */
#include "image/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

int program_find(const char *name, char ret_path[static PROGRAM_PATH_MAX], struct err *e)
{
	static const char *const places[] = { "", "../libexec/atoll/" };
	char self[PROGRAM_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return err_sys(e, errno, "find %s: read /proc/self/exe", name);
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (snprintf(ret_path, PROGRAM_PATH_MAX, "%s/%s%s", self, places[i], name) <
			    PROGRAM_PATH_MAX &&
		    access(ret_path, X_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "%s is neither in %s nor in %s/../libexec/atoll: install it there", name,
		       self, self);
}

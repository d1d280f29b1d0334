/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_path(const char *name, char ret_path[static PATH_MAX], struct err *e)
{
	char self[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_sys(e, errno, "find %s: read /proc/self/exe", name);
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < 2; i++) {
		int len = i == 0 ? snprintf(path, sizeof(path), "%s/%s", self, name)
				 : snprintf(path, sizeof(path), "%s/../libexec/atoll/%s", self,
					    name);

		if (len > 0 && (size_t) len < sizeof(path) && access(path, X_OK) == 0) {
			memcpy(ret_path, path, (size_t) len + 1);
			return 0;
		}
	}
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "%s is neither in '%s' nor in '%s/../libexec/atoll': the installation is "
		       "incomplete",
		       name, self, self);
}

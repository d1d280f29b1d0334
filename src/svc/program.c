/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/program.h"

#include <errno.h>

#include "sys/self.h"

int program_path(const char *name, char ret_path[static PATH_MAX], struct err *e)
{
	int r = self_sibling(name, ret_path);

	return r < 0 ? err_set(e, ERR_NOT_FOUND, -r,
			       "%s is neither beside this program nor in ../libexec/atoll of it: "
			       "the installation is incomplete",
			       name)
		     : 0;
}

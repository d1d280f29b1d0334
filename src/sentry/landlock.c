/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/landlock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

/* struct landlock_ruleset_attr as of ABI 6 (Linux 6.12), newer than the headers of Debian 12. */
struct ruleset {
	uint64_t files, network, scopes;
};

#define ASK_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */

/* landlock(7): which rights each version has. */
static const struct {
	long version;
	uint64_t files, network, scopes;
	size_t bytes;
} versions[] = {
	{ 1, 0x1fff, 0, 0, 8 },	 { 2, 0x3fff, 0, 0, 8 },  { 3, 0x7fff, 0, 0, 8 },
	{ 4, 0x7fff, 3, 0, 16 }, { 5, 0xffff, 3, 0, 16 }, { 6, 0xffff, 3, 3, 24 },
};

int landlock_nothing(struct err *e)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	struct ruleset rules = {};
	size_t bytes = 0;
	auto_fd int fd = FD_NONE;

	if (version < 1)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(versions) && versions[i].version <= version; i++) {
		rules = (struct ruleset){ versions[i].files, versions[i].network,
					  versions[i].scopes };
		bytes = versions[i].bytes;
	}
	fd = (int) syscall(SYS_landlock_create_ruleset, &rules, bytes, 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(e, errno, "give up files and networks (Landlock)");
	return 0;
}

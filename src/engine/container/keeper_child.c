/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/container/groups_systemd.h"

void keeper_child(pid_t parent)
{
	/* Nothing of the creator's may stay open, or be held, longer than by itself. */
	(void) close_range(0, ~0u, 0);
	(void) prctl(PR_SET_NAME, "atoll-keeper");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(0);
	for (;;)
		(void) pause();
}

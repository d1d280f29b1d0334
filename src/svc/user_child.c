/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/user_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/paths.h"
#include "sys/process.h"

#define OWN_FD 3

void user_child(int state_fd, int sock)
{
	char byte = 0;
	int own, null_fd;

	if (recv(sock, &byte, 1, 0) != 1)
		_exit(1);
	/* An open file of its own: what was inherited is locked together with its creator's. */
	own = openat(state_fd, PATHS_USER, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (own < 0 || null_fd < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
	    setsid() < 0 || chdir("/") < 0)
		_exit(1);
	process_retitle("atoll-keeper"); /* not the command that made it, nor its secrets */
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(null_fd, fd) < 0)
			_exit(1);
	}
	if (send(sock, &byte, 1, MSG_NOSIGNAL) != 1)
		_exit(1);
	/* Nothing of its creator's stays open, whose readers wait for the end. */
	if ((own != OWN_FD && dup2(own, OWN_FD) < 0) || close_range(OWN_FD + 1, ~0u, 0) < 0)
		_exit(1);
	while (flock(OWN_FD, LOCK_EX) < 0 && errno == EINTR)
		;
	/* Before the lock is given up: who comes next finds nobody, not somebody who is about to
	 * end. */
	_exit(ftruncate(OWN_FD, 0) < 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys/caps.h"
#include "sys/enclose.h"

#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static int take_ids(const struct jail *j, struct err *e)
{
	if (!j->set_ids)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(j->gid, j->gid, j->gid) < 0 ||
	    setresuid(j->uid, j->uid, j->uid) < 0)
		return err_sys(e, errno, "become user %u, group %u", j->uid, j->gid);
	return 0;
}

int jail_enter(const struct jail *j, struct err *e)
{
	const struct rlimit none = { 0, 0 };
	const struct caps nothing = { 0 };
	pid_t parent = getppid();
	bool in_user = false;
	int r, death_signal = 0;

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "ask for the signal of the parent's death");
	if (unshare(SPACES) < 0) {
		in_user = true; /* a namespace of his own gives an ordinary user the others */
		if (unshare(SPACES | CLONE_NEWUSER) < 0)
			return err_sys(e, errno,
				       "make namespaces to be jailed in (--no-jail goes without)");
	}
	if (in_user && j->set_ids)
		return err_set(e, ERR_DENIED, EPERM, "--uid and --gid need privileges");
	if (enclose_root(e) < 0)
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "forbid core files");
	r = caps_bound(0);
	if (r < 0)
		return err_sys(e, -r, "give up capabilities");
	if (take_ids(j, e) < 0)
		return -1;
	r = caps_set(&nothing);
	if (r < 0)
		return err_sys(e, -r, "give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	/* A change of credentials forgets it. */
	if (death_signal && prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_sys(e, errno, "set the signal of the parent's death");
	if (death_signal && getppid() != parent)
		return err_set(e, ERR_CONFLICT, ESRCH, "the process that started this has ended");
	return 0;
}

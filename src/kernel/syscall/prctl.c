/* SPDX-License-Identifier: Apache-2.0 */
/* prctl(2). */
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "kernel/syscall/confine.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/cred_change.h"

#define SIGNAL_MOST 64

static sysret_t put(struct task *t, struct cred *c, int r)
{
	if (r < 0)
		cred_unref(c);
	else
		task_set_cred(t, c);
	return r;
}

/* Those that leave the rest of the arguments zero. */
static bool rest_zero(const uint64_t *a, size_t from)
{
	for (; from < 5; from++) {
		if (a[from])
			return false;
	}
	return true;
}

static sysret_t ambient(struct task *t, const uint64_t *a)
{
	struct cred *c;

	if (a[1] == PR_CAP_AMBIENT_CLEAR_ALL ? !rest_zero(a, 2)
					     : !rest_zero(a, 3) || a[2] > CAP_LAST_CAP)
		return -EINVAL;
	if (a[1] == PR_CAP_AMBIENT_IS_SET)
		return t->cred->ambient >> a[2] & 1;
	c = cred_copy(t->cred);
	if (!c)
		return -ENOMEM;
	switch (a[1]) {
	case PR_CAP_AMBIENT_RAISE:
		return put(t, c, cred_raise_ambient(c, a[2]));
	case PR_CAP_AMBIENT_LOWER:
		return put(t, c, cred_lower_ambient(c, a[2]));
	case PR_CAP_AMBIENT_CLEAR_ALL:
		cred_clear_ambient(c);
		return put(t, c, 0);
	default:
		return put(t, c, -EINVAL);
	}
}

static sysret_t of_cred(struct task *t, const uint64_t *a)
{
	struct cred *c = cred_copy(t->cred);

	if (!c)
		return -ENOMEM;
	switch ((int) a[0]) {
	case PR_CAPBSET_DROP:
		return put(t, c, cred_drop_bounding(c, a[1]));
	case PR_SET_SECUREBITS:
		return put(t, c, cred_set_securebits(c, a[1]));
	case PR_SET_KEEPCAPS:
		return put(t, c, cred_set_keepcaps(c, a[1]));
	default: /* PR_SET_NO_NEW_PRIVS */
		if (a[1] != 1 || !rest_zero(a, 2))
			return put(t, c, -EINVAL);
		cred_set_no_new_privs(c);
		return put(t, c, 0);
	}
}

static sysret_t name_in(struct task *t, uva_t from)
{
	char name[16];
	int64_t n = copy_text(t->space, name, from, sizeof(name));

	/* A longer one is cut. */
	if (n < 0 && n != -ENAMETOOLONG)
		return n;
	name[sizeof(name) - 1] = 0;
	task_set_comm(t, name);
	return 0;
}

static sysret_t number_out(struct task *t, uint64_t to, int number)
{
	return copy_out(t->space, uva(to), &number, sizeof(number));
}

static sysret_t of_process(struct task *t, const uint64_t *a)
{
	switch ((int) a[0]) {
	case PR_SET_PDEATHSIG:
		if (a[1] > SIGNAL_MOST)
			return -EINVAL;
		t->pdeath_signal = (int) a[1];
		return 0;
	case PR_GET_PDEATHSIG:
		return number_out(t, a[1], t->pdeath_signal);
	case PR_SET_DUMPABLE:
		if (a[1] > 1)
			return -EINVAL;
		if (t->image)
			t->image->dumpable = (unsigned int) a[1];
		return 0;
	case PR_GET_DUMPABLE:
		return t->image ? t->image->dumpable : 1;
	case PR_SET_CHILD_SUBREAPER:
		t->process->subreaper = a[1];
		return 0;
	default: /* PR_GET_CHILD_SUBREAPER */
		return number_out(t, a[1], t->process->subreaper);
	}
}

sysret_t sys_prctl(struct task *t, const uint64_t *a)
{
	switch ((int) a[0]) {
	case PR_SET_NAME:
		return name_in(t, uva(a[1]));
	case PR_GET_NAME:
		return copy_out(t->space, uva(a[1]), t->comm, sizeof(t->comm));
	case PR_SET_PDEATHSIG:
	case PR_GET_PDEATHSIG:
	case PR_SET_DUMPABLE:
	case PR_GET_DUMPABLE:
	case PR_SET_CHILD_SUBREAPER:
	case PR_GET_CHILD_SUBREAPER:
		return of_process(t, a);
	case PR_CAPBSET_DROP:
	case PR_SET_SECUREBITS:
	case PR_SET_KEEPCAPS:
	case PR_SET_NO_NEW_PRIVS:
		return of_cred(t, a);
	case PR_CAP_AMBIENT:
		return ambient(t, a);
	case PR_CAPBSET_READ:
		return a[1] > CAP_LAST_CAP ? -EINVAL : (sysret_t) (t->cred->bounding >> a[1] & 1);
	case PR_GET_SECUREBITS:
		return t->cred->securebits;
	case PR_GET_KEEPCAPS:
		return t->cred->securebits >> 4 & 1; /* SECURE_KEEP_CAPS */
	case PR_GET_NO_NEW_PRIVS:
		return rest_zero(a, 1) ? t->cred->no_new_privs : -EINVAL;
	case PR_SET_TIMERSLACK:
		t->timer_slack = (int64_t) a[1] > 0 ? (nsec_t) a[1] : t->slack_at_birth;
		return 0;
	case PR_GET_TIMERSLACK:
		return t->timer_slack;
	case PR_GET_TID_ADDRESS:
		return copy_out(t->space, uva(a[1]), &t->clear_child_tid.v, sizeof(uint64_t));
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return a[1] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_GET_SECCOMP: /* a strict one has ended here */
		return t->filters ? SECCOMP_MODE_FILTER : SECCOMP_MODE_DISABLED;
	case PR_SET_SECCOMP:
		return seccomp_of_prctl(t, a[1], uva(a[2]));
	case PR_SET_MM: /* as a kernel without CONFIG_CHECKPOINT_RESTORE, after the right to */
		return cred_can(t->cred, CAP_SYS_RESOURCE) ? -EINVAL : -EPERM;
	default:
		return -EINVAL;
	}
}

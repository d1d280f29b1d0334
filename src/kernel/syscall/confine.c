/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp(2): decoding. What filters do is task/seccomp.h's. */
#include "kernel/syscall/confine.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/seccomp.h"

#define FLAGS_OF_SYNC (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
/* No log is written, and there is no mitigation of speculation to leave out. */
#define FLAGS_KNOWN (FLAGS_OF_SYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW)

/* struct sock_fprog of x86-64. */
struct program_in {
	uint16_t count;
	uint16_t pad[3];
	uint64_t code;
};
_Static_assert(sizeof(struct program_in) == 16, "the guest's");

static int program(struct task *t, uva_t from, struct sock_filter **ret_code, uint32_t *ret_count)
{
	struct program_in p;
	struct sock_filter *code;

	if (copy_in(t->space, &p, from, sizeof(p)) < 0)
		return -EFAULT;
	if (p.count == 0 || p.count > BPF_MAXINSNS)
		return -EINVAL;
	/* Else it could lead a set-id program astray. */
	if (!t->cred->no_new_privs && !cred_can(t->cred, CAP_SYS_ADMIN))
		return -EACCES;
	code = heap_alloc(p.count * sizeof(*code));
	if (!code)
		return -ENOMEM;
	if (copy_in(t->space, code, uva(p.code), p.count * sizeof(*code)) < 0) {
		heap_free(code);
		return -EFAULT;
	}
	*ret_code = code;
	*ret_count = p.count;
	return 0;
}

static sysret_t add(struct task *t, uint64_t flags, uva_t from)
{
	struct sock_filter *code;
	uint32_t count;
	sysret_t r;

	if (flags & ~(uint64_t) FLAGS_KNOWN)
		return -EINVAL;
	r = program(t, from, &code, &count);
	if (r < 0)
		return r;
	r = seccomp_add(t, code, count, flags & SECCOMP_FILTER_FLAG_TSYNC);
	return r > 0 && flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : r;
}

static sysret_t available(struct task *t, uva_t from)
{
	uint32_t action;

	if (copy_in(t->space, &action, from, sizeof(action)) < 0)
		return -EFAULT;
	switch (action) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

sysret_t sys_seccomp(struct task *t, const uint64_t *a)
{
	/* unsigned int, both. */
	uint32_t what = (uint32_t) a[0], flags = (uint32_t) a[1];

	switch (what) {
	case SECCOMP_SET_MODE_STRICT:
		return flags || a[2] ? -EINVAL : seccomp_strict(t);
	case SECCOMP_SET_MODE_FILTER:
		return add(t, flags, uva(a[2]));
	case SECCOMP_GET_ACTION_AVAIL:
		return flags ? -EINVAL : available(t, uva(a[2]));
	default:
		return -EINVAL;
	}
}

sysret_t seccomp_of_prctl(struct task *t, uint64_t mode, uva_t from)
{
	switch (mode) {
	case SECCOMP_MODE_STRICT:
		return seccomp_strict(t);
	case SECCOMP_MODE_FILTER:
		return add(t, 0, from);
	default:
		return -EINVAL;
	}
}

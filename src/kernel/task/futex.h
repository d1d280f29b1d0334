/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex(2): waiting for a word of a guest's memory to change (Linux 6.12). Who waits for the same
 * word is found by its key: the space and the address, or, in a shared mapping, what supplies the
 * page and the offset in it. All of it belongs to the giant lock: a call that looks at a word and
 * goes to sleep cannot miss the wake-up of who changed the word before.
 *
 * WAIT, WAKE, WAIT_BITSET, WAKE_BITSET, REQUEUE, CMP_REQUEUE and WAKE_OP, private and shared;
 * robust lists. The PI kinds are -ENOSYS: there are no priorities to inherit.
 */
#pragma once

#include "kernel/core/types.h"

struct space;

/* What restart_syscall(2) goes on with after a wait with a time that a signal without a handler
 * interrupted. */
struct futex_again {
	uint64_t at;
	uint32_t value, bits;
	bool shared;
	nsec_t deadline; /* PLAT_MONOTONIC */
};

/*
 * The system call, its arguments as they came. *ret_again is filled with
 * -ERESTART_RESTARTBLOCK alone; other interrupted waits give -ERESTARTSYS. May park.
 */
[[nodiscard]] sysret_t futex_call(struct space *s, const uint64_t args[6],
				  struct futex_again *ret_again);
[[nodiscard]] sysret_t futex_go_on(struct space *s, const struct futex_again *again);

/* For the kernel's own: who waits at `at` in a shared way or in this space, at most so many, is
 * woken. -EINVAL, -EFAULT. */
sysret_t futex_wake(struct space *s, uva_t at, unsigned int most);

/*
 * A thread ends, or its program does: words on its list of robust locks that have its number get
 * FUTEX_OWNER_DIED, and one who waits for them is woken. head: of set_robust_list(2). The list is
 * the guest's: what of it cannot be read is left.
 */
void futex_robust_exit(struct space *s, uva_t head, uint32_t tid);

/* One of the words that futex_wait_any() waits for. */
struct futex_word {
	uint64_t at;
	uint32_t value;
	bool shared;
};

/* Which of 1 ... FUTEX_WORDS_MOST words a waker was at: all still had their values. -EAGAIN,
 * -EFAULT, -EINVAL, -ETIMEDOUT at the deadline (PLAT_MONOTONIC), -ERESTARTSYS, -ENOMEM. */
#define FUTEX_WORDS_MOST 128
[[nodiscard]] sysret_t futex_wait_any(struct space *s, const struct futex_word *words,
				      unsigned int n, nsec_t deadline);

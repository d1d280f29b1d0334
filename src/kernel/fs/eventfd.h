/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2) and timerfd_create(2): a counter, and a timer that counts, as files. */
#pragma once

#include <linux/time_types.h>

#include "kernel/core/types.h"

struct cred;
struct file;

/* flags: O_NONBLOCK, and EFD_SEMAPHORE as eventfd2(2) has it. -ENOMEM. */
[[nodiscard]] int eventfd_make(uint64_t count, unsigned int flags, bool semaphore,
			       const struct cred *who, struct file **ret);

bool file_is_eventfd(const struct file *f);
uint64_t eventfd_count(const struct file *f);
bool eventfd_counts_down(const struct file *f); /* EFD_SEMAPHORE */

/* clock: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME. -EINVAL, -ENOMEM. */
[[nodiscard]] int timerfd_make(int clock, unsigned int flags, const struct cred *who,
			       struct file **ret);
/* flags: TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET (no clock is ever set here). The old one in
 * *ret_old. -EINVAL: no timerfd, or no time. */
[[nodiscard]] int timerfd_set(struct file *f, int flags, const struct __kernel_itimerspec *new,
			      struct __kernel_itimerspec *ret_old);
[[nodiscard]] int timerfd_get(struct file *f, struct __kernel_itimerspec *ret);

/* For checkpoints: what a timerfd is, and one of its clock that goes on so. */
struct timerfd_state {
	int clock;
	nsec_t left, interval; /* left 0: disarmed */
	uint64_t expired;
};
bool file_is_timerfd(const struct file *f);
void timerfd_tell(struct file *f, struct timerfd_state *ret);
void timerfd_load(struct file *f, const struct timerfd_state *from);

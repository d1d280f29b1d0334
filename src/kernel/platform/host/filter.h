/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two filters of stubs, as programs of classic BPF. They ask where a call comes from, which
 * sys/filter.h's tables have no word for.
 */
#pragma once

#include <linux/filter.h>

#define STUB_FILTER_MAX 128

/*
 * Of every thread of every stub: what comes from outside of the stub's code, and its doorbells, are
 * notifications; its own code may make what it needs to map the two descriptors and to make
 * threads. Gives the length.
 */
unsigned short stub_filter(struct sock_filter code[STUB_FILTER_MAX], int ram_fd, int chunks_fd);
/* Besides, of a guest's threads: of the stub's code they may run its doorbell and its sigreturn. */
unsigned short stub_filter_guest(struct sock_filter code[STUB_FILTER_MAX]);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls the guest did not get, and how often: those that the list says are not served, those
 * that it says are served in part and that ended with an error, and those that a filter refused.
 * Kept from the first one on, in little memory, whatever the guest does.
 */
#pragma once

#include "kernel/core/types.h"

#define REFUSED_MOST 128
/* Beside the error: it was a filter of the workload's (seccomp) that refused it, not this kernel.
 */
#define REFUSED_FILTERED 0x1000u

struct refused {
	uint32_t nr;
	uint32_t error; /* and REFUSED_FILTERED */
	uint64_t which; /* of a call that is many (arguments.h): the argument that says which */
	uint64_t count;
};

/* nr ended with -error. */
void refused_note(unsigned int nr, const uint64_t args[6], unsigned int error);
/* In the order in which they came first; *ret_n: how many. *ret_others: of calls that there was no
 * more room to tell apart. */
const struct refused *refused_list(size_t *ret_n, uint64_t *ret_others);

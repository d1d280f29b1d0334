/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/refused.h"

#include "kernel/syscall/list/arguments.h"

static struct refused all[REFUSED_MOST];
static size_t all_n;
static uint64_t others;

void refused_note(unsigned int nr, const uint64_t args[6], unsigned int error)
{
	unsigned int place = call_arguments(nr)->which;
	uint64_t which = place ? args[place - 1] : 0;

	for (size_t n = 0; n < all_n; n++) {
		struct refused *r = &all[n];

		if (r->nr == nr && r->error == error && r->which == which) {
			r->count++;
			return;
		}
	}
	if (all_n == countof(all)) {
		others++;
		return;
	}
	all[all_n++] = (struct refused){ .nr = nr, .error = error, .which = which, .count = 1 };
}

const struct refused *refused_list(size_t *ret_n, uint64_t *ret_others)
{
	*ret_n = all_n;
	*ret_others = others;
	return all;
}

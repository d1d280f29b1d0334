/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/restart.h"

static bool policy_wants(const struct restart *r, int code)
{
	switch (r->policy) {
	case SHIM_RESTART_NO:
		return false;
	case SHIM_RESTART_ON_FAILURE:
		return code != 0 && (!r->max || r->count < r->max);
	case SHIM_RESTART_ALWAYS:
	case SHIM_RESTART_UNLESS_STOPPED:
		return true;
	}
	return false;
}

bool restart_wanted(struct restart *r, int code, nsec_t ran, bool stopped, nsec_t *ret_delay)
{
	if (stopped || !policy_wants(r, code))
		return false;
	if (!r->delay || ran >= RESTART_GOOD_RUN)
		r->delay = RESTART_DELAY_MIN;
	else if (r->delay < RESTART_DELAY_MAX / 2)
		r->delay *= 2;
	else
		r->delay = RESTART_DELAY_MAX;
	r->count++;
	*ret_delay = r->delay;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of rates that `run`, `create` and `update` offer: of disks and of machines' cards. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/option.h"
#include "svc/config.h"

struct rate_options {
	struct option_list read_bps, write_bps, read_iops, write_iops; /* "PATH:RATE" */
	int64_t rx_bps, rx_pps, tx_bps, tx_pps;
	bool rx_bps_set, rx_pps_set, tx_bps_set, tx_pps_set;
};

/* *r borrows the lists' items. */
void rate_options_into(const struct rate_options *o, struct resources_config *r);

/* Which of them were given: UPDATE_READ_BPS and its kin. */
unsigned rate_options_given(const struct rate_options *o);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload's figures (struct usage of engine/engine.h) as our protocols carry them.
 */
#pragma once

#include <stdint.h>

#include "proto/fields.h"

struct usage_fields { /* UINT64_MAX is unknown */
	uint64_t at, cpu_ns, cpu_user_ns, cpu_system_ns;
	uint64_t throttled_periods, throttled_ns, periods;
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes, memory_cache_bytes;
	uint64_t memory_swap_bytes, memory_failures, oom_kills;
	uint64_t pids, pids_limit;
	uint64_t block_read_bytes, block_write_bytes, block_reads, block_writes;
	uint64_t net_rx_bytes, net_tx_bytes, net_rx_packets, net_tx_packets;
};

extern const struct field_layout usage_layout;

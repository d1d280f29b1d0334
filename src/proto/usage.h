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
	uint64_t memory_host_bytes;
};

/* All but the time, from *u into the initializer of either structure: both name them alike. */
/* clang-format off */
#define USAGE_FIGURES(u) \
	.cpu_ns = (u)->cpu_ns, \
	.cpu_user_ns = (u)->cpu_user_ns, \
	.cpu_system_ns = (u)->cpu_system_ns, \
	.throttled_periods = (u)->throttled_periods, \
	.throttled_ns = (u)->throttled_ns, \
	.periods = (u)->periods, \
	.memory_bytes = (u)->memory_bytes, \
	.memory_peak_bytes = (u)->memory_peak_bytes, \
	.memory_limit_bytes = (u)->memory_limit_bytes, \
	.memory_cache_bytes = (u)->memory_cache_bytes, \
	.memory_swap_bytes = (u)->memory_swap_bytes, \
	.memory_failures = (u)->memory_failures, \
	.oom_kills = (u)->oom_kills, \
	.pids = (u)->pids, \
	.pids_limit = (u)->pids_limit, \
	.block_read_bytes = (u)->block_read_bytes, \
	.block_write_bytes = (u)->block_write_bytes, \
	.block_reads = (u)->block_reads, \
	.block_writes = (u)->block_writes, \
	.net_rx_bytes = (u)->net_rx_bytes, \
	.net_tx_bytes = (u)->net_tx_bytes, \
	.net_rx_packets = (u)->net_rx_packets, \
	.net_tx_packets = (u)->net_tx_packets, \
	.memory_host_bytes = (u)->memory_host_bytes
/* clang-format on */

extern const struct field_layout usage_layout;

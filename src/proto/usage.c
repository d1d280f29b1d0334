/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/usage.h"

#define N(member) FIELD_NUMBER(usage_fields, member)

static const struct field fields[] = {
	N(at),
	N(cpu_ns),
	N(cpu_user_ns),
	N(cpu_system_ns),
	N(throttled_periods),
	N(throttled_ns),
	N(periods),
	N(memory_bytes),
	N(memory_peak_bytes),
	N(memory_limit_bytes),
	N(memory_cache_bytes),
	N(memory_swap_bytes),
	N(memory_failures),
	N(oom_kills),
	N(pids),
	N(pids_limit),
	N(block_read_bytes),
	N(block_write_bytes),
	N(block_reads),
	N(block_writes),
	N(net_rx_bytes),
	N(net_tx_bytes),
	N(net_rx_packets),
	N(net_tx_packets),
	N(memory_host_bytes),
};

const struct field_layout usage_layout = FIELD_LAYOUT(usage_fields, fields);

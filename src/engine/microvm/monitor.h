/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the program that runs a machine while it runs: atoll-vmm (proto/vmm) or QEMU
 * (QMP), at PROXY_CONTROL in the machine's directory. Both are as hostile as their guest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct microvm;
struct spec_rate;

/* Of all disks, and of all cards where the monitor has them; unknown is UINT64_MAX. */
struct monitor_usage {
	size_t disks_n;
	uint64_t read_bytes, write_bytes, reads, writes;
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
};

/* A connection to atoll-vmm, for proto/vmm.h: gives. CONFLICT: the machine does not run. */
[[nodiscard]] int monitor_dial(const struct microvm *m, struct err *e);

[[nodiscard]] int monitor_usage(const struct microvm *m, nsec_t deadline, struct monitor_usage *ret,
				struct err *e);
/*
 * Have the guest give up so many bytes of its memory in all, and wait until it has. TIMEOUT: it
 * goes on giving, and *ret_given is what it has given by then. `wait` false: 0 when it is asked.
 */
[[nodiscard]] int monitor_balloon(const struct microvm *m, uint64_t bytes, bool wait,
				  nsec_t deadline, uint64_t *ret_given, struct err *e);

/* How fast disk `index` may go from now on. */
[[nodiscard]] int monitor_limit_disk(const struct microvm *m, size_t index,
				     const struct spec_rate *l, nsec_t deadline, struct err *e);
/* Each of the cards. UNSUPPORTED: not while it runs. */
[[nodiscard]] int monitor_limit_cards(const struct microvm *m, const struct spec_rate *l,
				      nsec_t deadline, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An I/O interrupt controller of one line (Intel 82093AA), which is all that a machine whose
 * devices send messages needs: the line says that something of the machine itself has changed
 * (ACPI's generic event device). Edges only; one that comes while the line is masked waits. Any
 * thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/hypervisor.h"

#define IOAPIC_STATE_BYTES 10

struct ioapic {
	const struct hypervisor *hypervisor; /* borrowed; NULL: in tests */
	pthread_mutex_t lock;		     /* all below; a leaf */
	uint8_t select, id;
	uint64_t line; /* its redirection entry */
	bool waits;
	uint64_t sent; /* messages, for tests */
};

void ioapic_init(struct ioapic *i, const struct hypervisor *h);
/* An access of the guest, n bytes at `at` within LAYOUT_IOAPIC_BYTES. */
void ioapic_access(struct ioapic *i, uint32_t at, uint8_t *data, uint32_t n, bool is_write);
void ioapic_raise(struct ioapic *i);
/* What the guest has written; a state of somebody else's can be any. */
void ioapic_save(struct ioapic *i, uint8_t ret_state[static IOAPIC_STATE_BYTES]);
void ioapic_restore(struct ioapic *i, const uint8_t state[static IOAPIC_STATE_BYTES]);

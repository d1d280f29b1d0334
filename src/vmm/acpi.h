/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of a machine without legacy hardware (ACPI 6.5, 4.1: hardware-reduced): RSDP,
 * XSDT, FADT, MADT, MCFG and a DSDT with the PCI host bridge, the place of its configuration
 * space, the sleep state S5, the machine's generation (vmm/generation.h) with the event device that
 * tells of a new one and, when there is one, the serial port. Bytes, nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct acpi_config {
	unsigned cpus; /* local APIC ids 0 to cpus - 1 */
	bool serial;
};

/*
 * Append the tables to *out, laid out for the physical address `at`; their RSDP stands at
 * *ret_rsdp. buf_ok(out) tells whether there was room.
 */
void acpi_build(const struct acpi_config *c, uint64_t at, struct buf *out, uint64_t *ret_rsdp);

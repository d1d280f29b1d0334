/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are in the guest's physical address space, and the numbers of KVM's memory slots.
 *
 *   0            RAM: what the kernel is told at its start; from 1 MiB on the kernel, the initial
 *                RAM file system at the top; at most 3 GiB, the rest continues at 4 GiB
 *   0xE0000      ACPI tables, and the page of the machine's generation
 *   0xC0000000   PCI: one page per device that is read without an exit, then one that is not
 *   0xE0000000   PCI configuration space (ECAM), bus 0
 *   0xFEC00000   the I/O APIC
 *   0xFEE00000   local APICs
 *   0xFFFBC000   KVM's own pages (Intel: identity map, task state)
 */
#pragma once

#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define LAYOUT_START_INFO	UINT64_C(0x6000) /* struct hvm_start_info and the list of modules */
#define LAYOUT_MEMORY_MAP	UINT64_C(0x7000)
#define LAYOUT_APPEND		UINT64_C(0x20000)
#define LAYOUT_LOW_END		UINT64_C(0x9fc00)
#define LAYOUT_ACPI		UINT64_C(0xe0000)
#define LAYOUT_ACPI_BYTES	UINT64_C(0x10000)
#define LAYOUT_GENERATION	UINT64_C(0xef000) /* a page of its own behind the tables */
#define LAYOUT_TABLES_BYTES	(LAYOUT_GENERATION - LAYOUT_ACPI)
#define LAYOUT_GENERATION_BYTES 16
#define LAYOUT_KERNEL_MIN	MIB
#define LAYOUT_RAM_LOW_MAX	(3 * GIB)
#define LAYOUT_RAM_HIGH		(4 * GIB)

#define LAYOUT_PCI_WINDOW	UINT64_C(0xC0000000)
#define LAYOUT_PCI_WINDOW_BYTES UINT64_C(0x20000000)
#define LAYOUT_PCI_READ		LAYOUT_PCI_WINDOW /* a page per device: a KVM slot, read-only */
#define LAYOUT_PCI_WRITE	(LAYOUT_PCI_WINDOW + MIB) /* a page per device: every access exits */
#define LAYOUT_ECAM		UINT64_C(0xE0000000)
#define LAYOUT_ECAM_BYTES	MIB
#define LAYOUT_IOAPIC		UINT64_C(0xFEC00000)
#define LAYOUT_IOAPIC_BYTES	UINT64_C(0x20)
#define LAYOUT_EVENT_LINE	16 /* its only line: not one of the first 16, which had fixed uses */
#define LAYOUT_LAPIC		UINT64_C(0xFEE00000)
#define LAYOUT_IDENTITY_MAP	UINT64_C(0xFFFBC000)
#define LAYOUT_TSS		UINT64_C(0xFFFBD000)

#define LAYOUT_PIO_SERIAL	 0x3f8
#define LAYOUT_PIO_SLEEP_CONTROL 0x600
#define LAYOUT_PIO_SLEEP_STATUS	 0x601
#define LAYOUT_PIO_RESET	 0x602
#define LAYOUT_RESET_VALUE	 1
#define LAYOUT_SLEEP_TYPE_OFF	 5

enum slot { SLOT_RAM_LOW, SLOT_RAM_HIGH, SLOT_ECAM, SLOT_PCI_READ };

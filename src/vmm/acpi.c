/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/acpi.h"

#include <string.h>

#include "base/auto.h"
#include "base/le.h"
#include "vmm/aml.h"
#include "vmm/layout.h"

#define HEADER_BYTES 36
#define RSDP_BYTES   36
#define FADT_BYTES   276

/* FADT: IAPC_BOOT_ARCH. Without the second Linux polls a clock chip that is not there for 1 s. */
#define NO_VGA	    (1 << 2)
#define NO_CMOS_RTC (1 << 5)
/* FADT: flags */
#define WBINVD	   (UINT32_C(1) << 0)
#define RESET_REG  (UINT32_C(1) << 10)
#define HEADLESS   (UINT32_C(1) << 12)
#define HW_REDUCED (UINT32_C(1) << 20)

static uint8_t sum(const char *p, size_t n)
{
	uint8_t s = 0;

	for (size_t i = 0; i < n; i++)
		s = (uint8_t) (s + (uint8_t) p[i]);
	return s;
}

/* The header of a table (5.2.6), its length and checksum left for table_end(): where it begins. */
static size_t table_begin(struct buf *b, const char signature[4], uint8_t revision)
{
	char h[HEADER_BYTES] = { 0 };
	size_t at;

	while (b->n % 16 && buf_ok(b)) /* alignment is nobody's demand, but costs nothing */
		buf_addc(b, 0);
	at = b->n;
	memcpy(h, signature, 4);
	h[8] = (char) revision;
	memcpy(h + 10, "ATOLL ", 6);
	memcpy(h + 16, "ATOLLVMM", 8);
	store_le32(h + 24, 1);
	memcpy(h + 28, "ATLL", 4);
	store_le32(h + 32, 1);
	buf_add(b, h, sizeof(h));
	return at;
}

static void table_end(struct buf *b, size_t at)
{
	if (!buf_ok(b))
		return;
	store_le32(b->p + at + 4, (uint32_t) (b->n - at));
	b->p[at + 9] = (char) -sum(b->p + at, b->n - at);
}

/* The generation, and the event device by which a driver of it hears of a new one (5.6.9). */
static void put_generation(struct buf *b)
{
	/* The first is Microsoft's, and longer than ACPI has it; the second what came of that. */
	static const char *const ids[] = { "VM_Gen_Counter", "VMGENCTR" };
	struct aml_open device, list;

	device = aml_device(b, "VGEN");
	aml_name_text(b, "_HID", "ATLL0001");
	aml_name_texts(b, "_CID", ids, ARRAY_SIZE(ids));
	aml_name_text(b, "_DDN", ids[0]);
	aml_name_address(b, "ADDR", (uint32_t) LAYOUT_GENERATION);
	aml_end(b, device);

	device = aml_device(b, "GED_");
	aml_name_text(b, "_HID", "ACPI0013");
	aml_name_integer(b, "_UID", 0);
	list = aml_resources(b, "_CRS");
	aml_interrupt(b, LAYOUT_EVENT_LINE);
	aml_end_resources(b, list);
	aml_method_notify(b, "_EVT", "VGEN");
	aml_end(b, device);
}

static size_t put_dsdt(const struct acpi_config *c, struct buf *b)
{
	size_t at = table_begin(b, "DSDT", 2);
	struct aml_open bus, device, list;

	bus = aml_scope(b, "\\_SB_");
	device = aml_device(b, "PCI0");
	aml_name_eisa(b, "_HID", "PNP0A08");
	aml_name_eisa(b, "_CID", "PNP0A03");
	aml_name_integer(b, "_SEG", 0);
	aml_name_integer(b, "_BBN", 0);
	aml_name_integer(b, "_UID", 0);
	list = aml_resources(b, "_CRS");
	aml_bus_range(b, 0, 0);
	aml_memory_window(b, LAYOUT_PCI_WINDOW, LAYOUT_PCI_WINDOW_BYTES);
	aml_end_resources(b, list);
	aml_end(b, device);

	device = aml_device(b, "ECAM"); /* Linux believes MCFG only if this says so too */
	aml_name_eisa(b, "_HID", "PNP0C02");
	list = aml_resources(b, "_CRS");
	aml_memory_fixed(b, LAYOUT_ECAM, LAYOUT_ECAM_BYTES);
	aml_end_resources(b, list);
	aml_end(b, device);

	if (c->serial) { /* without an interrupt: the driver polls */
		device = aml_device(b, "COM1");
		aml_name_eisa(b, "_HID", "PNP0501");
		aml_name_integer(b, "_UID", 0);
		list = aml_resources(b, "_CRS");
		aml_port_fixed(b, LAYOUT_PIO_SERIAL, 8);
		aml_end_resources(b, list);
		aml_end(b, device);
	}
	put_generation(b);
	aml_end(b, bus);
	aml_name_sleep(b, "_S5_", LAYOUT_SLEEP_TYPE_OFF);
	table_end(b, at);
	return at;
}

/* A register in I/O space, one byte wide (5.2.3.2). */
static void put_port(char *to, uint16_t port)
{
	to[0] = 1; /* system I/O */
	to[1] = 8; /* bits */
	to[3] = 1; /* byte access */
	store_le64(to + 4, port);
}

/* Offsets are the specification's (5.2.9); the header is there already. */
#define FADT(offset) ((offset) -HEADER_BYTES)

static size_t put_fadt(struct buf *b, uint64_t dsdt)
{
	char f[FADT_BYTES - HEADER_BYTES] = { 0 };
	size_t at = table_begin(b, "FACP", 6);

	store_le16(f + FADT(109), NO_VGA | NO_CMOS_RTC);
	store_le32(f + FADT(112), WBINVD | RESET_REG | HEADLESS | HW_REDUCED);
	put_port(f + FADT(116), LAYOUT_PIO_RESET);
	f[FADT(128)] = LAYOUT_RESET_VALUE;
	f[FADT(131)] = 5; /* minor version */
	store_le64(f + FADT(140), dsdt);
	put_port(f + FADT(244), LAYOUT_PIO_SLEEP_CONTROL);
	put_port(f + FADT(256), LAYOUT_PIO_SLEEP_STATUS);
	buf_add(b, f, sizeof(f));
	table_end(b, at);
	return at;
}

static size_t put_madt(const struct acpi_config *c, struct buf *b)
{
	size_t at = table_begin(b, "APIC", 5);
	char head[8] = { 0 }, io[12] = { 0 };

	store_le32(head, (uint32_t) LAYOUT_LAPIC);
	buf_add(b, head, sizeof(head)); /* flags 0: there is no 8259 */
	for (unsigned i = 0; i < c->cpus; i++) {
		const char local[8] = { 0, sizeof(local), (char) i, (char) i, 1 };

		buf_add(b, local, sizeof(local));
	}
	io[0] = 1;
	io[1] = sizeof(io);
	store_le32(io + 4, (uint32_t) LAYOUT_IOAPIC);
	store_le32(io + 8, LAYOUT_EVENT_LINE);
	buf_add(b, io, sizeof(io));
	table_end(b, at);
	return at;
}

static size_t put_mcfg(struct buf *b)
{
	size_t at = table_begin(b, "MCFG", 1);
	char body[8 + 16] = { 0 };

	store_le64(body + 8, LAYOUT_ECAM); /* segment 0, buses 0 to 0 */
	buf_add(b, body, sizeof(body));
	table_end(b, at);
	return at;
}

static size_t put_xsdt(struct buf *b, const uint64_t *tables, size_t n)
{
	size_t at = table_begin(b, "XSDT", 1);

	for (size_t i = 0; i < n; i++) {
		char entry[8];

		store_le64(entry, tables[i]);
		buf_add(b, entry, sizeof(entry));
	}
	table_end(b, at);
	return at;
}

void acpi_build(const struct acpi_config *c, uint64_t at, struct buf *out, uint64_t *ret_rsdp)
{
	char rsdp[RSDP_BYTES] = "RSD PTR ";
	uint64_t tables[3];
	size_t from = out->n, xsdt;

	buf_add(out, rsdp, sizeof(rsdp)); /* filled in at the end */
	tables[0] = put_dsdt(c, out);
	tables[0] = at + put_fadt(out, at + tables[0] - from) - from;
	tables[1] = at + put_madt(c, out) - from;
	tables[2] = at + put_mcfg(out) - from;
	xsdt = put_xsdt(out, tables, 3);

	memcpy(rsdp + 9, "ATOLL ", 6);
	rsdp[15] = 2;
	store_le32(rsdp + 20, sizeof(rsdp));
	store_le64(rsdp + 24, at + xsdt - from);
	rsdp[8] = (char) -sum(rsdp, 20); /* version 1's part */
	rsdp[32] = (char) -sum(rsdp, sizeof(rsdp));
	if (buf_ok(out))
		memcpy(out->p + from, rsdp, sizeof(rsdp));
	*ret_rsdp = at;
}

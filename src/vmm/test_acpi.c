/* SPDX-License-Identifier: Apache-2.0 */
#include "base/le.h"
#include "base/test.h"
#include "vmm/acpi.h"
#include "vmm/layout.h"

static uint8_t sum(const char *p, size_t n)
{
	uint8_t s = 0;

	for (size_t i = 0; i < n; i++)
		s = (uint8_t) (s + (uint8_t) p[i]);
	return s;
}

/* The table at a physical address: whole, with a right sum; NULL otherwise. */
static const char *table(const struct buf *b, uint64_t at, const char *signature)
{
	uint64_t off = at - LAYOUT_ACPI;
	const char *p = b->p + off;

	if (off + 36 > b->n || memcmp(p, signature, 4) != 0 || off + load_le32(p + 4) > b->n)
		return NULL;
	return sum(p, load_le32(p + 4)) == 0 ? p : NULL;
}

static bool holds(const char *t, const void *bytes, size_t n)
{
	return memmem(t, load_le32(t + 4), bytes, n) != NULL;
}

static void test_tables(unsigned cpus, bool serial)
{
	const struct acpi_config c = { .cpus = cpus, .serial = serial };
	auto_buf struct buf b = BUF_INIT(LAYOUT_ACPI_BYTES);
	const char *rsdp, *xsdt, *fadt, *madt, *mcfg, *dsdt;
	uint64_t at = 0;

	acpi_build(&c, LAYOUT_ACPI, &b, &at);
	CHECK(buf_ok(&b) && at == LAYOUT_ACPI);
	rsdp = b.p;
	CHECK(memcmp(rsdp, "RSD PTR ", 8) == 0 && sum(rsdp, 20) == 0 && sum(rsdp, 36) == 0);
	xsdt = table(&b, load_le64(rsdp + 24), "XSDT");
	CHECK(xsdt && load_le32(xsdt + 4) == 36 + 3 * 8);
	if (!xsdt)
		return;
	fadt = table(&b, load_le64(xsdt + 36), "FACP");
	madt = table(&b, load_le64(xsdt + 44), "APIC");
	mcfg = table(&b, load_le64(xsdt + 52), "MCFG");
	CHECK(fadt && madt && mcfg);
	if (!fadt || !madt || !mcfg)
		return;
	CHECK(load_le32(fadt + 4) == 276 && fadt[8] == 6);
	CHECK(load_le16(fadt + 109) == 0x24);	   /* neither VGA nor a clock chip to poll */
	CHECK(load_le32(fadt + 112) & (1u << 20)); /* no legacy hardware */
	CHECK(load_le64(fadt + 116 + 4) == LAYOUT_PIO_RESET);
	CHECK(load_le64(fadt + 244 + 4) == LAYOUT_PIO_SLEEP_CONTROL);
	CHECK(load_le32(madt + 4) == 44 + cpus * 8 + 12);
	for (unsigned i = 0; i < cpus; i++) {
		const char *local = madt + 44 + i * 8;

		CHECK(local[0] == 0 && local[1] == 8 && (unsigned) local[3] == i && local[4] == 1);
	}
	CHECK(madt[44 + cpus * 8] == 1 && load_le32(madt + 48 + cpus * 8) == LAYOUT_IOAPIC);
	CHECK(load_le32(madt + 52 + cpus * 8) == LAYOUT_EVENT_LINE);
	CHECK(load_le64(mcfg + 44) == LAYOUT_ECAM);
	dsdt = table(&b, load_le64(fadt + 140), "DSDT");
	CHECK(dsdt != NULL);
	if (!dsdt)
		return;
	/* PNP0A08 and PNP0501 as EISA ids; \_S5_ */
	CHECK(holds(dsdt, "\x41\xd0\x0a\x08", 4));
	CHECK(holds(dsdt, "\x41\xd0\x05\x01", 4) == serial);
	CHECK(holds(dsdt, "\x08_S5_\x12", 6));
	CHECK(holds(dsdt, "VM_Gen_Counter", 15));
	CHECK(holds(dsdt, "_EVT\x09\x86\\._SB_VGEN\x0a\x80", 18));
}

int main(void)
{
	test_tables(1, false);
	test_tables(16, true);
	return test_done();
}

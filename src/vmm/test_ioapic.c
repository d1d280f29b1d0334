/* SPDX-License-Identifier: Apache-2.0 */
#include "base/le.h"
#include "base/test.h"
#include "vmm/ioapic.h"

static struct ioapic io;

static void out(uint8_t which, uint32_t v)
{
	uint8_t bytes[4];

	store_le32(bytes, which);
	ioapic_access(&io, 0x00, bytes, 4, true);
	store_le32(bytes, v);
	ioapic_access(&io, 0x10, bytes, 4, true);
}

static uint32_t in(uint8_t which)
{
	uint8_t bytes[4];

	store_le32(bytes, which);
	ioapic_access(&io, 0x00, bytes, 4, true);
	ioapic_access(&io, 0x10, bytes, 4, false);
	return load_le32(bytes);
}

static void test_registers(void)
{
	uint8_t bytes[8];

	ioapic_init(&io, NULL);
	CHECK(in(1) == 0x11 && in(0) == 0 && in(0x10) == 0x10000 && in(0x11) == 0);
	out(0, 0xffffffff);
	CHECK(in(0) == 0x0f000000 && in(2) == 0x0f000000);
	out(0x10, 0xffffffff);
	out(0x11, 0xffffffff);
	CHECK(in(0x10) == 0x1afff && in(0x11) == 0xff000000); /* but what is read-only */
	out(0x12, 1);					      /* there is one line */
	CHECK(in(0x12) == 0 && in(0xff) == 0);
	ioapic_access(&io, 0x10, bytes, 8, false);
	CHECK(load_le64(bytes) == 0);
	ioapic_access(&io, 0x14, bytes, 4, true);
}

static void test_edges(void)
{
	uint8_t state[IOAPIC_STATE_BYTES];

	ioapic_init(&io, NULL);
	ioapic_raise(&io);
	ioapic_raise(&io);
	CHECK(io.sent == 0 && io.waits);
	out(0x11, 1u << 24);
	CHECK(io.sent == 0);
	ioapic_save(&io, state);
	out(0x10, 0x31);
	CHECK(io.sent == 1 && !io.waits);
	ioapic_raise(&io);
	CHECK(io.sent == 2);
	ioapic_init(&io, NULL);
	ioapic_restore(&io, state);
	CHECK(io.waits && in(0x10) == 0x10000 && in(0x11) == 1u << 24);
	out(0x10, 0x31);
	CHECK(io.sent == 1);
}

int main(void)
{
	test_registers();
	test_edges();
	return test_done();
}

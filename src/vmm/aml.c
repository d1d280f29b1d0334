/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/aml.h"

#include <string.h>

#include "base/le.h"

enum {
	OP_ZERO = 0x00,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_DWORD = 0x0c,
	OP_TEXT = 0x0d,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXTENDED = 0x5b,
	OP_NOTIFY = 0x86,
	OP_EXTENDED_DEVICE = 0x82,
};
/* Lengths are always written in three bytes: any object of ours fits, none need be moved. */
#define LENGTH_BYTES 3

static void put8(struct buf *b, uint8_t v)
{
	buf_addc(b, (char) v);
}

static void put16(struct buf *b, uint16_t v)
{
	put8(b, (uint8_t) v);
	put8(b, (uint8_t) (v >> 8));
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, (uint16_t) v);
	put16(b, (uint16_t) (v >> 16));
}

static struct aml_open begin(struct buf *b)
{
	struct aml_open o = { b->n };

	buf_add(b, (const char[LENGTH_BYTES]){ 0 }, LENGTH_BYTES);
	return o;
}

/* ACPI 6.5, 20.2.4: two follow bytes, the low four bits in the first; itself included. */
void aml_end(struct buf *b, struct aml_open o)
{
	size_t n = b->n - o.at;

	if (!buf_ok(b))
		return;
	b->p[o.at] = (char) (0x80 | (n & 0xf));
	b->p[o.at + 1] = (char) (n >> 4 & 0xff);
	b->p[o.at + 2] = (char) (n >> 12 & 0xff);
}

struct aml_open aml_scope(struct buf *b, const char *path)
{
	struct aml_open o;

	put8(b, OP_SCOPE);
	o = begin(b);
	buf_adds(b, path);
	return o;
}

struct aml_open aml_device(struct buf *b, const char name[4])
{
	struct aml_open o;

	put8(b, OP_EXTENDED);
	put8(b, OP_EXTENDED_DEVICE);
	o = begin(b);
	buf_add(b, name, 4);
	return o;
}

static void put_name(struct buf *b, const char name[4])
{
	put8(b, OP_NAME);
	buf_add(b, name, 4);
}

/* A buffer of what follows; its size is known at the end. */
struct aml_open aml_resources(struct buf *b, const char name[4])
{
	struct aml_open o;

	put_name(b, name);
	put8(b, OP_BUFFER);
	o = begin(b);
	put8(b, OP_DWORD);
	put32(b, 0);
	return o;
}

void aml_end_resources(struct buf *b, struct aml_open o)
{
	size_t size_at = o.at + LENGTH_BYTES + 1;

	put16(b, 0x0079); /* the end, without a checksum */
	if (buf_ok(b))
		store_le32(b->p + size_at, (uint32_t) (b->n - size_at - 4));
	aml_end(b, o);
}

void aml_name_integer(struct buf *b, const char name[4], uint32_t v)
{
	put_name(b, name);
	put8(b, OP_DWORD);
	put32(b, v);
}

/* Three letters of five bits and four hexadecimal digits, the high byte first. */
void aml_name_eisa(struct buf *b, const char name[4], const char id[7])
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t) (unsigned char) id[i] & 0x1f);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | (uint32_t) (id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
	aml_name_integer(b, name, __builtin_bswap32(v));
}

void aml_name_sleep(struct buf *b, const char name[4], uint8_t v)
{
	struct aml_open o;

	put_name(b, name);
	put8(b, OP_PACKAGE);
	o = begin(b);
	put8(b, 4);
	for (unsigned i = 0; i < 2; i++) {
		put8(b, OP_BYTE);
		put8(b, v);
	}
	put16(b, OP_ZERO << 8 | OP_ZERO);
	aml_end(b, o);
}

/* Word address space (6.4.3.5.3): bus numbers, produced, fixed at both ends. */
void aml_bus_range(struct buf *b, uint16_t first, uint16_t last)
{
	put8(b, 0x88);
	put16(b, 13);
	put8(b, 2);
	put8(b, 0x0c);
	put8(b, 0);
	put16(b, 0);
	put16(b, first);
	put16(b, last);
	put16(b, 0);
	put16(b, (uint16_t) (last - first + 1));
}

/* Double word address space (6.4.3.5.2): memory, not cacheable, read and written. */
void aml_memory_window(struct buf *b, uint32_t at, uint32_t n)
{
	put8(b, 0x87);
	put16(b, 23);
	put8(b, 0);
	put8(b, 0x0c);
	put8(b, 1);
	put32(b, 0);
	put32(b, at);
	put32(b, at + n - 1);
	put32(b, 0);
	put32(b, n);
}

void aml_memory_fixed(struct buf *b, uint32_t at, uint32_t n)
{
	put8(b, 0x86);
	put16(b, 9);
	put8(b, 1);
	put32(b, at);
	put32(b, n);
}

/* An I/O port (6.4.2.5): sixteen address lines decoded. */
void aml_port_fixed(struct buf *b, uint16_t at, uint8_t n)
{
	put8(b, 0x47);
	put8(b, 1);
	put16(b, at);
	put16(b, at);
	put8(b, 1);
	put8(b, n);
}

static void put_text(struct buf *b, const char *text)
{
	put8(b, OP_TEXT);
	buf_add(b, text, strlen(text) + 1);
}

void aml_name_text(struct buf *b, const char name[4], const char *text)
{
	put_name(b, name);
	put_text(b, text);
}

void aml_name_texts(struct buf *b, const char name[4], const char *const *texts, uint8_t n)
{
	struct aml_open o;

	put_name(b, name);
	put8(b, OP_PACKAGE);
	o = begin(b);
	put8(b, n);
	for (uint8_t i = 0; i < n; i++)
		put_text(b, texts[i]);
	aml_end(b, o);
}

void aml_name_address(struct buf *b, const char name[4], uint32_t v)
{
	struct aml_open o;

	put_name(b, name);
	put8(b, OP_PACKAGE);
	o = begin(b);
	put8(b, 2);
	put8(b, OP_DWORD);
	put32(b, v);
	put8(b, OP_ZERO);
	aml_end(b, o);
}

void aml_method_notify(struct buf *b, const char name[4], const char device[4])
{
	struct aml_open o;

	put8(b, OP_METHOD);
	o = begin(b);
	buf_add(b, name, 4);
	put8(b, 1 | 1 << 3); /* one argument; serialized */
	put8(b, OP_NOTIFY);
	buf_adds(b, "\\.");
	buf_adds(b, "_SB_");
	buf_add(b, device, 4);
	put8(b, OP_BYTE);
	put8(b, 0x80);
	aml_end(b, o);
}

/* Extended interrupt (6.4.3.6). */
void aml_interrupt(struct buf *b, uint32_t line)
{
	put8(b, 0x89);
	put16(b, 6);
	put8(b, 1 | 1 << 1); /* taken, not given; an edge */
	put8(b, 1);
	put32(b, line);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few words of ACPI's machine language (ACPI 6.5, 20.2) that describe our devices, appended to
 * a buffer. An object that holds others is begun, filled and ended.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct aml_open {
	size_t at; /* of the length that is put in at the end */
};

struct aml_open aml_scope(struct buf *b, const char *path);	  /* "\\_SB_" */
struct aml_open aml_device(struct buf *b, const char name[4]);	  /* "PCI0" */
struct aml_open aml_resources(struct buf *b, const char name[4]); /* Name(_CRS, ResourceTemplate) */
void aml_end(struct buf *b, struct aml_open o);
void aml_end_resources(struct buf *b, struct aml_open o);

void aml_name_integer(struct buf *b, const char name[4], uint32_t v);
void aml_name_eisa(struct buf *b, const char name[4], const char id[7]); /* "PNP0A08" */
void aml_name_text(struct buf *b, const char name[4], const char *text);
void aml_name_texts(struct buf *b, const char name[4], const char *const *texts, uint8_t n);
/* Name(ADDR, Package { v, 0 }): an address by halves */
void aml_name_address(struct buf *b, const char name[4], uint32_t v);
/* Method(name, 1, Serialized) { Notify(\\_SB.device, 0x80) } */
void aml_method_notify(struct buf *b, const char name[4], const char device[4]);
/* Name(_S5_, Package { v, v, 0, 0 }) */
void aml_name_sleep(struct buf *b, const char name[4], uint8_t v);

/* Within resources (ACPI 6.5, 6.4): */
void aml_bus_range(struct buf *b, uint16_t first, uint16_t last);
void aml_memory_window(struct buf *b, uint32_t at, uint32_t n); /* what a bridge passes on */
void aml_memory_fixed(struct buf *b, uint32_t at, uint32_t n);
void aml_port_fixed(struct buf *b, uint16_t at, uint8_t n);
void aml_interrupt(struct buf *b, uint32_t line); /* an edge, active high */

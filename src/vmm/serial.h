/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output half of a 16550A at I/O port 0x3f8: for the messages of a kernel that starts. It
 * has no interrupt (there is no controller to take one): Linux's driver polls. Any thread may use
 * it: bytes go out one write each, in the order of their exits.
 */
#pragma once

#include <stdint.h>

struct serial {
	int fd; /* owned; FD_NONE: no port */
	uint8_t interrupts, line, modem, scratch, divisor[2];
};

void serial_init(struct serial *s, int fd); /* takes fd */
uint8_t serial_read(struct serial *s, unsigned at);
void serial_write(struct serial *s, unsigned at, uint8_t v);
#define SERIAL_STATE_BYTES 6
/* Its registers; a state of somebody else's can be any. */
void serial_save(const struct serial *s, uint8_t ret_state[static SERIAL_STATE_BYTES]);
void serial_restore(struct serial *s, const uint8_t state[static SERIAL_STATE_BYTES]);

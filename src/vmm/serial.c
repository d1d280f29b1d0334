/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serial.h"

#include <errno.h>
#include <unistd.h>

enum { DATA, INTERRUPTS, IDENTITY, LINE, MODEM, LINE_STATUS, MODEM_STATUS, SCRATCH };

#define LINE_DIVISOR	 0x80 /* the first two registers are the divisor's */
#define MODEM_LOOP	 0x10
#define IDENTITY_NONE	 0x01 /* no interrupt is pending */
#define IDENTITY_FIFO	 0xc0
#define STATUS_EMPTY	 0x60 /* all is sent */
#define STATUS_CONNECTED 0xb0 /* carrier, data set ready, clear to send */

void serial_init(struct serial *s, int fd)
{
	*s = (struct serial){ .fd = fd, .line = 3 };
}

/* What the modem lines say when the port's own are led back into it: the autodetection's test. */
static uint8_t looped(uint8_t modem)
{
	return (uint8_t) ((modem & 0x0c) << 4 | (modem & 0x02) << 3 | (modem & 0x01) << 5);
}

uint8_t serial_read(struct serial *s, unsigned at)
{
	switch (at) {
	case DATA:
		return s->line & LINE_DIVISOR ? s->divisor[0] : 0;
	case INTERRUPTS:
		return s->line & LINE_DIVISOR ? s->divisor[1] : s->interrupts;
	case IDENTITY:
		return IDENTITY_FIFO | IDENTITY_NONE;
	case LINE:
		return s->line;
	case MODEM:
		return s->modem;
	case LINE_STATUS:
		return STATUS_EMPTY;
	case MODEM_STATUS:
		return s->modem & MODEM_LOOP ? looped(s->modem) : STATUS_CONNECTED;
	case SCRATCH:
		return s->scratch;
	default:
		return 0xff;
	}
}

static void send(struct serial *s, uint8_t byte)
{
	ssize_t r;

	do
		r = write(s->fd, &byte, 1);
	while (r < 0 && errno == EINTR);
	/* Whoever read it has gone, or is full: the guest's words are lost, not the guest. */
}

void serial_write(struct serial *s, unsigned at, uint8_t v)
{
	switch (at) {
	case DATA:
		if (s->line & LINE_DIVISOR)
			s->divisor[0] = v;
		else if (!(s->modem & MODEM_LOOP))
			send(s, v);
		break;
	case INTERRUPTS:
		if (s->line & LINE_DIVISOR)
			s->divisor[1] = v;
		else
			s->interrupts = v & 0x0f;
		break;
	case LINE:
		s->line = v;
		break;
	case MODEM:
		s->modem = v & 0x1f;
		break;
	case SCRATCH:
		s->scratch = v;
		break;
	default: /* FIFO control and what is read-only */
		break;
	}
}

void serial_save(const struct serial *s, uint8_t ret_state[static SERIAL_STATE_BYTES])
{
	ret_state[0] = s->interrupts;
	ret_state[1] = s->line;
	ret_state[2] = s->modem;
	ret_state[3] = s->scratch;
	ret_state[4] = s->divisor[0];
	ret_state[5] = s->divisor[1];
}

void serial_restore(struct serial *s, const uint8_t state[static SERIAL_STATE_BYTES])
{
	s->interrupts = state[0] & 0x0f;
	s->line = state[1];
	s->modem = state[2] & 0x1f;
	s->scratch = state[3];
	s->divisor[0] = state[4];
	s->divisor[1] = state[5];
}

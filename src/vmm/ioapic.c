/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ioapic.h"

#include <string.h>

#include "base/le.h"
#include "vmm/layout.h"

/* Windows, and what is seen through the second by the number in the first. */
enum { SELECT = 0x00, WINDOW = 0x10 };
enum { ID, VERSION, ARBITRATION, LINE_LOW = 0x10, LINE_HIGH };

#define VERSION_VALUE 0x11 /* one line: its number, 0, would be in the third byte */

/* A redirection entry (3.2.4). */
#define DELIVERY  UINT64_C(0x700)
#define LOGICAL	  (UINT64_C(1) << 11)
#define READ_ONLY (UINT64_C(1) << 12 | UINT64_C(1) << 14) /* delivery status, remote IRR */
#define MASKED	  (UINT64_C(1) << 16)
#define ENTRY	  (UINT64_C(0xff) << 56 | UINT64_C(0x1ffff)) /* bits that there are */

/* As a message (Intel SDM 3, 11.11). Under the lock. */
static void send(struct ioapic *i)
{
	uint64_t to = i->line >> 56;
	uint64_t address = LAYOUT_LAPIC | to << 12 | (i->line & LOGICAL ? 1 << 2 : 0);

	i->waits = (i->line & MASKED) != 0;
	if (i->waits)
		return;
	i->sent++;
	if (i->hypervisor)
		hypervisor_signal(i->hypervisor, address, (uint32_t) (i->line & (DELIVERY | 0xff)));
}

void ioapic_init(struct ioapic *i, const struct hypervisor *h)
{
	*i = (struct ioapic){ .hypervisor = h, .line = MASKED };
	(void) pthread_mutex_init(&i->lock, NULL); /* with default attributes it cannot fail */
}

static uint32_t read_register(const struct ioapic *i)
{
	switch (i->select) {
	case ID:
	case ARBITRATION:
		return (uint32_t) i->id << 24;
	case VERSION:
		return VERSION_VALUE;
	case LINE_LOW:
		return (uint32_t) i->line;
	case LINE_HIGH:
		return (uint32_t) (i->line >> 32);
	default:
		return 0;
	}
}

static void write_register(struct ioapic *i, uint32_t v)
{
	uint64_t line = i->line;

	switch (i->select) {
	case ID:
		i->id = (uint8_t) (v >> 24 & 0x0f);
		return;
	case LINE_LOW:
		line = (line & ~UINT64_C(0xffffffff)) | v;
		break;
	case LINE_HIGH:
		line = (line & UINT64_C(0xffffffff)) | (uint64_t) v << 32;
		break;
	default:
		return;
	}
	i->line = line & ENTRY & ~READ_ONLY;
	if (i->waits)
		send(i);
}

void ioapic_access(struct ioapic *i, uint32_t at, uint8_t *data, uint32_t n, bool is_write)
{
	if (!is_write)
		memset(data, 0, n);
	if (n != 4)
		return;
	(void) pthread_mutex_lock(&i->lock);
	if (at == SELECT && is_write)
		i->select = data[0];
	else if (at == SELECT)
		data[0] = i->select;
	else if (at == WINDOW && is_write)
		write_register(i, load_le32(data));
	else if (at == WINDOW)
		store_le32(data, read_register(i));
	(void) pthread_mutex_unlock(&i->lock);
}

void ioapic_raise(struct ioapic *i)
{
	(void) pthread_mutex_lock(&i->lock);
	send(i);
	(void) pthread_mutex_unlock(&i->lock);
}

void ioapic_save(struct ioapic *i, uint8_t ret_state[static IOAPIC_STATE_BYTES])
{
	(void) pthread_mutex_lock(&i->lock);
	ret_state[0] = i->select;
	ret_state[1] = (uint8_t) (i->id | (i->waits ? 0x80 : 0));
	store_le64(ret_state + 2, i->line);
	(void) pthread_mutex_unlock(&i->lock);
}

void ioapic_restore(struct ioapic *i, const uint8_t state[static IOAPIC_STATE_BYTES])
{
	(void) pthread_mutex_lock(&i->lock);
	i->select = state[0];
	i->id = state[1] & 0x0f;
	i->waits = (state[1] & 0x80) != 0;
	i->line = load_le64(state + 2) & ENTRY & ~READ_ONLY;
	(void) pthread_mutex_unlock(&i->lock);
}

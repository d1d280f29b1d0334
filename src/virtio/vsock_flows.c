/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vsock_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

/* Ports that a host's own connection comes from: none that a service has. */
#define PORTS_FROM (UINT32_C(1) << 30)
#define PORTS_TO   (UINT32_C(1) << 31)

int vsock_flows_init(struct vsock_flows *f, void *owner)
{
	*f = (struct vsock_flows){ .next_port = PORTS_FROM, .owner = owner };
	f->all = calloc(VSOCK_FLOWS_MAX, sizeof(*f->all));
	if (!f->all)
		return -ENOMEM;
	for (size_t i = VSOCK_FLOWS_MAX; i-- > 0;) {
		f->all[i].flows = f;
		f->all[i].fd = FD_NONE;
		f->all[i].next_hashed = f->free;
		f->free = &f->all[i];
	}
	return 0;
}

void vsock_flows_fini(struct vsock_flows *f)
{
	for (size_t i = 0; f->all && i < VSOCK_FLOWS_MAX; i++)
		if (f->all[i].state != VSOCK_FREE)
			vsock_flow_free(&f->all[i]);
	free(f->all);
	f->all = NULL;
}

struct vsock_flow *vsock_flow_new(struct vsock_flows *f, int fd)
{
	struct vsock_flow *w = f->free;

	if (!w) {
		close_fd(&fd);
		return NULL;
	}
	f->free = w->next_hashed;
	*w = (struct vsock_flow){ .state = VSOCK_GREETING, .flows = f, .fd = fd };
	f->n++;
	return w;
}

static size_t bucket(uint32_t host_port, uint32_t guest_port)
{
	uint32_t h = (host_port * UINT32_C(2654435761)) ^ (guest_port * UINT32_C(2246822519));

	h ^= h >> 15;
	return h % VSOCK_FLOWS_MAX;
}

void vsock_flow_name(struct vsock_flow *w, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_flow **b = &w->flows->hashed[bucket(host_port, guest_port)];

	w->host_port = host_port;
	w->guest_port = guest_port;
	w->next_hashed = *b;
	*b = w;
}

void vsock_flow_unname(struct vsock_flow *w)
{
	struct vsock_flow **p = &w->flows->hashed[bucket(w->host_port, w->guest_port)];

	while (*p && *p != w)
		p = &(*p)->next_hashed;
	if (*p)
		*p = w->next_hashed;
	w->next_hashed = NULL;
}

struct vsock_flow *vsock_flow_find(const struct vsock_flows *f, uint32_t host_port,
				   uint32_t guest_port)
{
	struct vsock_flow *w = f->hashed[bucket(host_port, guest_port)];

	while (w && (w->host_port != host_port || w->guest_port != guest_port))
		w = w->next_hashed;
	return w;
}

static bool port_in_use(const struct vsock_flows *f, uint32_t port)
{
	for (size_t i = 0; i < VSOCK_FLOWS_MAX; i++)
		if (f->all[i].state != VSOCK_FREE && f->all[i].host_port == port)
			return true;
	return false;
}

uint32_t vsock_flow_port(struct vsock_flows *f)
{
	uint32_t port;

	do {
		port = f->next_port++;
		if (f->next_port == PORTS_TO)
			f->next_port = PORTS_FROM;
	} while (port_in_use(f, port)); /* ends: there are more ports than flows */
	return port;
}

void vsock_flow_free(struct vsock_flow *w)
{
	struct vsock_flows *f = w->flows;

	vsock_flow_clear_due(w);
	vsock_flow_unname(w);
	loop_timer_cancel(&w->patience);
	loop_remove(&w->source);
	close_fd(&w->fd);
	free(w->waiting);
	*w = (struct vsock_flow){ .flows = f, .fd = FD_NONE, .next_hashed = f->free };
	f->free = w;
	f->n--;
}

void vsock_flow_set_due(struct vsock_flow *w)
{
	struct vsock_flows *f = w->flows;

	if (w->due)
		return;
	w->due = true;
	w->next_due = NULL;
	w->prev_due = f->last_due;
	*(f->last_due ? &f->last_due->next_due : &f->due) = w;
	f->last_due = w;
}

void vsock_flow_clear_due(struct vsock_flow *w)
{
	struct vsock_flows *f = w->flows;

	if (!w->due)
		return;
	w->due = false;
	*(w->prev_due ? &w->prev_due->next_due : &f->due) = w->next_due;
	*(w->next_due ? &w->next_due->prev_due : &f->last_due) = w->prev_due;
	w->next_due = w->prev_due = NULL;
}

uint32_t vsock_flow_credit(const struct vsock_flow *w)
{
	uint32_t under_way = w->sent - w->guest_forwarded;

	return under_way < w->guest_space ? w->guest_space - under_way : 0;
}

uint32_t vsock_flow_room(const struct vsock_flow *w)
{
	return VSOCK_BUFFER_SIZE - (w->received - w->forwarded);
}

bool vsock_flow_must_tell(const struct vsock_flow *w)
{
	uint32_t believed = VSOCK_BUFFER_SIZE - (w->received - w->told);

	return w->told != w->forwarded && believed < VSOCK_BUFFER_SIZE / 2;
}

int vsock_flow_keep(struct vsock_flow *w, const void *from, uint32_t n)
{
	uint32_t at, first;

	if (!w->waiting)
		w->waiting = malloc(VSOCK_BUFFER_SIZE);
	if (!w->waiting)
		return -ENOMEM;
	at = (w->waiting_at + w->waiting_n) % VSOCK_BUFFER_SIZE;
	first = n < VSOCK_BUFFER_SIZE - at ? n : VSOCK_BUFFER_SIZE - at;
	memcpy(w->waiting + at, from, first);
	memcpy(w->waiting, (const uint8_t *) from + first, n - first);
	w->waiting_n += n;
	return 0;
}

uint32_t vsock_flow_waiting(const struct vsock_flow *w, const uint8_t **ret_p)
{
	uint32_t to_end = VSOCK_BUFFER_SIZE - w->waiting_at;

	*ret_p = w->waiting + w->waiting_at;
	return w->waiting_n < to_end ? w->waiting_n : to_end;
}

void vsock_flow_took(struct vsock_flow *w, uint32_t n)
{
	w->waiting_at = (w->waiting_at + n) % VSOCK_BUFFER_SIZE;
	w->waiting_n -= n;
}

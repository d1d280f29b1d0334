/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/pcb.h"

#include "netstack/lwip.h"
#include "netstack/socket.h"

/* What they begin with (IP_PCB); one of TCP that listens has it, too. */
static struct ip_pcb *of(const struct sock *s)
{
	return s->protocol == POLICY_TCP ? (struct ip_pcb *) (void *) s->tcp
					 : (struct ip_pcb *) (void *) s->udp;
}

void pcb_flag(const struct sock *s, enum pcb_flag flag, bool on)
{
	const u8_t bit = flag == PCB_REUSE ? SOF_REUSEADDR : SOF_KEEPALIVE;
	struct ip_pcb *p = of(s);

	if (p)
		p->so_options = on ? (u8_t) (p->so_options | bit) : (u8_t) (p->so_options & ~bit);
}

void pcb_ttl(const struct sock *s, uint8_t ttl)
{
	struct ip_pcb *p = of(s);

	if (p)
		p->ttl = ttl;
}

void pcb_tos(const struct sock *s, uint8_t tos)
{
	struct ip_pcb *p = of(s);

	if (p)
		p->tos = tos;
}

uint32_t pcb_mss(const struct sock *s)
{
	return s->tcp && !s->listening ? tcp_mss(s->tcp) : 536;
}

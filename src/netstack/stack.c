/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/auto.h"
#include "netstack/lwip.h"

#define PORT_FIRST 32768u /* as Linux chooses them */
#define PORT_LAST  60999u
#define IDLE	   NSEC_PER_SEC /* of ARP and of fragments timers are as coarse */
#define LATER	   8 /* calls that wait: of one interface that talks to itself there is one */

static struct {
	bool begun;
	struct stack_interface own;
	struct netif netif;
	stack_out out;
	stack_room room;
	uint64_t key[2]; /* of sequence numbers */
	struct {
		tcpip_callback_fn call;
		void *arg;
	} later[LATER];
	size_t later_at, later_n; /* from which on they were not called */
} stack;

/* ---- in place of what the library has ---- */

#define INSTEAD __attribute__((visibility("default")))

static uint64_t random64(void)
{
	uint64_t v = 0;

	/* stack_begin() saw that there is some: of so few bytes it is all or nothing. */
	while (getrandom(&v, sizeof(v), 0) != sizeof(v))
		;
	return v;
}

static void round_of(uint64_t v[4])
{
#define ROTATED(x, n) ((x) << (n) | (x) >> (64 - (n)))
	v[0] += v[1];
	v[1] = ROTATED(v[1], 13) ^ v[0];
	v[0] = ROTATED(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATED(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATED(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATED(v[1], 17) ^ v[2];
	v[2] = ROTATED(v[2], 32);
#undef ROTATED
}

/* SipHash-2-4 of two words (https://www.aumasson.jp/siphash/siphash.pdf). */
static uint64_t hash(const uint64_t key[2], uint64_t a, uint64_t b)
{
	const uint64_t m[] = { a, b, UINT64_C(16) << 56 };
	uint64_t v[] = { key[0] ^ UINT64_C(0x736f6d6570736575),
			 key[1] ^ UINT64_C(0x646f72616e646f6d),
			 key[0] ^ UINT64_C(0x6c7967656e657261),
			 key[1] ^ UINT64_C(0x7465646279746573) };

	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		v[3] ^= m[i];
		round_of(v);
		round_of(v);
		v[0] ^= m[i];
	}
	v[2] ^= 0xff;
	for (size_t i = 0; i < 4; i++)
		round_of(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* RFC 6528: a clock, from a place of its own for each two ends. The library's begins at 6510. */
INSTEAD u32_t tcp_next_iss(struct tcp_pcb *pcb)
{
	uint64_t ends = (uint64_t) ip_2_ip4(&pcb->local_ip)->addr << 32 |
			ip_2_ip4(&pcb->remote_ip)->addr;
	uint64_t ports = (uint64_t) pcb->local_port << 16 | pcb->remote_port;

	return (u32_t) (hash(stack.key, ends, ports) + (uint64_t) clock_mono() / 4000);
}

/* The library's randomness, which nothing seeds. */
INSTEAD int rand(void)
{
	return (int) (random64() & INT32_MAX);
}

/* It is for the library's own thread, which there is none of: what comes back to its sender. */
INSTEAD err_t tcpip_try_callback(tcpip_callback_fn call, void *arg)
{
	for (size_t i = stack.later_at; i < stack.later_n; i++)
		if (stack.later[i].call == call && stack.later[i].arg == arg)
			return ERR_OK;
	if (stack.later_n == LATER)
		return ERR_MEM;
	stack.later[stack.later_n].call = call;
	stack.later[stack.later_n++].arg = arg;
	return ERR_OK;
}

/* ---- out ---- */

static const struct stack_route *route_to(uint32_t ip)
{
	const struct stack_route *best = NULL;

	for (size_t i = 0; i < stack.own.routes_n; i++) {
		const struct stack_route *r = &stack.own.routes[i];

		if ((ip & r->mask) == r->to && (!best || r->mask > best->mask))
			best = r;
	}
	return best;
}

static bool is_near(uint32_t ip)
{
	const struct frame_host *h = &stack.own.host;

	return (ip & h->mask) == (h->ip & h->mask);
}

bool stack_reaches(uint32_t ip)
{
	return stack.own.host.has_ip && (is_near(ip) || ip == UINT32_MAX || route_to(ip) != NULL);
}

/* The library knows one gateway: it gets that of the route. */
static err_t put_packet(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
	uint32_t ip = ntohl(to->addr);
	const struct stack_route *r = route_to(ip);
	ip4_addr_t gateway = { .addr = r ? htonl(r->gateway ? r->gateway : ip) : 0 };

	ip4_addr_set(ip_2_ip4(&n->gw), &gateway);
	return etharp_output(n, p, to);
}

static err_t put_frame(struct netif *n, struct pbuf *p)
{
	static unsigned char bytes[FRAME_MOST];
	u16_t len = pbuf_copy_partial(p, bytes, p->tot_len, 0);

	(void) n;
	if (stack.out && len == p->tot_len)
		stack.out(bytes, len);
	return ERR_OK;
}

/* ---- in ---- */

/* The oldest that is half open goes when there are too many: who floods throws out his own. */
static void make_room(void)
{
	struct tcp_pcb *oldest = NULL;
	size_t n = 0;

	for (struct tcp_pcb *p = tcp_active_pcbs; p; p = p->next) {
		if (p->state != SYN_RCVD)
			continue;
		oldest = p; /* new ones stand in front */
		n++;
	}
	if (n >= STACK_HALF_OPEN)
		tcp_abandon(oldest, 0);
}

static void do_later(void)
{
	while (stack.later_at < stack.later_n) {
		size_t i = stack.later_at++;

		stack.later[i].call(stack.later[i].arg);
	}
	stack.later_at = stack.later_n = 0;
}

void stack_take(const unsigned char *frame, size_t n)
{
	uint16_t port = 0;
	enum frame_kind kind = frame_look(&stack.own.host, frame, n, &port);
	struct pbuf *p;

	if (kind == FRAME_REFUSED || n > UINT16_MAX)
		return;
	if (kind == FRAME_BEGINS) {
		if (stack.room && !stack.room(port))
			return; /* it comes again */
		make_room();
	}
	p = pbuf_alloc(PBUF_RAW, (u16_t) n, PBUF_RAM);
	if (!p)
		return;
	if (pbuf_take(p, frame, (u16_t) n) != ERR_OK ||
	    stack.netif.input(p, &stack.netif) != ERR_OK)
		pbuf_free(p);
}

/* ---- time ---- */

/* Those that are over cost memory for minutes: the oldest of too many go. */
static void forget_over(void)
{
	struct tcp_pcb *p = tcp_tw_pcbs;

	for (size_t n = 1; p && n < STACK_OVER; n++)
		p = p->next;
	while (p && p->next)
		tcp_abort(p->next);
}

nsec_t stack_tick(void)
{
	nsec_t next;
	u32_t next_ms;

	do {
		do_later();
		sys_check_timeouts();
	} while (stack.later_n);
	forget_over();
	next_ms = sys_timeouts_sleeptime();
	if (next_ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE)
		return NSEC_NEVER;
	next = next_ms * NSEC_PER_MSEC;
	/* Its timers of multicast are due ten times a second, and there is none. */
	if (!tcp_active_pcbs && !tcp_tw_pcbs && next < IDLE)
		next = IDLE;
	return clock_mono() + next;
}

uint16_t stack_port(void)
{
	return (uint16_t) (PORT_FIRST + random64() % (PORT_LAST - PORT_FIRST + 1));
}

/* ---- made ---- */

static err_t init_netif(struct netif *n)
{
	n->name[0] = 'e';
	n->name[1] = 'n';
	n->output = put_packet;
	n->linkoutput = put_frame;
	n->mtu = (u16_t) stack.own.mtu;
	n->hwaddr_len = sizeof(stack.own.host.mac);
	memcpy(n->hwaddr, stack.own.host.mac, sizeof(stack.own.host.mac));
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	return ERR_OK;
}

int stack_begin(const struct stack_interface *i, stack_out out, stack_room room, struct err *e)
{
	const ip4_addr_t ip = { .addr = htonl(i->host.has_ip ? i->host.ip : 0) },
			 mask = { .addr = htonl(i->host.has_ip ? i->host.mask : 0) }, none = {};

	if (stack.begun)
		return err_set(e, ERR_INTERNAL, EALREADY, "the TCP/IP stack runs already");
	if (getrandom(stack.key, sizeof(stack.key), 0) != sizeof(stack.key))
		return err_sys(e, errno, "randomness for the TCP/IP stack");
	stack.begun = true;
	stack.own = *i;
	stack.out = out;
	stack.room = room;
	lwip_init();
	if (!netif_add(&stack.netif, &ip, &mask, &none, NULL, init_netif, ethernet_input))
		return err_set(e, ERR_INTERNAL, ENOMEM, "the TCP/IP stack takes no interface");
	netif_set_default(&stack.netif);
	netif_set_up(&stack.netif);
	netif_set_link_up(&stack.netif);
	return 0;
}

const struct stack_interface *stack_interface(void)
{
	return &stack.own;
}

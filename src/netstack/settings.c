/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/settings.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/pcb.h"
#include "netstack/socket.h"
#include "netstack/stack.h"

enum { TCP_STATE_ESTABLISHED = 1, TCP_STATE_CLOSE = 7, TCP_STATE_LISTEN = 10, HEADS = 40 };

static int answer(unsigned char *out, size_t *ret_n, int room, const void *v, size_t n)
{
	*ret_n = n < (size_t) room ? n : (size_t) room;
	memcpy(out, v, *ret_n);
	return 0;
}

int settings_get(const struct sock *s, int level, int name, int room, unsigned char *out,
		 size_t *ret_n)
{
	int32_t number = 0;

	if (room < 0)
		return -EINVAL;
	if (level == SOL_SOCKET && name == SO_ERROR)
		return answer(out, ret_n, room, &number, sizeof(number));
	if ((level == IPPROTO_IP && name == IP_MTU) ||
	    (level == IPPROTO_IPV6 && name == IPV6_MTU)) {
		number = (int32_t) stack_interface()->mtu;
		return answer(out, ret_n, room, &number, sizeof(number));
	}
	if (s->protocol != POLICY_TCP || level != IPPROTO_TCP)
		return -ENOPROTOOPT;
	number = s->connected ? (int32_t) pcb_mss(s) : 536;
	if (name == TCP_MAXSEG)
		return answer(out, ret_n, room, &number, sizeof(number));
	if (name == TCP_INFO) {
		struct tcp_info i = { .tcpi_state = s->listening	     ? TCP_STATE_LISTEN
						    : s->connected && s->tcp ? TCP_STATE_ESTABLISHED
									     : TCP_STATE_CLOSE,
				      .tcpi_snd_mss = (uint32_t) number,
				      .tcpi_rcv_mss = (uint32_t) number,
				      .tcpi_advmss = (uint32_t) number,
				      .tcpi_pmtu = stack_interface()->mtu };

		return answer(out, ret_n, room, &i, sizeof(i));
	}
	return -ENOPROTOOPT;
}

static int set_tcp(struct sock *s, int name, int32_t v)
{
	if (s->protocol != POLICY_TCP)
		return -ENOPROTOOPT;
	switch (name) {
	case TCP_NODELAY:
		s->nodelay = v != 0;
		break;
	case TCP_KEEPIDLE:
	case TCP_KEEPINTVL:
	case TCP_KEEPCNT:
		if (v < 1 || v > INT16_MAX)
			return -EINVAL;
		if (name == TCP_KEEPIDLE)
			s->idle_s = (uint32_t) v;
		else if (name == TCP_KEEPINTVL)
			s->interval_s = (uint32_t) v;
		else
			s->probes = (uint32_t) v;
		break;
	default:
		return -ENOPROTOOPT;
	}
	stream_options(s);
	return 0;
}

int settings_set(struct sock *s, int level, int name, const unsigned char *value, size_t n)
{
	int32_t v, seconds = 0;

	if (n < sizeof(v))
		return -EINVAL;
	memcpy(&v, value, sizeof(v));
	if (level == IPPROTO_TCP)
		return set_tcp(s, name, v);
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && s->domain == AF_INET6) {
		s->v6_only = v != 0;
		return 0;
	}
	if (level == SOL_SOCKET) {
		switch (name) {
		case SO_REUSEADDR:
			pcb_flag(s, PCB_REUSE, v != 0);
			return 0;
		case SO_KEEPALIVE:
			pcb_flag(s, PCB_KEEPALIVE, v != 0);
			return 0;
		case SO_BROADCAST:
			s->broadcast = v != 0;
			return 0;
		case SO_LINGER:
			if (n < 2 * sizeof(v))
				return -EINVAL;
			memcpy(&seconds, value + sizeof(v), sizeof(seconds));
			s->reset = v && seconds == 0;
			return 0;
		default:
			return -ENOPROTOOPT;
		}
	}
	if (level != IPPROTO_IP)
		return -ENOPROTOOPT;
	switch (name) {
	case IP_TTL:
		if (v < 1 || v > UINT8_MAX)
			return -EINVAL;
		pcb_ttl(s, (uint8_t) v);
		return 0;
	case IP_TOS:
		pcb_tos(s, (uint8_t) v);
		return 0;
	case IP_ADD_MEMBERSHIP:
	case IP_MULTICAST_IF:
		return -ENODEV; /* no interface here does multicast */
	default:
		return -ENOPROTOOPT;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

#define WORDS	  4
#define MAPPED	  96 /* bits before an address of IPv4 in IPv6's form */
#define PORT_LAST 65535

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static int parse_protocol(struct str s, unsigned int *ret)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} names[] = { { "tcp", POLICY_TCP },
		      { "udp", POLICY_UDP },
		      { "icmp", POLICY_ICMP },
		      { "*", POLICY_ANY } };

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		if (!str_is(s, names[n].name))
			continue;
		*ret = names[n].bit;
		return 0;
	}
	return -EINVAL;
}

static int parse_network(struct str s, struct policy_rule *r)
{
	struct str prefix = { NULL, 0 }, ip = str_cut(s, '/', &prefix);
	char text[INET6_ADDRSTRLEN];
	uint32_t most = 128, before = 0, bits;

	if (str_is(s, "*"))
		return 0;
	if (ip.n >= sizeof(text))
		return -EINVAL;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = '\0';
	if (inet_pton(AF_INET, text, r->ip + sizeof(mapped)) == 1) {
		memcpy(r->ip, mapped, sizeof(mapped));
		most = 32;
		before = MAPPED;
	} else if (inet_pton(AF_INET6, text, r->ip) != 1) {
		return -EINVAL;
	}
	bits = most;
	if (prefix.p && num_parse_u32(prefix, 0, most, &bits) < 0)
		return -EINVAL;
	r->bits = before + bits;
	return 0;
}

static int parse_ports(struct str s, struct policy_rule *r)
{
	struct str rest = { NULL, 0 }, first = str_cut(s, '-', &rest);
	uint32_t from, to;

	if (str_is(s, "*")) {
		r->last = PORT_LAST;
		return 0;
	}
	if (num_parse_u32(first, 0, PORT_LAST, &from) < 0)
		return -EINVAL;
	to = from;
	if (rest.p && num_parse_u32(rest, from, PORT_LAST, &to) < 0)
		return -EINVAL;
	r->first = (uint16_t) from;
	r->last = (uint16_t) to;
	return 0;
}

int policy_add(struct policy *p, const char *text, struct err *e)
{
	struct str words[WORDS], rest = str_of(text);
	struct policy_rule r = {};
	size_t n = 0;

	while (n < WORDS && rest.p) {
		struct str left = { NULL, 0 };

		words[n++] = str_cut(rest, ',', &left);
		rest = left;
	}
	if (n < WORDS || rest.p)
		return err_set(e, ERR_INVALID, EINVAL,
			       "'%s' is no rule: allow|deny,PROTOCOL,NETWORK,PORTS", text);
	if (!str_is(words[0], "allow") && !str_is(words[0], "deny"))
		return err_set(e, ERR_INVALID, EINVAL, "'%s': a rule is to allow or deny", text);
	r.allow = str_is(words[0], "allow");
	if (parse_protocol(words[1], &r.protocols) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s': not tcp, udp, icmp or *", text);
	if (parse_network(words[2], &r) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s': no ADDRESS, ADDRESS/PREFIX or *",
			       text);
	if (parse_ports(words[3], &r) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s': no PORT, FIRST-LAST or *", text);
	if (p->n == POLICY_RULES)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "more than %d rules", POLICY_RULES);
	p->rules[p->n++] = r;
	return 0;
}

static bool fits_network(const struct policy_rule *r, const unsigned char ip[16])
{
	size_t whole = r->bits / 8;
	unsigned int rest = r->bits % 8;

	if (memcmp(r->ip, ip, whole) != 0)
		return false;
	return rest == 0 || (r->ip[whole] ^ ip[whole]) >> (8 - rest) == 0;
}

bool policy_allows(const struct policy *p, enum policy_protocol protocol,
		   const struct policy_place *to)
{
	for (size_t n = 0; n < p->n; n++) {
		const struct policy_rule *r = &p->rules[n];

		if (r->protocols & protocol && r->first <= to->port && to->port <= r->last &&
		    fits_network(r, to->ip))
			return r->allow;
	}
	return true;
}

bool policy_is_loopback(const struct policy_place *p)
{
	static const unsigned char own[16] = { [15] = 1 };

	if (memcmp(p->ip, mapped, sizeof(mapped)) == 0)
		return p->ip[12] == 127;
	return memcmp(p->ip, own, sizeof(own)) == 0;
}

bool policy_is_any(const struct policy_place *p)
{
	static const unsigned char any[16], any4[16] = { [10] = 0xff, [11] = 0xff };

	return memcmp(p->ip, any, sizeof(any)) == 0 || memcmp(p->ip, any4, sizeof(any4)) == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/policy.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/test.h"

static struct policy_place at(const char *ip, unsigned int port)
{
	struct policy_place p = { .ip = { [10] = 0xff, [11] = 0xff }, .port = (uint16_t) port };

	if (inet_pton(AF_INET, ip, p.ip + 12) != 1)
		CHECK(inet_pton(AF_INET6, ip, p.ip) == 1);
	return p;
}

static bool reaches(const struct policy *p, enum policy_protocol protocol, const char *ip,
		    unsigned int port)
{
	const struct policy_place to = at(ip, port);

	return policy_allows(p, protocol, &to);
}

static void test_rules(void)
{
	struct policy p = {};
	struct err e;

	CHECK(reaches(&p, POLICY_TCP, "1.2.3.4", 5));
	CHECK(policy_add(&p, "allow,tcp,10.1.0.0/16,80-443", &e) == 0);
	CHECK(policy_add(&p, "deny,*,10.0.0.0/8,*", &e) == 0);
	CHECK(policy_add(&p, "allow,udp,fd00::/9,53", &e) == 0);
	CHECK(policy_add(&p, "deny,udp,*,*", &e) == 0);
	CHECK(reaches(&p, POLICY_TCP, "10.1.255.1", 80));
	CHECK(reaches(&p, POLICY_TCP, "10.1.255.1", 443));
	CHECK(!reaches(&p, POLICY_TCP, "10.1.255.1", 444));
	CHECK(!reaches(&p, POLICY_TCP, "10.1.255.1", 79));
	CHECK(!reaches(&p, POLICY_UDP, "10.1.255.1", 80));
	CHECK(!reaches(&p, POLICY_ICMP, "10.255.255.255", 0));
	CHECK(reaches(&p, POLICY_TCP, "11.0.0.0", 1));
	CHECK(!reaches(&p, POLICY_TCP, "::ffff:10.2.0.1", 80)); /* the same address */
	CHECK(reaches(&p, POLICY_UDP, "fd7f::1", 53));
	CHECK(!reaches(&p, POLICY_UDP, "fd80::1", 53));
	CHECK(!reaches(&p, POLICY_UDP, "fd00::1", 54));
	CHECK(reaches(&p, POLICY_TCP, "fd80::1", 9));
}

static void test_any(void)
{
	struct policy p = {};
	struct err e;

	CHECK(policy_add(&p, "allow,*,1.2.3.4,*", &e) == 0);
	CHECK(policy_add(&p, "allow,*,::1:2/128,7", &e) == 0);
	CHECK(policy_add(&p, "deny,*,0.0.0.0/0,*", &e) == 0);
	CHECK(reaches(&p, POLICY_TCP, "1.2.3.4", 1) && !reaches(&p, POLICY_TCP, "1.2.3.5", 1));
	CHECK(reaches(&p, POLICY_TCP, "2001::1", 1)); /* 0.0.0.0/0 is all of IPv4 alone */
	CHECK(policy_add(&p, "deny,*,*,*", &e) == 0);
	CHECK(!reaches(&p, POLICY_TCP, "2001::1", 1) && reaches(&p, POLICY_TCP, "::1:2", 7));
}

static void test_nonsense(void)
{
	static const char *const bad[] = {
		"",
		"allow",
		"allow,tcp,*",
		"allow,tcp,*,*,*",
		"permit,tcp,*,*",
		"allow,sctp,*,*",
		"allow,tcp,,*",
		"allow,tcp,1.2.3,*",
		"allow,tcp,1.2.3.4/33,*",
		"allow,tcp,::/129,*",
		"allow,tcp,*/8,*",
		"allow,tcp,*,",
		"allow,tcp,*,65536",
		"allow,tcp,*,9-8",
		"allow,tcp,*,1-2-3",
		"allow,tcp,*,-",
		"allow,tcp,1.2.3.4/,*",
		"deny,tcp,aaaa:bbbb:cccc:dddd:eeee:ffff:1111:2222:3333:4444,*",
	};
	struct policy p = {};
	struct err e;

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		CHECK(policy_add(&p, bad[n], &e) < 0 && e.kind == ERR_INVALID);
	CHECK(p.n == 0);
	for (size_t n = 0; n < POLICY_RULES; n++)
		CHECK(policy_add(&p, "deny,tcp,*,1", &e) == 0);
	CHECK(policy_add(&p, "deny,tcp,*,1", &e) < 0 && e.kind == ERR_EXHAUSTED);
}

static void test_own(void)
{
	const struct policy_place lo = at("127.3.0.1", 0), lo6 = at("::1", 0),
				  any = at("0.0.0.0", 0), any6 = at("::", 0),
				  other = at("128.0.0.1", 0);

	CHECK(policy_is_loopback(&lo) && policy_is_loopback(&lo6) && !policy_is_loopback(&other));
	CHECK(policy_is_any(&any) && policy_is_any(&any6) && !policy_is_any(&lo));
	CHECK(!policy_is_loopback(&any));
}

int main(void)
{
	test_rules();
	test_any();
	test_nonsense();
	test_own();
	return test_done();
}

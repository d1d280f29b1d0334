/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps of rtnetlink as a network outside gives them: in pieces, cut short, and full of lies. */
#include "kernel/net/links.h"

#include <linux/rtnetlink.h>

#include "kernel/core/heap.h"
#include "kernel/net/outside.h"
#include "kernel/platform/sim/test_run.h"

/* What the outside of these tests has: one dump for all kinds. */
static unsigned char *given;
static size_t given_n;
static int failing;

static int64_t dump(int kind, int family, size_t from, void *to, size_t room, size_t *ret_n)
{
	(void) kind, (void) family;
	if (failing)
		return failing;
	*ret_n = min_of(room, given_n - from);
	memcpy(to, given + from, *ret_n);
	return (int64_t) given_n;
}

static const struct outside_ops ops = { .dump = dump };

static void begin(void)
{
	given_n = 0;
}

static void attribute(uint16_t type, const void *value, size_t n)
{
	struct rtattr a = { .rta_len = (uint16_t) (sizeof(a) + n), .rta_type = type };

	memcpy(given + given_n, &a, sizeof(a));
	memcpy(given + given_n + sizeof(a), value, n);
	given_n += RTA_ALIGN(sizeof(a) + n);
}

static size_t message(uint16_t type, const void *body, size_t n)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	size_t at = given_n;

	memcpy(given + at, &h, sizeof(h));
	memcpy(given + at + sizeof(h), body, n);
	given_n += NLMSG_ALIGN(sizeof(h) + n);
	return at;
}

static void end(size_t at)
{
	uint32_t len = (uint32_t) (given_n - at);

	memcpy(given + at, &len, sizeof(len));
}

static void link(int index, const char *name)
{
	const struct ifinfomsg i = { .ifi_index = index, .ifi_type = 1, .ifi_flags = 0x11043 };
	uint32_t mtu = 1500 + (uint32_t) index;
	size_t at = message(RTM_NEWLINK, &i, sizeof(i));

	attribute(IFLA_IFNAME, name, strlen(name) + 1);
	attribute(IFLA_MTU, &mtu, sizeof(mtu));
	attribute(IFLA_ADDRESS, "\2\1\1\1\1\7", 6);
	end(at);
}

static void address(int index, const char *ip)
{
	const struct ifaddrmsg a = { .ifa_family = 2,
				     .ifa_prefixlen = 24,
				     .ifa_index = (uint32_t) index };
	size_t at = message(RTM_NEWADDR, &a, sizeof(a));

	attribute(IFA_LOCAL, ip, 4);
	end(at);
}

static void test_good(void)
{
	struct links_interface *all;

	begin();
	link(1, "lo");
	link(7, "eth0");
	address(7, "\12\0\0\1");
	address(7, "\12\0\0\2"); /* the first one counts */
	address(9, "\12\0\0\3"); /* nobody's */
	CHECK(links_interfaces(&all) == 2);
	CHECK_STR(all[0].name, "lo");
	CHECK_STR(all[1].name, "eth0");
	CHECK(!all[0].has_ip && all[1].has_ip && all[1].ip[3] == 1 && all[1].prefix == 24);
	CHECK(all[1].index == 7 && all[1].mtu == 1507 && all[1].flags == 0x1043);
	CHECK(all[1].address[0] == 2 && all[1].address[5] == 7 && all[1].stats[0] == 0);
	heap_free(all);
}

/* More than one piece. */
static void test_long(void)
{
	struct links_interface *all;
	int n = 0;

	begin();
	while (given_n < 3 * OUTSIDE_DUMP)
		link(++n, "some");
	CHECK(links_interfaces(&all) == n && all[n - 1].index == n);
	heap_free(all);
	failing = -ENETDOWN;
	CHECK(links_interfaces(&all) == -ENETDOWN);
	failing = 0;
}

/* Each byte another, and each end: nothing is read that is not there (AddressSanitizer looks). */
static void test_lies(void)
{
	struct links_interface *all;
	size_t whole;
	int n;

	begin();
	link(3, "name-of-15-byte");
	address(3, "\1\2\3\4");
	whole = given_n;
	for (size_t at = 0; at < whole; at++) {
		unsigned char was = given[at];

		for (unsigned int v = 0; v < 256; v += 5) {
			given[at] = (unsigned char) v;
			n = links_interfaces(&all);
			CHECK(n >= 0 && n <= 2);
			for (int k = 0; k < n; k++)
				CHECK(strlen(all[k].name) < sizeof(all[k].name) &&
				      all[k].prefix <= 32);
			heap_free(all);
		}
		given[at] = was;
	}
	while (given_n-- > 0) {
		n = links_interfaces(&all);
		CHECK(n >= 0 && n <= 1);
		heap_free(all);
	}
}

static void test_without(void)
{
	struct links_interface *all;

	CHECK(links_interfaces(&all) == 1 && all[0].has_ip && all[0].ip[0] == 127);
	CHECK_STR(all[0].name, "lo");
	heap_free(all);
}

static void body(void *arg)
{
	size_t used = heap_used();

	(void) arg;
	given = heap_alloc(4 * OUTSIDE_DUMP);
	CHECK(given != NULL);
	test_without();
	outside_set(&ops);
	test_good();
	test_long();
	test_lies();
	heap_free(given);
	CHECK(heap_used() <= used + PAGE_SIZE * 64);
}

int main(void)
{
	return test_run(64, body);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/net tells of sockets: Linux's lines. */
#include "kernel/net/listing.h"

#include "kernel/net/test_inet.h"

#define STREAMS                                                                                    \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
	"timeout inode"
#define DATAGRAMS "  " STREAMS " ref pointer drops"
#define REST	  " 00:00000000 00000000     0        0 "

static struct text text;

static const char *told(int domain, int type)
{
	text_fini(&text);
	if (domain == AF_UNIX)
		listing_unix(&text);
	else
		listing_inet(domain, type, &text);
	text_add(&text, "", 1);
	CHECK(text.failed == 0);
	return text.bytes;
}

static bool has(const char *all, const char *part)
{
	size_t n = strlen(part);

	for (; *all; all++) {
		if (strncmp(all, part, n) == 0)
			return true;
	}
	return false;
}

static size_t lines(const char *all)
{
	size_t n = 0;

	for (; *all; all++)
		n += *all == '\n';
	return n;
}

/* Each line but that of AF_INET6's head is as long as Linux makes it. */
static void streams(void)
{
	struct file *l = listener(AF_INET, v4(LO4, 5000), 5), *c = new_socket(AF_INET, SOCK_STREAM),
		    *waits = new_socket(AF_INET, SOCK_STREAM), *s;
	const char *all;

	CHECK(bind_to(c, v4(LO4, 40000)) == 0);
	all = told(AF_INET, SOCK_STREAM);
	CHECK(strncmp(all, STREAMS, strlen(STREAMS)) == 0 && strlen(all) == 300);
	CHECK(has(all, "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000" REST));
	CHECK(lines(all) == 2); /* who is bound alone is in no list */
	CHECK(join(c, v4(LO4, 5000)) == -EINPROGRESS);
	CHECK(join(waits, v4(LO4, 5000)) == -EINPROGRESS);
	CHECK(has(told(AF_INET, SOCK_STREAM), ":0000 0A 00000000:00000002" REST));
	s = accepted(l);
	CHECK(put(s, "hello") == 5);
	all = told(AF_INET, SOCK_STREAM);
	CHECK(lines(all) == 5 && strlen(all) == 5 * 150);
	CHECK(has(all, ": 0100007F:9C40 0100007F:1388 01 00000000:00000005" REST));
	CHECK(has(all, ": 0100007F:1388 0100007F:9C40 01 "));
	file_unref(c);
	CHECK(lines(told(AF_INET, SOCK_STREAM)) == 3); /* s was reset */
	file_unref(s);
	file_unref(waits);
	file_unref(l);
	CHECK(lines(told(AF_INET, SOCK_STREAM)) == 1);
}

static void version_six(void)
{
	struct file *l = listener(AF_INET6, v6(1, 6000), 5),
		    *any = new_socket(AF_INET6, SOCK_DGRAM);
	const char *all = told(AF_INET6, SOCK_STREAM);

	CHECK(lines(all) == 2 && lines(told(AF_INET, SOCK_STREAM)) == 1);
	all = told(AF_INET6, SOCK_STREAM);
	CHECK(has(all, "   0: 00000000000000000000000001000000:1770 "
		       "00000000000000000000000000000000:0000 0A "));
	CHECK(lines(told(AF_INET6, SOCK_DGRAM)) == 1);
	CHECK(bind_to(any, v6(0, 6001)) == 0);
	CHECK(has(told(AF_INET6, SOCK_DGRAM), "    0: 00000000000000000000000000000000:1771 "
					      "00000000000000000000000000000000:0000 07 "));
	file_unref(any);
	file_unref(l);
}

static void datagrams(void)
{
	struct file *u = new_socket(AF_INET, SOCK_DGRAM);
	const char *all;

	CHECK(bind_to(u, v4(ANY4, 5353)) == 0);
	all = told(AF_INET, SOCK_DGRAM);
	CHECK(strncmp(all, DATAGRAMS, strlen(DATAGRAMS)) == 0 && strlen(all) == 256);
	CHECK(has(all, "    0: 00000000:14E9 00000000:0000 07 00000000:00000000" REST));
	file_unref(u);
	CHECK(lines(told(AF_INET, SOCK_DGRAM)) == 1 && lines(told(AF_INET, SOCK_RAW)) == 1);
}

static void of_unix(void)
{
	struct sock_address a = { .len = 7, .bytes = { AF_UNIX, 0, 0, 'n', 0, 'm', '!' } };
	struct file *l = new_socket(AF_UNIX, SOCK_STREAM), *pair[2];
	const char *all;

	CHECK(bind_to(l, a) == 0 && socket_listen(l, &root, 5) == 0);
	CHECK(socket_make_pair(AF_UNIX, SOCK_DGRAM, 0, &root, pair) == 0);
	all = told(AF_UNIX, 0);
	CHECK(lines(all) == 4);
	CHECK(has(all, "0000000000000000: 00000002 00000000 00010000 0001 01 "));
	CHECK(has(all, " @n@m!\n") && has(all, " 00000000 00000000 0002 03 "));
	file_unref(l);
	file_unref(pair[0]);
	file_unref(pair[1]);
	CHECK(lines(told(AF_UNIX, 0)) == 1);
}

static void all(void)
{
	streams();
	version_six();
	datagrams();
	of_unix();
	text_fini(&text);
}

static void body(void *arg)
{
	(void) arg;
	test_in_space(all);
}

int main(void)
{
	return test_run(8192, body);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/usernet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/microvm/proxied.h"
#include "fmt/spec.h"
#include "sys/spawn.h"

#define PASST	  "passt"
#define PORTS_MAX 64
#define PORT_TEXT 80 /* "255.255.255.255/65535:65535" */

/* passt wants one, and without one nobody is reached. */
static bool has_default_route(void)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	struct str rest, line;

	if (file_read(AT_FDCWD, "/proc/self/net/route", &text) < 0)
		return true; /* passt will say */
	for (rest = buf_str(&text); rest.p && rest.n;) {
		line = str_cut(rest, '\n', &rest);
		(void) str_cut(line, '\t', &line); /* interface, destination, ... */
		if (line.p && str_starts(line, "00000000\t"))
			return true;
	}
	return false;
}

static int find(char path[static SPAWN_PATH_MAX], struct err *e)
{
	if (spawn_find(PASST, path) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOENT,
			       "a microvm shares the host's network through " PASST
			       ", which is not installed (package " PASST "); --network none does "
			       "without");
	return 0;
}

int usernet_check(struct err *e)
{
	char path[SPAWN_PATH_MAX];

	return find(path, e);
}

/* Two words for each port. */
static int add_ports(const struct spec_machine *m, const char **words, size_t *n,
		     char texts[static PORTS_MAX][PORT_TEXT], struct err *e)
{
	if (m->ports_n > PORTS_MAX)
		return err_set(e, ERR_UNSUPPORTED, E2BIG, "a microvm can publish %d ports, not %zu",
			       PORTS_MAX, m->ports_n);
	for (size_t i = 0; i < m->ports_n; i++) {
		const struct spec_port *p = &m->ports[i];
		bool anywhere = !p->address || !p->address[0];
		struct in_addr ignored;

		if (!anywhere && inet_pton(AF_INET, p->address, &ignored) != 1)
			return err_set(e, ERR_INVALID, EINVAL,
				       "publish a port at '%.60s': that is no IPv4 address",
				       p->address);
		(void) snprintf(texts[i], PORT_TEXT, "%s%s%u:%u", anywhere ? "" : p->address,
				anywhere ? "" : "/", p->host, p->guest);
		words[(*n)++] = p->udp ? "-u" : "-t";
		words[(*n)++] = texts[i];
	}
	return 0;
}

int usernet_start(struct proxied *p, const struct spec_resources *r, int *ret_fd, struct err *e)
{
	static const char *const fixed[] = {
		"-f",
		"-q",
		"-e",
		"-4",
		"-a",
		USERNET_ADDRESS,
		"-n",
		USERNET_MASK,
		"-g",
		USERNET_GATEWAY,
		"--dns-forward",
		USERNET_DNS,
		"--no-dhcp",
		"--no-dhcpv6",
		"--no-ndp",
		"--no-ra",
		"--fd",
		"3",
	};
	const char *words[1 + ARRAY_SIZE(fixed) + 2 * PORTS_MAX + 1] = {};
	char path[SPAWN_PATH_MAX], texts[PORTS_MAX][PORT_TEXT];
	int pair[2] = { FD_NONE, FD_NONE }, f = find(path, e);
	size_t n = 0;

	if (f == 0 && !has_default_route())
		f = err_set(e, ERR_UNSUPPORTED, ENETUNREACH,
			    "the host has no default route, so that there is no network that a "
			    "microvm could share");
	if (f < 0)
		return f;
	words[n++] = path;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		words[n++] = fixed[i];
	f = r && r->machine ? add_ports(r->machine, words, &n, texts, e) : 0;
	if (f == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		f = err_sys(e, errno, "socket pair");
	if (f < 0)
		return f;
	auto_fd int ours = pair[0];
	auto_fd int theirs = pair[1];

	f = proxied_spawn(p, words, &theirs, 1, false, e);
	if (f == 0)
		*ret_fd = take_fd(&ours);
	return f;
}

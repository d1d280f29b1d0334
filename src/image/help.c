/* SPDX-License-Identifier: Apache-2.0 */
#include "image/help.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "image/wire.h"
#include "sys/fdpass.h"
#include "sys/ns.h"

static int ask(int sock, const struct wire_help *h, int dir_fd)
{
	int32_t answer = -EPIPE;
	ssize_t n;
	int r = fdpass_send(sock, h, sizeof(*h), &dir_fd, 1);

	if (r < 0)
		return r;
	do
		n = recv(sock, &answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(answer) ? answer : -EPIPE;
}

int help_opaque_set(int sock, int dir_fd)
{
	const struct wire_help h = { .magic = WIRE_MAGIC, .verb = WIRE_HELP_OPAQUE_SET };

	return ask(sock, &h, dir_fd);
}

int help_opaque_get(int sock, int dir_fd)
{
	const struct wire_help h = { .magic = WIRE_MAGIC, .verb = WIRE_HELP_OPAQUE_GET };

	return ask(sock, &h, dir_fd);
}

int help_node(int sock, int dir_fd, const char *name, uint32_t mode, uint32_t major, uint32_t minor)
{
	struct wire_help h = { .magic = WIRE_MAGIC,
			       .verb = WIRE_HELP_NODE,
			       .mode = mode,
			       .major = major,
			       .minor = minor };

	if (snprintf(h.name, sizeof(h.name), "%s", name) >= (int) sizeof(h.name))
		return -ENAMETOOLONG;
	return ask(sock, &h, dir_fd);
}

/*
 * The confined half may be in hostile hands: whatever it asks is checked as if it were. It can
 * name only directories it has open, which are those of the tree it was given.
 */
static int serve(const struct wire_help *h, int dir_fd)
{
	/* What the overlay of a user namespace reads (mount option userxattr). */
	const char *opaque = ns_in_user() ? "user.overlay.opaque" : "trusted.overlay.opaque";
	struct stat st;
	char value = 0;

	if (h->magic != WIRE_MAGIC || fstat(dir_fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return -EINVAL;
	switch (h->verb) {
	case WIRE_HELP_OPAQUE_SET:
		return fsetxattr(dir_fd, opaque, "y", 1, 0) < 0 ? -errno : 0;
	case WIRE_HELP_OPAQUE_GET:
		return fgetxattr(dir_fd, opaque, &value, 1) == 1 && value == 'y';
	case WIRE_HELP_NODE:
		if (memchr(h->name, '\0', sizeof(h->name)) == NULL || !h->name[0] ||
		    strchr(h->name, '/') || streq(h->name, ".") || streq(h->name, ".."))
			return -EINVAL;
		if ((h->mode & S_IFMT) != S_IFCHR && (h->mode & S_IFMT) != S_IFBLK)
			return -EINVAL;
		if (h->mode & ~(S_IFMT | 07777u) || h->major > 4095 || h->minor > 1048575)
			return -EINVAL;
		if (mknodat(dir_fd, h->name, h->mode, makedev(h->major, h->minor)) == 0)
			return 0;
		/* No user namespace may have any, and containers get theirs in /dev: an image's
		 * are left out, as everywhere where ordinary users unpack. */
		return errno == EPERM && ns_in_user() ? 0 : -errno;
	}
	return -EINVAL;
}

void help_serve(int sock)
{
	for (;;) {
		struct wire_help h = {};
		auto_fd int dir_fd = FD_NONE;
		size_t fds_n = 0;
		ssize_t n = fdpass_recv(sock, &h, sizeof(h), &dir_fd, 1, &fds_n);
		int32_t answer;

		if (n <= 0)
			return;
		answer = n == sizeof(h) && fds_n == 1 ? serve(&h, dir_fd) : -EINVAL;
		if (send(sock, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			return;
	}
}

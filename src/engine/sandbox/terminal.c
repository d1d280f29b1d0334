/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/terminal.h"

#include <errno.h>
#include <fcntl.h>

#include "fmt/spec.h"
#include "sys/fdpass.h"
#include "sys/pty.h"

int terminal_open(struct terminal *t, const struct spec_process *p, struct err *e)
{
	const struct spec_console_size *size = p->console_size;
	int r = pty_open(AT_FDCWD, "/dev/ptmx", &t->master, &t->slave);

	if (r == 0 && size && (size->width || size->height))
		r = pty_resize(t->master, size->height, size->width);
	/* The sandbox's end is an open of its own: no other waits on it. */
	if (r == 0 && fcntl(t->slave, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "make a terminal") : 0;
}

int terminal_give(struct terminal *t, int console_socket, int *ret_kept, struct err *e)
{
	static const char name[] = "/dev/ptmx"; /* what console sockets are sent by custom */
	int r;

	if (console_socket < 0) {
		*ret_kept = take_fd(&t->master);
		return 0;
	}
	r = fdpass_send(console_socket, name, sizeof(name) - 1, &t->master, 1);
	return r < 0 ? err_sys(e, -r, "sending the terminal to the console socket") : 0;
}

void terminal_fini(struct terminal *t)
{
	close_fd(&t->master);
	close_fd(&t->slave);
}

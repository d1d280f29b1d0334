/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-vmm: one virtual machine on KVM. It opens what its options name, makes the machine, gives
 * up all that it does not need then, and runs the guest to its end. Exit status: 0 the guest
 * powered off or reset itself, or it was told to quit; 1 a failure of ours, told on standard
 * error; 2 wrong usage.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/enclose.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/options.h"

#define EXIT_USAGE 2

/* Large, and there is one: not on the stack. */
static struct machine machine;

static int fail(const struct err *e, int status)
{
	(void) fprintf(stderr, "atoll-vmm: %s\n", e->msg);
	return status;
}

static void keep(int *fds, size_t *n, const struct file_option *f)
{
	if (f->fd >= 0)
		fds[(*n)++] = f->fd;
}

/* A machine has what it was given and nothing that its parent forgot to close. */
static void close_others(const struct options *o)
{
	int fds[12 + OPTION_DISKS_MAX + OPTION_NETS_MAX + OPTION_FORWARDS_MAX + 1];
	size_t n = 0;

	keep(fds, &n, &o->kernel);
	keep(fds, &n, &o->initrd);
	keep(fds, &n, &o->restore_state);
	keep(fds, &n, &o->restore_memory);
	keep(fds, &n, &o->kvm);
	keep(fds, &n, &o->serial);
	keep(fds, &n, &o->console);
	keep(fds, &n, &o->control);
	keep(fds, &n, &o->vsock.listen);
	keep(fds, &n, &o->vsock.ports);
	keep(fds, &n, &o->vsock.kept);
	keep(fds, &n, &o->fs.socket);
	for (size_t i = 0; i < o->disks_n; i++)
		keep(fds, &n, &o->disks[i].file);
	for (size_t i = 0; i < o->nets_n; i++)
		keep(fds, &n, &o->nets[i].file);
	for (size_t i = 0; i < o->vsock.forwards_n; i++)
		keep(fds, &n, &o->vsock.forwards[i].file);
	enclose_fds(STDERR_FILENO + 1, fds, n);
}

int main(int argc, char *argv[])
{
	const struct sigaction ignored = { .sa_handler = SIG_IGN };
	struct options o;
	struct err e;

	if (options_parse(argc - 1, argv + 1, &o, &e) < 0)
		return fail(&e, EXIT_USAGE);
	if (o.help || o.version) {
		(void) fputs(o.help ? options_help : "atoll-vmm " ATOLL_VERSION "\n", stdout);
		return 0;
	}
	(void) sigaction(SIGPIPE, &ignored, NULL); /* a valid signal: cannot fail */
	close_others(&o);
	if (machine_init(&machine, &o, &e) < 0)
		return fail(&e, EXIT_FAILURE);
	if (o.jail) {
		const struct jail j = { .set_ids = o.set_ids, .uid = o.uid, .gid = o.gid };

		if (jail_enter(&j, &e) < 0)
			return fail(&e, EXIT_FAILURE);
	}
	if (machine_run(&machine, o.jail, o.paused, &e) < 0)
		return fail(&e, EXIT_FAILURE);
	return 0;
}

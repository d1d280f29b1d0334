/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-device: one virtio device of a machine, in a process of its own, over vhost-user. It gets
 * all it works with as open descriptors, confines itself, and serves until the front end (QEMU or
 * atoll-vmm) hangs up. Status: 0 after that, 1 a failure, told on standard error, 2 usage.
 * One kind is no device: `gofer` serves a sandbox's kernel (atoll-sentry) the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/num.h"
#include "device/confine.h"
#include "device/kind.h"
#include "vhost/backend.h"

static const struct device_kind *const kinds[] = { &device_fs, &device_gofer, &device_net,
						   &device_vsock };

enum { EXIT_GOOD, EXIT_FAILED, EXIT_USAGE };

static struct options {
	const struct device_kind *kind;
	int socket, death_fd;
	bool unconfined;
} options = { .socket = FD_NONE, .death_fd = FD_NONE };

static struct device_run run;
static struct vhost_backend backend;
static int result = EXIT_GOOD;

int device_fd(struct device_run *r, const char *value, int *ret_fd, struct err *e)
{
	uint32_t fd;

	if (!str_starts(str_of(value), "fd:") ||
	    num_parse_u32(str_of(value + 3), 0, INT32_MAX, &fd) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no descriptor: fd:N", value);
	if (fcntl((int) fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(e, ERR_INVALID, errno, "'%s' is not open", value);
	if (r->keep_n == DEVICE_WORDS_MAX)
		return err_set(e, ERR_INVALID, E2BIG, "too many descriptors");
	r->keep[r->keep_n++] = (int) fd;
	*ret_fd = (int) fd;
	return 0;
}

struct virtio_device *device_unknown(const struct device_word *w, struct err *e)
{
	(void) err_set(e, ERR_INVALID, EINVAL, "no option --%s here, or too often", w->name);
	return NULL;
}

static int usage(void)
{
	(void) fputs("usage: atoll-device KIND --socket fd:N [--death-fd fd:N]"
		     " [--no-confine] ...\n"
		     "A virtio device over a connected vhost-user socket. Kinds:\n",
		     stderr);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		(void) fprintf(stderr, "  %s %s\n", kinds[i]->name, kinds[i]->usage);
	return EXIT_USAGE;
}

/* "--NAME VALUE"; those without a value are main's own. */
static int parse(int argc, char **argv, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (argc > 1 && streq(argv[1], kinds[i]->name))
			options.kind = kinds[i];
	if (!options.kind)
		return err_set(e, ERR_INVALID, EINVAL, "which kind of device?");
	for (int i = 2; i < argc; i++) {
		const char *name = argv[i] + 2, *value;
		int r = 0;

		if (!str_starts(str_of(argv[i]), "--"))
			return err_set(e, ERR_INVALID, EINVAL, "'%s' is no option", argv[i]);
		if (streq(name, "no-confine")) {
			options.unconfined = true;
			continue;
		}
		value = argv[++i];
		if (!value)
			return err_set(e, ERR_INVALID, EINVAL, "--%s needs a value", name);
		if (streq(name, "socket"))
			r = device_fd(&run, value, &options.socket, e);
		else if (streq(name, "death-fd"))
			r = device_fd(&run, value, &options.death_fd, e);
		else if (run.words_n < DEVICE_WORDS_MAX)
			run.words[run.words_n++] = (struct device_word){ name, value };
		else
			return err_set(e, ERR_INVALID, E2BIG, "too many options");
		if (r < 0)
			return err_ctx(e, "--%s", name);
	}
	return options.socket < 0 ? err_set(e, ERR_INVALID, EINVAL, "--socket is needed") : 0;
}

static void ended(struct vhost_backend *b, const struct err *why)
{
	(void) b;
	if (why) {
		log_error("%s: the front end is hung up on: %s", options.kind->name, why->msg);
		result = EXIT_FAILED;
	}
	loop_stop(&run.loop);
}

static void broken(struct vhost_backend *b, const char *why)
{
	(void) b;
	log_warn("%s: %s", options.kind->name, why);
}

static void parent_ended(struct loop_source *s, uint32_t events)
{
	(void) s, (void) events;
	loop_stop(&run.loop);
}

/* Never again becomes readable but at its end: nobody writes to it. */
static int watch_death(struct loop_source *s, struct err *e)
{
	int r = options.death_fd < 0 ? 0
				     : loop_add(&run.loop, s, options.death_fd, EPOLLIN | EPOLLHUP,
						parent_ended);

	return r < 0 ? err_sys(e, -r, "watch --death-fd") : 0;
}

static int confine(struct err *e)
{
	struct confine c = {
		.keep = run.keep,
		.keep_n = run.keep_n,
		.capabilities = options.kind->capabilities,
		.calls = options.kind->calls,
		.calls_n = options.kind->calls_n,
		.threads = options.kind->threads,
		.ioctl = options.kind->ioctl,
	};

	run.keep[c.keep_n++] = STDERR_FILENO;
	run.keep[c.keep_n++] = run.loop.epoll_fd;
	return confine_enter(&c, e);
}

/*
 * A socket that listens becomes the first connection to it: QEMU's network cards want one that they
 * have connected themselves. 1; 0: whose death ends us has died.
 */
static int accept_front_end(struct err *e)
{
	struct pollfd p[] = { { .fd = options.socket, .events = POLLIN },
			      { .fd = options.death_fd, .events = POLLIN } };
	socklen_t n = sizeof(int);
	int listens = 0, fd;

	if (getsockopt(options.socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0)
		return err_set(e, ERR_INVALID, errno, "--socket: no socket");
	if (!listens)
		return 1;
	while (poll(p, ARRAY_SIZE(p), -1) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for the front end");
	if (p[1].revents)
		return 0;
	fd = accept4(options.socket, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "accept the front end");
	/* In its place, where it is kept open. */
	if (dup3(fd, options.socket, O_CLOEXEC) < 0)
		return err_sys(e, errno, "keep the front end");
	(void) close(fd);
	return 1;
}

/* A thread is within a call that may never end, on memory that would be given back. */
static void abandon(void)
{
	_exit(result);
}

static int run_loop(struct virtio_device *d, struct err *e)
{
	int r;

	if (options.kind->run)
		return options.kind->run(d, abandon, e);
	r = loop_run(&run.loop);
	return r < 0 ? err_sys(e, -r, "wait for events") : 0;
}

/* A kind that is no device. */
static int serve_itself(struct err *e)
{
	struct loop_source death = { .fd = FD_NONE };
	int r = options.kind->begin(&run, options.socket, e);

	if (r < 0)
		return r;
	r = watch_death(&death, e);
	if (r == 0 && !options.unconfined)
		r = confine(e);
	if (r == 0)
		r = options.kind->serve(abandon, e);
	options.kind->end();
	loop_remove(&death);
	loop_fini(&run.loop);
	return r;
}

static int serve(struct err *e)
{
	struct loop_source death = { .fd = FD_NONE };
	struct virtio_device *d;
	int r = accept_front_end(e);

	if (r <= 0)
		return r;
	r = loop_init(&run.loop);
	if (r < 0)
		return err_sys(e, -r, "make a loop");
	if (options.kind->begin)
		return serve_itself(e);
	vhost_backend_init(&backend, &run.loop, options.socket);
	run.memory = &backend.memory;
	d = options.kind->make(&run, e);
	if (!d)
		return -EINVAL;
	r = watch_death(&death, e);
	if (r == 0)
		r = vhost_backend_serve(&backend, d, ended, broken, e);
	if (r == 0 && !options.unconfined)
		r = confine(e);
	if (r == 0)
		r = run_loop(d, e);
	vhost_backend_fini(&backend);
	d->ops->free(d);
	loop_remove(&death);
	loop_fini(&run.loop);
	return r;
}

int main(int argc, char **argv)
{
	const struct log_config log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct err e = {};

	log_configure(&log);
	(void) sigaction(SIGPIPE, &ignore, NULL); /* fails for a bad signal only */
	if (parse(argc, argv, &e) < 0) {
		(void) fprintf(stderr, "atoll-device: %s\n", e.msg);
		return usage();
	}
	if (serve(&e) < 0) {
		log_error("%s: %s", options.kind->name, e.msg);
		return e.kind == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
	}
	return result;
}

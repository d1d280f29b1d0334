/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "engine/container/groups.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/microvm.h"
#include "engine/pod.h"
#include "fmt/spec.h"
#include "proto/shares.h"
#include "sys/mount.h"
#include "sys/unix.h"

#define CGROUP	     "cgroup"
#define TEXT_MAX     (64u << 10)
#define NAP	     (2 * NSEC_PER_MSEC)
#define SHARE_WITHIN (30 * NSEC_PER_SEC)

static struct pod_place place_of(const struct microvm *m)
{
	return (struct pod_place){ .path = m->pod_path, .fd = m->machine_fd, .id = m->id };
}

int microvm_pod_enter(struct microvm *m, const struct pod_name *n, nsec_t deadline, int *ret_lock,
		      struct err *e)
{
	const struct pod_place at = place_of(m);
	int fd = FD_NONE;
	int r = pod_enter(&at, n, "a machine", deadline, &fd, ret_lock, e);

	if (r < 0)
		return r;
	close_fd(&m->machine_fd);
	m->machine_fd = fd;
	return 0;
}

/* ---- namespaces -------------------------------------------------------------------------- */

/* Whose proxy "/proc/PID/ns/pid" is of: the second word of its command line. */
static bool proxy_of(const char *path, char ret_id[static POD_ID_SIZE])
{
	auto_buf struct buf text = BUF_INIT(4096);
	struct str rest, pid = str_cut(str_of(path + strlen("/proc/")), '/', &rest);
	char file[40];
	const char *id;
	uint32_t n;

	if (!str_is(rest, "ns/pid") || num_parse_u32(pid, 1, INT32_MAX, &n) < 0)
		return false;
	(void) snprintf(file, sizeof(file), "/proc/%u/cmdline", n);
	if (file_read(AT_FDCWD, file, &text) < 0)
		return false;
	id = memchr(text.p, 0, text.n);
	if (!id || !memchr(id + 1, 0, text.n - (size_t) (id + 1 - text.p)))
		return false;
	(void) snprintf(ret_id, POD_ID_SIZE, "%s", id + 1);
	return true;
}

int microvm_pod_pids_of(const struct microvm *m, char ret_id[static POD_ID_SIZE], struct err *e)
{
	const char *path = m->spec->linux_.ns[SPEC_NS_PID].path;

	ret_id[0] = '\0';
	if (!path)
		return 0;
	if (strncmp(path, "/proc/", 6) == 0) {
		if (proxy_of(path, ret_id) && pod_has_member(m->machine_fd, ret_id))
			return 0;
	} else if (pod_sandbox(m->machine_fd, ret_id) == 0) { /* pinned: the pod's own */
		return 0;
	}
	ret_id[0] = '\0';
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "a microvm cannot join the pid namespace '%.100s': it is no container's of "
		       "this pod",
		       path);
}

/* ---- shares ------------------------------------------------------------------------------ */

int microvm_pod_name_shares(struct microvm *m, struct guest *g, struct err *e)
{
	for (size_t i = 0; i < g->shares_n; i++) {
		struct guest_share *s = &g->shares[i];

		s->name = arena_printf(&m->arena, "%llx-%llx-%llx%s%s", (unsigned long long) s->dev,
				       (unsigned long long) s->ino, (unsigned long long) s->mount,
				       s->read_only ? "-ro" : "", s->recursive ? "-r" : "");
		if (!s->name)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	return 0;
}

static int dial(int dir_fd)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" POD_FILES, dir_fd);
	return unix_connect(path, SOCK_SEQPACKET, 0);
}

/* As the server does with those it gets at its start; it has no right to by now. */
static int confine_share(const struct guest_share *s, struct err *e)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
		       (s->read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
		.userns_fd = FD_NONE,
	};
	int r = s->cloned ? mount_change(s->fd, "", true, &change) : 0;

	return r < 0 ? err_sys(e, -r, "confine the share of '%.200s'", s->destination) : 0;
}

static int add_one(int sock, const struct guest_share *s, nsec_t deadline, struct err *e)
{
	struct shares_request q = { .type = SHARES_ADD, .read_only = s->read_only };
	int r = confine_share(s, e);

	if (r < 0)
		return r;
	(void) snprintf(q.name, sizeof(q.name), "%s", s->name);
	r = shares_ask(sock, &q, s->fd, deadline);
	return r < 0 && r != -EEXIST /* another container's as well */
		       ? err_sys(e, -r, "share '%.200s' with the pod's machine", s->destination)
		       : 0;
}

int microvm_pod_add_shares(struct microvm *m, const struct guest *g, nsec_t deadline, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	const struct pod_place at = place_of(m);
	int r;

	for (size_t i = 0; i < g->shares_n; i++) {
		buf_addstr(&text, str_of(g->shares[i].name));
		buf_addc(&text, '\n');
	}
	/* First, so that they are taken away again. */
	r = buf_ok(&text) ? pod_write_member(&at, buf_str(&text), e)
			  : err_sys(e, buf_error(&text) == -ENOMEM ? ENOMEM : E2BIG,
				    "names of the shares");
	if (r < 0)
		return r;
	auto_fd int sock = dial(m->machine_fd);

	if (sock == -ECONNREFUSED || sock == -ENOENT)
		return err_set(e, ERR_CONFLICT, -sock, "the pod's machine is not running");
	if (sock < 0)
		return err_sys(e, -sock, "connect to the pod's file server");
	for (size_t i = 0; r == 0 && i < g->shares_n; i++)
		r = add_one(sock, &g->shares[i], deadline, e);
	return r;
}

/* ---- out of it --------------------------------------------------------------------------- */

static void remove_shares(const struct microvm *m, struct str names)
{
	auto_fd int sock = names.n ? dial(m->machine_fd) : FD_NONE;
	const struct timespec nap = { .tv_nsec = NAP };
	nsec_t deadline = clock_deadline(SHARE_WITHIN);

	while (sock >= 0 && names.p && names.n) { /* else the machine has ended, and the server */
		struct str name = str_cut(names, '\n', &names);
		struct shares_request q = { .type = SHARES_REMOVE };
		int r;

		if (!name.n || name.n >= sizeof(q.name) || pod_has_line(m->machine_fd, name))
			continue;
		memcpy(q.name, name.p, name.n);
		while ((r = shares_ask(sock, &q, FD_NONE, deadline)) == -EBUSY &&
		       clock_mono() < deadline)
			(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
		if (r < 0 && r != -ENOENT && r != -EPIPE && r != -ECONNRESET)
			log_warn("a share of the pod '%s' stays: %s", m->pod_path, strerror(-r));
		if (r < 0 && r != -ENOENT && r != -EBUSY)
			return;
	}
}

int microvm_pod_note_cgroup(const struct microvm *m, const char *path, struct err *e)
{
	int r = file_replace(m->machine_fd, CGROUP, str_of(path ? path : ""), 0600, false);

	return r < 0 ? err_sys(e, -r, "write '" CGROUP "' of the pod") : 0;
}

/* Those of a holder whose making was cut short; with processes in them they are another's. */
static void remove_cgroups(const struct microvm *m)
{
	auto_buf struct buf path = BUF_INIT(GROUPS_PATH_MAX);
	auto_groups struct groups *g = NULL;
	struct groups_options o = {};
	struct err e = {};
	char id[160];

	if (file_read(m->machine_fd, CGROUP, &path) < 0)
		return;
	(void) snprintf(id, sizeof(id), POD_HOLDER "%s", strrchr(m->pod_path, '/') + 1);
	o.id = id;
	o.path = path.n ? buf_z(&path) : NULL;
	if (groups_find(&o, &g, &e) == 0)
		(void) groups_remove(g, clock_mono(), &e);
}

/* A machine that is nobody's, with its holder. */
static void end_machine(const struct microvm *m)
{
	struct instance *in = instance_new(&microvm_ops, &m->in.caps);
	struct err e = {};

	if (!in)
		return;
	if (microvm_load(in, m->machine_fd, &e) == 0)
		instance_free(in);
	else
		instance_forget(in); /* there was none */
	remove_cgroups(m);
}

void microvm_pod_leave(struct microvm *m, nsec_t deadline)
{
	auto_buf struct buf names = BUF_INIT(TEXT_MAX);
	auto_fd int fd = FD_NONE;
	struct pod_place at;
	struct err e = {};

	if (pod_lock(m->pod_path, deadline, &fd, &e) < 0) {
		if (e.sys != ENOENT)
			log_warn("%s", e.msg);
		return;
	}
	if (m->machine_fd < 0)
		m->machine_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->machine_fd < 0)
		return;
	at = place_of(m);
	if (pod_read_member(&at, &names) < 0)
		buf_clear(&names);
	pod_remove_member(&at);
	remove_shares(m, buf_str(&names));
	if (pod_members(m->machine_fd))
		return;
	end_machine(m);
	pod_remove(&at);
}

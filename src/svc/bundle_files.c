/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload finds of its surroundings: names, resolvers, namespaces of other workloads. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/engine.h"
#include "svc/bundle_parts.h"
#include "svc/heal.h"
#include "svc/program.h"

#define HOST_FILE_MAX (1u << 20) /* bytes of the host's /etc/hosts and resolv.conf */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static bool mode_is(const char *mode, const char *what)
{
	return mode && streq(mode, what);
}

/* "container:X" of a mode flag: X's record, which must run. false in *ret_given: another mode. */
static int other_of(struct svc *s, const char *flag, const char *mode, struct arena *a,
		    struct workload_record *ret, bool *ret_given, struct err *e)
{
	*ret_given = mode && strncmp(mode, "container:", 10) == 0;
	if (!*ret_given)
		return 0;
	int r = heal_find(s, mode + 10, a, ret, e);
	if (r < 0)
		return err_ctx(e, "%s", flag);
	if (ret->status.pid <= 0)
		return err_set(e, ERR_CONFLICT, EBUSY, "%s: workload '%s' is not running", flag,
			       ret->name);
	const struct engine_ops *ops = engine_find(ret->isolation);
	if (ops && ops->own_kernel)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "%s: workload '%s' is on a kernel of its own (%s): its namespaces "
			       "cannot be shared",
			       flag, ret->name, ret->isolation);
	return 0;
}

static int ns_path(struct arena *a, const struct workload_record *other, const char *kind,
		   const char **ret, struct err *e)
{
	*ret = arena_printf(a, "/proc/%d/ns/%s", other->status.pid, kind);
	return *ret ? 0 : no_memory(e);
}

/*
 * A shared /dev/shm is a directory of the run directory, which lies in memory on every usual
 * machine: a mount of its own would have to be undone after a crash.
 */
static int shared_shm(struct svc *s, const char *id, struct arena *a, const char **ret,
		      struct err *e)
{
	const char *path = arena_printf(a, "%s/shm", paths_run(&s->paths, id).z);

	if (!path)
		return no_memory(e);
	if (mkdir(paths_run(&s->paths, id).z, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make the run directory of workload %.12s", id);
	if (mkdir(path, 01777) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make the shared memory of workload %.12s", id);
	if (chmod(path, 01777) < 0)
		return err_sys(e, errno, "open the shared memory of workload %.12s", id);
	*ret = path;
	return 0;
}

int bundle_namespaces(struct svc *s, const struct workload_record *w,
		      const struct workload_config *c, struct arena *a, struct plan_input *in,
		      struct err *e)
{
	struct workload_record other;
	bool given;
	int r = other_of(s, "--pid", c->pid_mode, a, &other, &given, e);

	if (r >= 0 && given)
		r = ns_path(a, &other, "pid", &in->pid_ns, e);
	if (r >= 0)
		r = other_of(s, "--uts", c->uts_mode, a, &other, &given, e);
	if (r >= 0 && given)
		r = ns_path(a, &other, "uts", &in->uts_ns, e);
	if (r >= 0)
		r = other_of(s, "--network", c->network, a, &other, &given, e);
	if (r >= 0 && given)
		r = ns_path(a, &other, "net", &in->net_ns, e);
	if (r >= 0)
		r = other_of(s, "--ipc", c->ipc_mode, a, &other, &given, e);
	if (r >= 0 && given) {
		struct path_text shared = paths_run(&s->paths, other.id);
		const char *shm = arena_printf(a, "%s/shm", shared.z);

		if (!shm)
			return no_memory(e);
		if (access(shm, F_OK) < 0)
			return err_set(e, ERR_CONFLICT, EINVAL,
				       "--ipc: workload '%s' does not share its own: create it "
				       "with --ipc shareable",
				       other.name);
		in->shm_dir = shm;
		r = ns_path(a, &other, "ipc", &in->ipc_ns, e);
	}
	if (r >= 0 && mode_is(c->ipc_mode, "shareable"))
		r = shared_shm(s, w->id, a, &in->shm_dir, e);
	return r;
}

static int put(int bundle_fd, const char *name, const struct buf *text, struct err *e)
{
	/* In place, not by rename: a running workload may have this very file mounted. */
	auto_fd int fd = openat(bundle_fd, name,
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, errno, "write the workload's %s", name);
	int r = buf_ok(text) ? fd_write_all(fd, text->p, text->n) : buf_error(text);
	if (r >= 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "write the workload's %s", name) : 0;
}

/* The host's file, or nothing where it has none. */
static void host_file(const char *path, struct buf *out)
{
	auto_buf struct buf text = BUF_INIT(HOST_FILE_MAX);

	if (file_read(AT_FDCWD, path, &text) < 0)
		return;
	buf_addstr(out, buf_str(&text));
	if (text.n && text.p[text.n - 1] != '\n')
		buf_addc(out, '\n');
}

static int hosts_file(const struct workload_config *c, const char *hostname, int bundle_fd,
		      struct err *e)
{
	auto_buf struct buf text = BUF_INIT(2 * HOST_FILE_MAX);

	if (mode_is(c->network, "host")) {
		host_file("/etc/hosts", &text);
	} else {
		buf_adds(&text, "127.0.0.1\tlocalhost\n"
				"::1\tlocalhost ip6-localhost ip6-loopback\n"
				"fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
				"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
		buf_addf(&text, "127.0.1.1\t%s\n", hostname);
	}
	for (size_t i = 0; i < c->extra_hosts_n; i++) {
		struct str addr, name = str_cut(str_of(c->extra_hosts[i]), ':', &addr);

		if (str_is(addr, "host-gateway"))
			addr = STR("127.0.0.1");
		buf_addstr(&text, addr);
		buf_addc(&text, '\t');
		buf_addstr(&text, name);
		buf_addc(&text, '\n');
	}
	return put(bundle_fd, "hosts", &text, e);
}

/* Lines of the host's file that the user's flags replace are left out. */
static void resolv_kept(const struct workload_config *c, struct str text, struct buf *out)
{
	while (text.p && text.n) {
		struct str line = str_cut(text, '\n', &text);

		if ((c->dns_n && str_starts(line, "nameserver")) ||
		    (c->dns_search_n &&
		     (str_starts(line, "search") || str_starts(line, "domain"))) ||
		    (c->dns_options_n && str_starts(line, "options")))
			continue;
		buf_addstr(out, line);
		buf_addc(out, '\n');
	}
}

static int resolv_file(const struct workload_config *c, int bundle_fd, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(2 * HOST_FILE_MAX), host = BUF_INIT(HOST_FILE_MAX);

	/* A machine's own resolver is the one that its network hands on to the host's. */
	if (mode_is(c->network, "host") && mode_is(c->isolation, "microvm")) {
		if (c->dns_n == 0)
			buf_adds(&host, "nameserver 10.0.2.3\n");
	} else {
		host_file("/etc/resolv.conf", &host);
	}
	resolv_kept(c, buf_str(&host), &text);
	for (size_t i = 0; i < c->dns_n; i++)
		buf_addf(&text, "nameserver %s\n", c->dns[i]);
	for (size_t i = 0; i < c->dns_search_n; i++)
		buf_addf(&text, "%s%s%s", i ? " " : "search ", c->dns_search[i],
			 i + 1 == c->dns_search_n ? "\n" : "");
	for (size_t i = 0; i < c->dns_options_n; i++)
		buf_addf(&text, "%s%s%s", i ? " " : "options ", c->dns_options[i],
			 i + 1 == c->dns_options_n ? "\n" : "");
	return put(bundle_fd, "resolv.conf", &text, e);
}

int bundle_files(struct svc *s, const struct workload_record *w, const struct workload_config *c,
		 int bundle_fd, struct arena *a, struct plan_input *in, struct err *e)
{
	auto_buf struct buf name = BUF_INIT(HOST_NAME_MAX + 2);
	char host[HOST_NAME_MAX + 1];

	(void) s;
	if (c->hostname && *c->hostname) {
		in->hostname = c->hostname;
	} else if (mode_is(c->network, "host") || mode_is(c->uts_mode, "host")) {
		if (gethostname(host, sizeof(host)) < 0)
			return err_sys(e, errno, "this machine's name");
		host[sizeof(host) - 1] = '\0';
		in->hostname = arena_strdup(a, host);
	} else {
		in->hostname = arena_dup(a, (struct str){ w->id, WORKLOAD_SHORT_LEN });
	}
	if (!in->hostname)
		return no_memory(e);
	if (c->init) {
		char path[PATH_MAX];
		int r = program_path("atoll-init", path, e);

		if (r < 0)
			return r;
		in->init_path = arena_strdup(a, path);
		if (!in->init_path)
			return no_memory(e);
	}
	buf_addf(&name, "%s\n", in->hostname);
	int r = put(bundle_fd, "hostname", &name, e);
	if (r >= 0)
		r = hosts_file(c, in->hostname, bundle_fd, e);
	return r < 0 ? r : resolv_file(c, bundle_fd, e);
}

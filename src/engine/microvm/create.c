/* SPDX-License-Identifier: Apache-2.0 */
/* Create, start and exec: what is prepared on the host, and what the proxies are asked for. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/kernel.h"
#include "engine/microvm/check.h"
#include "engine/microvm/disks.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/kvm.h"
#include "engine/microvm/machine.h"
#include "engine/microvm/microvm.h"
#include "engine/microvm/monitor.h"
#include "engine/microvm/network.h"
#include "engine/microvm/pod.h"
#include "engine/microvm/proxied.h"
#include "engine/microvm/snapshot.h"
#include "engine/microvm/usernet.h"
#include "fmt/json.h"
#include "proto/agent.h"
#include "sys/fdpass.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define ARENA_MAX    (64u << 20)
#define START_WITHIN (120 * NSEC_PER_SEC)
#define MACHINE_LOG  "machine.log" /* what its programs say */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- what the host has of it ------------------------------------------------------------- */

/*
 * Of the host's limits those that the machine has by its size: memory, and whole processors, as
 * long as it is not made larger to grow. Without a cgroup, which an ordinary user may lack, nothing
 * in the guest gets beyond them all the same.
 */
static void leave_to_machine(struct microvm *m, struct guest *g, struct spec_resources *r)
{
	const struct spec_machine *asked = m->spec->linux_.resources
						   ? m->spec->linux_.resources->machine
						   : NULL;
	const struct spec_cpu *c = r->cpu;
	uint64_t period = c && c->period_set && c->period ? c->period : 100000;

	if (g->memory_max == g->memory)
		r->memory = NULL;
	if (c && c->quota_set && c->quota > 0 && (uint64_t) c->quota % period == 0 &&
	    !c->shares_set && !c->burst_set && !c->idle_set && !c->realtime_period_set &&
	    !c->realtime_runtime_set && !c->cpus && !c->mems && !(asked && asked->cpus_max)) {
		r->cpu = NULL;
		g->cpus_max = m->cpus_max = g->cpus;
	}
}

/* Limits that nobody would enforce are refused, not forgotten. */
static int make_groups(struct microvm *m, const struct bundle *b, const char *path, struct guest *g,
		       struct err *e)
{
	struct groups_options o = {
		.id = m->id,
		.path = path,
		.resources = g->host,
		.systemd = b->systemd_cgroup,
		.spec = b->spec,
		.state_fd = m->state_fd,
		.rootless = b->rootless,
	};
	struct spec_resources left = *g->host;
	int r;

	if (b->no_cgroups && groups_needed(g->host))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.resources: limits need a cgroup, and --cgroup-manager "
			       "disabled leaves the machine without one");
	r = b->no_cgroups ? groups_none(&m->groups, e) : groups_make(&o, &m->groups, e);
	if (r < 0 && e->kind == ERR_DENIED && groups_tolerant(b->rootless)) {
		leave_to_machine(m, g, &left);
		o.resources = &left;
		r = groups_make(&o, &m->groups, e);
	}
	/* Before anything runs in there: whoever cleans up after us finds it. */
	return r < 0 ? r : groups_save(m->groups, m->state_fd, e);
}

static int read_config(struct microvm *m, const struct bundle *b, const struct json **ret_root,
		       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const char *path = b->config_path ? b->config_path : "config.json";
	int r = file_read(b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD, path, &text);

	return r < 0 ? err_sys(e, -r, "read '%.200s'", path)
		     : json_parse(&m->arena, buf_str(&text), ret_root, e);
}

static int text_fd(const struct buf *text, struct err *e)
{
	auto_fd int fd = memfd_create("atoll-spec", MFD_CLOEXEC);
	int r = !buf_ok(text) ? buf_error(text)
		: fd < 0      ? -errno
			      : fd_write_all(fd, text->p, text->n);

	return r < 0 ? err_sys(e, -r, "write the machine's specification") : take_fd(&fd);
}

int microvm_hooks(struct microvm *m, enum spec_hook_kind kind, const char *status, int cwd_fd,
		  struct err *e)
{
	return hooked_run(&m->hooked, m->spec, kind, status, m->in.pid, cwd_fd, e);
}

/* The pty's master (taken) to the console socket, or kept. */
static int give_console(int fd, int console_socket, int *ret_kept, struct err *e)
{
	static const char name[] = "/dev/ptmx"; /* what console sockets are sent by custom */
	int r;

	if (console_socket < 0) {
		*ret_kept = fd;
		return 0;
	}
	r = fdpass_send(console_socket, name, sizeof(name) - 1, &fd, 1);
	(void) close(fd);
	return r < 0 ? err_sys(e, -r, "sending the terminal to the console socket") : 0;
}

static struct proxy_head head_of(enum proxy_type type, const struct spec_process *p,
				 const int stdio[3])
{
	struct proxy_head h = { .type = type, .terminal = p->terminal };

	h.stdin_open = p->terminal || stdio[0] >= 0;
	if (p->terminal && p->console_size) {
		h.rows = p->console_size->height;
		h.cols = p->console_size->width;
	}
	return h;
}

/* ---- create ------------------------------------------------------------------------------ */

struct making {
	struct microvm *m;
	const struct bundle *b;
	struct guest guest;
	struct machine machine;
	struct kernel_files files;
	struct proxied proxy;
	struct network network;
	struct pod_name pod;
	int config_fd, hello_fd, log_fd, kvm_fd, lock_fd; /* owned */
	struct snapshot_source from;
	bool restored;
};

/* NULL: out of memory. The instance is begun with it. */
static struct making *making_new(struct instance *in, const struct bundle *b, const char *id,
				 nsec_t deadline)
{
	struct microvm *m = microvm_of_instance(in);
	struct making *k = calloc(1, sizeof(*k));

	m->spec = b->spec;
	m->arena = ARENA_INIT(ARENA_MAX);
	m->gate_fd = m->state_fd = m->machine_fd = FD_NONE;
	m->id = strdup(id);
	if (!k || !m->id) {
		free(k);
		return NULL;
	}
	k->m = m;
	k->b = b;
	k->proxy = PROXIED_INIT;
	k->network = NETWORK_INIT;
	k->proxy.deadline = deadline;
	k->files = KERNEL_FILES_INIT;
	k->config_fd = k->hello_fd = k->log_fd = k->kvm_fd = k->lock_fd = FD_NONE;
	k->from = SNAPSHOT_SOURCE_INIT;
	return k;
}

static void making_free(struct making *k)
{
	proxied_fini(&k->proxy);
	network_fini(&k->network);
	guest_close(&k->guest);
	kernel_files_fini(&k->files);
	snapshot_source_fini(&k->from);
	close_fd(&k->config_fd);
	close_fd(&k->hello_fd);
	close_fd(&k->log_fd);
	close_fd(&k->kvm_fd);
	close_fd(&k->lock_fd);
	free(k);
}

/* How large the machine is, which of it the guest has at first, and how fast its devices are. */
static int size(struct making *k, struct err *e)
{
	const struct spec_resources *r = k->b->spec->linux_.resources;
	struct guest *g = &k->guest;
	struct microvm *m = k->m;
	long here = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t most = here > 0 && here < MACHINE_CPUS_MAX ? (uint32_t) here : MACHINE_CPUS_MAX;

	/* A processor that nobody uses costs a thread that sleeps; an emulated one makes the others
	 * slower, so it must be asked for. */
	if (!g->cpus_max)
		g->cpus_max = k->machine.emulated ? g->cpus : most;
	if (g->cpus_max < g->cpus)
		g->cpus_max = g->cpus;
	if (g->cpus_max > MACHINE_CPUS_MAX)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm has at most %d processors, not %u", MACHINE_CPUS_MAX,
			       g->cpus_max);
	if (g->disk_fd >= 0)
		(void) rates_add_disk(&g->rates, g->disk_fd);
	if (g->upper_fd >= 0)
		(void) rates_add_disk(&g->rates, g->upper_fd);
	if (r && rates_missing(&g->rates, r) >= 0)
		return err_set(e, ERR_INVALID, ENODEV,
			       "the machine has no disk vd%c to limit: it has %zu",
			       'a' + rates_missing(&g->rates, r) % 26, g->rates.disks_n);
	if (r)
		(void) rates_apply(&g->rates, r);
	m->rates = g->rates;
	m->memory = g->memory_max;
	m->memory_now = g->memory;
	m->cpus = g->cpus;
	m->cpus_max = g->cpus_max;
	return 0;
}

/* A machine does not change its size by going on: what it has beyond its share is in its balloon.
 */
static void as_it_was(struct making *k)
{
	const struct machine_record *was = &k->from.record;
	struct guest *g = &k->guest;

	if (g->cpus <= was->cpus)
		g->cpus_max = was->cpus;
	if (g->memory <= was->memory)
		g->memory_max = was->memory;
}

/* What QEMU's command line does not say. */
static int adjust_qemu(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	uint64_t ignored;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->rates.disks_n; i++)
		if (rates_limit(&m->rates.disks[i].rate))
			r = monitor_limit_disk(m, i, &m->rates.disks[i].rate, k->proxy.deadline, e);
	if (r == 0 && m->memory > m->memory_now)
		r = monitor_balloon(m, m->memory - m->memory_now, false, k->proxy.deadline,
				    &ignored, e);
	return r;
}

/* What the workload becomes in the machine. */
static int prepare_workload(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	auto_buf struct buf text = BUF_INIT(AGENT_TEXT_MAX);
	const struct json *config = NULL;
	int r = guest_plan(&m->arena, m->spec, k->pod.role, &k->guest, e);

	r = r < 0 ? r : guest_open(&k->guest, k->b, e);
	r = r < 0 || k->pod.role == POD_NONE ? r : microvm_pod_name_shares(m, &k->guest, e);
	r = r < 0 ? r : read_config(m, k->b, &config, e);
	if (r < 0)
		return r;
	k->guest.names = k->b->root_upper_fd > 0 && !m->spec->root->readonly;
	guest_config(&text, &k->guest, m->spec, config);
	r = k->config_fd = text_fd(&text, e);
	(void) unlinkat(m->state_fd, PROXY_ENDED, 0); /* of the start before */
	return r < 0 ? r : 0;
}

static int fit(struct making *k, struct err *e)
{
	struct groups_bounds b;

	groups_bounds(k->m->groups, &b);
	return guest_fit(&k->guest, &b, k->machine.emulated ? GUEST_OVERHEAD : GUEST_POD_OWN, e);
}

static int prepare_machine(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	auto_fd int kernels = FD_NONE;
	struct kernel kernel;
	int r = kernels_open(NULL, &kernels, e);

	r = r < 0 ? r : machine_find(&m->arena, kernels, &k->machine, e);
	r = r < 0 || !k->pod.bounded ? r : fit(k, e);
	r = r < 0 || k->machine.emulated ? r : kvm_open(&k->kvm_fd, e);
	if (r == 0 && !k->restored) {
		r = kernel_pick(kernels, NULL, &kernel, e);
		r = r < 0 ? r : kernel_prepare(kernels, &kernel, k->proxy.deadline, &k->files, e);
	}
	if (r == 0 && k->guest.pod == POD_NONE && (!k->restored || k->from.record.root_disk))
		r = disks_use(&k->guest, k->b, k->restored ? NULL : &k->files.record, e);
	if (r < 0)
		return r;
	k->machine.kvm = k->kvm_fd;
	k->machine.kernel = k->files.vmlinux_fd;
	k->machine.initrd = k->files.initramfs_fd;
	k->machine.restore_state = k->from.state_fd;
	k->machine.restore_memory = k->from.memory_fd;
	if (k->restored)
		as_it_was(k);
	r = size(k, e);
	if (r < 0)
		return r;
	m->emulated = k->machine.emulated;
	m->own_disk = k->guest.upper_fd >= 0;
	return 0;
}

/* Its cgroups, and a machine; one that is to have room in them comes after them. */
static int prepare_host(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	int r = m->joins || k->pod.bounded ? 0 : prepare_machine(k, e);

	r = r < 0 ? r : make_groups(m, k->b, m->spec->linux_.cgroups_path, &k->guest, e);
	return r < 0 || !k->pod.bounded ? r : prepare_machine(k, e);
}

static int open_log(struct making *k, struct err *e)
{
	k->log_fd = openat(k->m->machine_fd, MACHINE_LOG,
			   O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return k->log_fd < 0 ? err_sys(e, errno, "open '" MACHINE_LOG "'") : 0;
}

/* The shares and their places, after what is there already. */
static int add_view(const struct making *k, const char **words, int *fds, size_t *words_n,
		    size_t *fds_n, struct err *e)
{
	size_t n = k->guest.shares_n;

	if (n + *fds_n > PROXY_FDS_MAX)
		return err_set(e, ERR_UNSUPPORTED, E2BIG,
			       "a microvm cannot have more than %d shared directories",
			       PROXY_FDS_MAX - 8);
	for (size_t i = 0; i < n; i++) {
		fds[*fds_n + i] = k->guest.shares[i].view_fd;
		/* Where one cannot be cloned the view is the root alone. */
		if (fds[*fds_n + i] < 0) {
			fds[*fds_n] = k->guest.shares[0].fd;
			n = 1;
		} else if (i) {
			words[*words_n + i - 1] = k->guest.shares[i].destination;
		}
	}
	*fds_n += n;
	*words_n += n - 1;
	words[*words_n] = NULL;
	return 0;
}

static int ask_create(struct making *k, const struct proxy_head *h, int *ret_console, struct err *e)
{
	char pids_of[POD_ID_SIZE] = "";
	const char *words[PROXY_FDS_MAX + 4] = { k->m->id, pids_of };
	int fds[PROXY_FDS_MAX] = { k->m->state_fd, k->m->machine_fd, k->config_fd, k->hello_fd };
	size_t words_n = 2, fds_n = h->joins ? 3 : 4;
	int r = k->m->pod_path ? microvm_pod_pids_of(k->m, pids_of, e) : 0;

	r = r < 0 ? r : add_view(k, words, fds, &words_n, &fds_n, e);
	return r < 0 ? r
		     : proxied_ask(&k->proxy, h, words, fds, fds_n, PROXY_CREATED, ret_console, e);
}

static int ask_restore(struct making *k, const struct proxy_head *h, int *ret_console,
		       struct err *e)
{
	const char *hostname = k->m->spec->hostname;
	const char *words[PROXY_FDS_MAX + 4] = { k->m->id, k->from.record.container,
						 hostname ? hostname : "" };
	int fds[PROXY_FDS_MAX] = { k->m->state_fd, k->hello_fd };
	size_t words_n = 3, fds_n = 2;
	int r = add_view(k, words, fds, &words_n, &fds_n, e);

	return r < 0 ? r
		     : proxied_ask(&k->proxy, h, words, fds, fds_n, PROXY_STARTED, ret_console, e);
}

/* Its note; and whether the machine of a snapshot can go on in this one. */
static int compare(struct making *k, struct err *e)
{
	const struct machine_record *was = &k->from.record;
	struct machine_record now;
	int r = snapshot_describe(k->m, &k->guest, &k->network,
				  k->restored ? was->kernel : k->files.record.version, &now, e);

	if (r == 0 && k->restored) {
		now.id = was->id;
		r = machine_record_fits(was, &now, e);
	}
	for (size_t i = 0; r == 0 && k->restored && i < now.shares_n; i++)
		/* An overlay is mounted anew for each start. */
		k->guest.shares[i].copy = i == 0 || now.shares[i].device != was->shares[i].device ||
					  now.shares[i].inode != was->shares[i].inode;
	return r < 0 ? r : snapshot_note(k->m, &now, e);
}

/* The pod's, if it can be had: its interfaces are the machine's already. */
static int find_netns(struct making *k)
{
	const char *path = k->m->spec->linux_.ns[SPEC_NS_NETWORK].path;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : FD_NONE;

	if (fd >= 0 && ns_kind(fd) != CLONE_NEWNET)
		close_fd(&fd);
	k->network.netns = fd < 0 ? FD_NONE : fd;
	return 0;
}

/* The host's network at second hand. */
static int plug(struct making *k, struct err *e)
{
	int fd = FD_NONE, r;

	k->proxy.log_fd = k->log_fd;
	r = usernet_start(&k->proxy, k->b->spec->linux_.resources, &fd, e);
	return r < 0 ? r : network_plug(&k->network, k->m, &k->m->arena, fd, e);
}

/* The namespace, with the proxy in it; then those who fill it have their turn. */
static int find_network(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	struct proxied *p = &k->proxy;
	int r = m->joins ? find_netns(k) : network_open(&k->network, m, e);

	for (size_t i = 0; k->restored && i < k->from.record.cards_n && i < NETWORK_CARDS_MAX; i++)
		k->network.was[i] = k->from.record.cards[i].mac;
	r = r < 0 ? r
		  : proxied_start(p, m->id, k->b->stdio, m->groups, k->network.netns, p->deadline,
				  e);
	if (p->pidfd >= 0) {
		m->in.pid = p->pid;
		m->in.pidfd = take_fd(&p->pidfd);
	}
	r = r < 0 ? r : microvm_hooks(m, SPEC_HOOK_PRESTART, "creating", k->b->bundle_fd, e);
	r = r < 0 ? r : microvm_hooks(m, SPEC_HOOK_CREATE_RUNTIME, "creating", k->b->bundle_fd, e);
	if (r == 0 && k->network.user)
		return plug(k, e);
	return r < 0 || m->joins ? r : network_take(&k->network, m, &m->arena, e);
}

static int start_machine(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	int r = machine_start(&k->machine, &m->arena, &k->proxy, &k->guest, &k->network,
			      m->machine_fd, &k->hello_fd, e);

	return r == 0 && m->emulated ? adjust_qemu(k, e) : r;
}

static int boot(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	struct proxied *p = &k->proxy;
	struct proxy_head h = head_of(k->restored ? PROXY_RESTORE : PROXY_CREATE, m->spec->process,
				      k->b->stdio);
	auto_fd int console = FD_NONE;
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	int r;

	p->log_fd = k->log_fd;
	r = m->pod_path ? 0 : compare(k, e); /* a pod is not kept */
	r = r < 0 || m->joins ? r : start_machine(k, e);
	if (r < 0)
		return r;
	if (m->groups)
		groups_arrived(m->groups);
	r = m->pod_path ? microvm_pod_add_shares(m, &k->guest, p->deadline, e) : 0;
	if (r < 0)
		return r;
	if (m->joins)
		close_fd(&k->lock_fd); /* others may come; it stays for this one */
	h.bound = k->b->bound;
	h.joins = m->joins;
	h.root_disk = k->guest.disk_fd >= 0;
	h.root_upper = k->guest.upper_fd >= 0;
	h.files_only = k->b->files_only;
	r = k->restored ? ask_restore(k, &h, &console, e) : ask_create(k, &h, &console, e);
	if (r < 0)
		return r;
	r = process_ident_fd(m->in.pidfd, m->in.pid, &m->ident, &kind);
	if (r != 1)
		return err_set(e, ERR_INTERNAL, ESRCH, "the machine's proxy has ended");
	return console < 0 ? 0
			   : give_console(take_fd(&console), k->b->console_socket,
					  &m->in.console_fd, e);
}

/* ---- pods -------------------------------------------------------------------------------- */

static int find_pod(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	int r = pod_find(m->spec, &k->pod, e);

	if (r < 0)
		return r;
	if (k->pod.role != POD_NONE && !k->b->pods_path) {
		k->pod = (struct pod_name){ .role = POD_NONE };
		return check_alone(m->spec, e);
	}
	if (k->pod.role == POD_NONE)
		return 0;
	k->pod.id = k->pod.id ? k->pod.id : m->id;
	if (k->restored)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm's pod cannot go on from a snapshot");
	m->joins = k->pod.role == POD_MEMBER;
	if (asprintf(&m->pod_path, "%s/%s", k->b->pods_path, k->pod.id) < 0)
		m->pod_path = NULL;
	close_fd(&m->machine_fd);
	return m->pod_path ? 0 : no_memory(e);
}

/* A cgroup beside the container's, for a machine that is nobody's. NULL: by its id. */
static const char *sibling_cgroup(struct making *k)
{
	const char *path = k->m->spec->linux_.cgroups_path;
	char sep = k->b->systemd_cgroup ? ':' : '/';
	const char *last = path ? strrchr(path, sep) : NULL;

	return last ? arena_printf(&k->m->arena, "%.*s%catoll-%s", (int) (last - path), path, sep,
				   k->pod.id)
		    : NULL;
}

static int boot_holder(struct making *k, struct err *e)
{
	const struct proxy_head h = { .type = PROXY_KEEP };
	struct microvm *m = k->m;
	struct proxied *p = &k->proxy;
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	int r = network_open(&k->network, m, e);

	r = r < 0 ? r
		  : proxied_start(p, m->id, (const int[]){ FD_NONE, FD_NONE, FD_NONE }, m->groups,
				  k->network.netns, p->deadline, e);
	if (r < 0)
		return r;
	m->in.pid = p->pid;
	m->in.pidfd = take_fd(&p->pidfd);
	if (process_ident_fd(m->in.pidfd, m->in.pid, &m->ident, &kind) != 1)
		return err_set(e, ERR_INTERNAL, ESRCH, "the machine's proxy has ended");
	/* Known before it lives on without us. */
	r = network_take(&k->network, m, &m->arena, e);
	r = r < 0 ? r : microvm_save(&m->in, m->state_fd, e);
	p->log_fd = k->log_fd;
	r = r < 0 ? r : start_machine(k, e);
	if (r < 0)
		return r;
	groups_arrived(m->groups);
	return proxied_ask(p, &h, NULL, (const int[]){ m->machine_fd, k->hello_fd }, 2,
			   PROXY_CREATED, NULL, e);
}

static int make_holder(struct making *k, const char *cgroup, struct err *e)
{
	struct microvm *m = k->m;
	int r = guest_plan_pod(&m->arena, m->spec, &k->guest, e);

	r = r < 0 ? r : prepare_machine(k, e);
	r = r < 0 ? r : microvm_pod_note_cgroup(m, cgroup, e);
	r = r < 0 ? r : make_groups(m, k->b, cgroup, &k->guest, e);
	r = r < 0 ? r : microvm_save(&m->in, m->state_fd, e);
	r = r < 0 ? r : open_log(k, e);
	r = r < 0 ? r : boot_holder(k, e);
	if (r < 0)
		return r;
	m->in.state = ENGINE_RUNNING;
	return microvm_save(&m->in, m->state_fd, e);
}

/* A pod without a sandbox: the machine that is there, or one that this container has made. */
static int hold(struct making *k, struct err *e)
{
	struct instance *in = instance_new(&microvm_ops, &k->m->in.caps);
	struct microvm *h = in ? microvm_of_instance(in) : NULL;
	struct making *own = NULL;
	struct err why = {};
	char id[160];
	int r;

	if (!in)
		return no_memory(e);
	if (microvm_load(in, k->m->machine_fd, &why) == 0) {
		if (in->state == ENGINE_RUNNING || in->state == ENGINE_PAUSED) {
			instance_forget(in);
			return 0;
		}
		in->ops->destroy(in); /* it ended under its containers */
	}
	instance_forget(in);
	in = instance_new(&microvm_ops, &k->m->in.caps);
	(void) snprintf(id, sizeof(id), POD_HOLDER "%s", k->pod.id);
	own = in ? making_new(in, k->b, id, k->proxy.deadline) : NULL;
	if (!own) {
		instance_forget(in);
		return no_memory(e);
	}
	h = own->m;
	in->state = ENGINE_CREATING;
	h->state_fd = fcntl(k->m->machine_fd, F_DUPFD_CLOEXEC, 3);
	h->machine_fd = fcntl(k->m->machine_fd, F_DUPFD_CLOEXEC, 3);
	r = h->state_fd < 0 || h->machine_fd < 0 ? err_sys(e, errno, "open the pod's directory")
						 : make_holder(own, sibling_cgroup(k), e);
	making_free(own);
	if (r < 0) {
		in->ops->destroy(in);
		(void) unlinkat(k->m->machine_fd, "instance.json", 0);
		(void) unlinkat(k->m->machine_fd, "cgroups", 0);
		(void) err_ctx(e, "the pod's machine");
	}
	instance_forget(in);
	return r;
}

/* What is there of it is noted before it is there. */
static int enter_pod(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	int r = microvm_save(&m->in, m->state_fd, e);

	r = r < 0 ? r : microvm_pod_enter(m, &k->pod, k->proxy.deadline, &k->lock_fd, e);
	return r < 0 || !m->joins || pod_has_sandbox(m->machine_fd) ? r : hold(k, e);
}

static int make(struct making *k, struct err *e)
{
	struct microvm *m = k->m;
	int r;

	if (k->b->preserve_fds_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm cannot take over open descriptors of the host");
	m->state_fd = k->b->state_fd < 0
			      ? FD_NONE
			      : openat(k->b->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0)
		return err_set(e, ERR_INTERNAL, EBADF, "a microvm needs a state directory");
	m->machine_fd = fcntl(m->state_fd, F_DUPFD_CLOEXEC, 3);
	if (m->machine_fd < 0)
		return err_sys(e, errno, "the state directory");
	r = find_pod(k, e);
	r = r < 0 ? r : prepare_workload(k, e);
	r = r < 0 ? r : prepare_host(k, e);
	r = r < 0 ? r : hooked_begin(&m->hooked, &m->arena, m->id, k->b, e);
	r = r < 0 || k->pod.role == POD_NONE ? r : enter_pod(k, e);
	r = r < 0 || m->joins ? r : open_log(k, e);
	r = r < 0 ? r : find_network(k, e);
	r = r < 0 ? r : boot(k, e);
	return r < 0 ? r : pid_file_write(k->b->pid_file, m->in.pid, e);
}

/* dirfd: of a snapshot that it goes on from; FD_NONE: it boots. */
static int begin(struct instance *in, const struct bundle *b, int dirfd, nsec_t deadline,
		 struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct making *k = making_new(in, b, b->id, deadline);
	int r;

	if (!k)
		return no_memory(e);
	k->restored = dirfd >= 0;
	r = k->restored ? snapshot_source_open(&k->from, dirfd, &m->arena, e) : 0;
	r = r < 0 ? r : make(k, e);
	if (r == 0) {
		if (!k->restored) /* that one has started */
			m->gate_fd = take_fd(&k->proxy.sock);
		m->hooked.poststop_due = m->spec->hooks[SPEC_HOOK_POSTSTOP].n != 0;
	}
	making_free(k);
	return r; /* engine_create destroys what there is */
}

int microvm_create(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e)
{
	return begin(in, b, FD_NONE, deadline, e);
}

int microvm_restore(struct instance *in, const struct bundle *b, int dirfd,
		    const struct snapshot_options *o, struct err *e)
{
	if (o->tcp_close || o->lazy_pages)
		return err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"connections and memory of a machine are as they were: --tcp-close and "
			"--lazy-pages are of containers");
	return begin(in, b, dirfd, clock_deadline(START_WITHIN), e);
}

/* ---- start, exec ------------------------------------------------------------------------- */

int microvm_start(struct instance *in, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	struct proxied p = PROXIED_INIT;
	struct proxy_head h = { .type = PROXY_START };
	int r;

	if (m->gate_fd < 0) /* another process created it: the proxy has a copy of its end */
		m->gate_fd = (int) syscall(SYS_pidfd_getfd, in->pidfd, PROXY_GATE, 0);
	if (m->gate_fd < 0)
		return err_sys(e, errno, "taking over the gate of the machine's proxy");
	p.got = calloc(1, sizeof(*p.got));
	if (!p.got)
		return no_memory(e);
	p.sock = take_fd(&m->gate_fd);
	p.deadline = clock_deadline(START_WITHIN);
	r = proxied_ask(&p, &h, NULL, NULL, 0, PROXY_STARTED, NULL, e);
	proxied_fini(&p);
	if (r < 0)
		return err_ctx(e, "unable to start container process");
	return microvm_hooks(m, SPEC_HOOK_POSTSTART, "running", FD_NONE, e);
}

static int check_exec(const struct instance *in, const struct exec_spec *x, struct err *e)
{
	if (in->state == ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "cannot exec in a paused microvm: nothing in it runs");
	if (x->preserve_fds_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm cannot take over open descriptors of the host");
	if (x->cgroups_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a microvm cannot start a process in a cgroup below its own");
	return 0;
}

int microvm_exec(struct instance *in, const struct exec_spec *x, struct exec *ret, struct err *e)
{
	struct microvm *m = microvm_of_instance(in);
	auto_buf struct buf text = BUF_INIT(AGENT_TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);
	struct proxied p = PROXIED_INIT;
	struct proxy_head h = head_of(PROXY_EXEC, x->process, x->stdio);
	struct exec got = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	auto_fd int process = FD_NONE, console = FD_NONE;
	int r = check_exec(in, x, e);

	if (r < 0)
		return r;
	guest_process(&w, NULL, x->process, m->own_disk);
	r = process = text_fd(&text, e);
	r = r < 0 ? r
		  : proxied_start(&p, m->id, x->stdio, m->groups, FD_NONE,
				  clock_deadline(START_WITHIN), e);
	r = r < 0 ? r
		  : proxied_ask(&p, &h, (const char *const[]){ m->id, NULL },
				(const int[]){ m->machine_fd, process }, 2, PROXY_STARTED, &console,
				e);
	if (r == 0 && console >= 0)
		r = give_console(take_fd(&console), x->console_socket, &got.console_fd, e);
	if (r < 0) {
		proxied_kill(&p);
		proxied_fini(&p);
		return r;
	}
	got.pid = p.pid;
	got.pidfd = take_fd(&p.pidfd);
	proxied_fini(&p);
	*ret = got;
	return 0;
}

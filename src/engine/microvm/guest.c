/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/cpus.h"
#include "engine/container/groups.h"
#include "engine/container/own_kernel.h"
#include "engine/engine.h"
#include "engine/microvm/check.h"
#include "fmt/spec.h"
#include "sys/mount.h"

#define PAGE_2M (UINT64_C(2) << 20)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static bool has_option(const struct spec_mount *m, const char *word)
{
	for (size_t i = 0; i < m->options_n; i++) {
		if (streq(m->options[i], word))
			return true;
	}
	return false;
}

/*
 * A pod's /dev/shm is the machine's own: a file system of memory that all of its containers map,
 * which files of the host could not be.
 */
static bool is_pod_shm(const struct guest *g, const struct spec_mount *m)
{
	return g->pod != POD_NONE && own_kernel_is_bind(m) && streq(m->destination, "/dev/shm");
}

static int plan_shares(struct arena *a, const struct spec *s, struct guest *g, struct err *e)
{
	struct guest_share *v = arena_array(a, s->mounts_n + 1, sizeof(*v));
	size_t n = 1;

	if (!v)
		return no_memory(e);
	v[0] = (struct guest_share){
		.name = GUEST_ROOT, .destination = "/", .fd = FD_NONE, .view_fd = FD_NONE
	};
	v[0].recursive = true;
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];

		if (!own_kernel_is_bind(m) || is_pod_shm(g, m))
			continue;
		v[n] = (struct guest_share){ .name = arena_printf(a, "mount%zu", i),
					     .source = m->source,
					     .destination = m->destination,
					     .read_only = has_option(m, "ro") ||
							  has_option(m, "rro"),
					     .recursive = has_option(m, "rbind"),
					     .nofollow = has_option(m, "src-nofollow"),
					     .fd = FD_NONE,
					     .view_fd = FD_NONE };
		if (!v[n++].name)
			return no_memory(e);
	}
	g->shares = v;
	g->shares_n = n;
	return 0;
}

uint64_t guest_memory_of(int64_t limit)
{
	uint64_t n = ((uint64_t) limit + PAGE_2M - 1) & ~(PAGE_2M - 1);

	return n < GUEST_MEMORY_LEAST ? GUEST_MEMORY_LEAST : n;
}

/* How many a list of processors names; 0: none, or it is not one. */
static uint32_t listed_cpus(const char *list)
{
	uint64_t mask[CPUS_MAX / 64] = {};
	size_t bits = 0;
	uint32_t n = 0;

	if (!list || cpus_parse(list, mask, &bits) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(mask); i++)
		n += (uint32_t) __builtin_popcountll(mask[i]);
	return n;
}

/* No more than can run at once: what a share of the host's time is whole processors of, and no
 * more than it may run on. */
uint32_t guest_cpus_of(const struct spec_cpu *c, uint32_t else_)
{
	uint64_t period = c && c->period_set && c->period ? c->period : 100000;
	uint64_t time = c && c->quota_set && c->quota > 0
				? ((uint64_t) c->quota + period - 1) / period
				: 0;
	uint64_t n = c ? listed_cpus(c->cpus) : 0;

	if (time && (!n || time < n))
		n = time;
	return n == 0 ? else_ : n > GUEST_CPUS_MAX ? GUEST_CPUS_MAX : (uint32_t) n;
}

/*
 * The host's part of the limits: its processors and disks, and the machine's whole memory. The
 * number of processes, devices and the workload's own memory are the guest's.
 */
static int plan_size(struct arena *a, const struct spec *s, struct guest *g, struct err *e)
{
	const struct spec_resources *r = s->linux_.resources;
	const struct spec_memory *mem = r ? r->memory : NULL;
	struct spec_resources *host = arena_alloc(a, sizeof(*host));
	struct spec_memory *limit = arena_alloc(a, sizeof(*limit));

	if (!host || !limit)
		return no_memory(e);
	g->cpus = guest_cpus_of(r ? r->cpu : NULL, 1);
	g->memory = GUEST_MEMORY_DEFAULT;
	if (mem && mem->limit_set && mem->limit > 0) {
		g->memory = guest_memory_of(mem->limit);
		*limit = (struct spec_memory){ .limit = (int64_t) (g->memory + GUEST_OVERHEAD),
					       .limit_set = true };
		host->memory = limit;
	}
	g->memory_max = g->memory;
	if (r && r->machine) {
		if (r->machine->memory_max > g->memory)
			g->memory_max = guest_memory_of((int64_t) r->machine->memory_max);
		g->cpus_max = r->machine->cpus_max;
	}
	if (r) {
		host->cpu = r->cpu;
		host->block_io = r->block_io;
		host->network = r->network;
	}
	g->host = host;
	return 0;
}

/*
 * What the pod's containers may have all in all, as far as the caller knows, and its machine
 * needs something for itself. Their own limits are the guest's cgroups'.
 */
int guest_plan_pod(struct arena *a, const struct spec *s, struct guest *ret_g, struct err *e)
{
	struct guest g = { .disk_fd = FD_NONE, .upper_fd = FD_NONE, .pod = POD_SANDBOX };
	struct spec_resources *host = arena_alloc(a, sizeof(*host));
	struct spec_memory *limit = arena_alloc(a, sizeof(*limit));
	struct spec_cpu *cpu = arena_alloc(a, sizeof(*cpu));
	struct pod_size p = {};
	uint64_t cpus = 0, own = 0;
	int r = pod_size(s, &p, e);

	r = r < 0 ? r
		  : pod_number(s, "io.katacontainers.config.hypervisor.default_vcpus",
			       GUEST_CPUS_MAX, &cpus, e);
	r = r < 0 ? r
		  : pod_number(s, "io.katacontainers.config.hypervisor.default_memory", 1u << 24,
			       &own, e);
	if (r < 0)
		return r;
	if (!host || !limit || !cpu)
		return no_memory(e);
	if (p.quota && (p.quota + p.period - 1) / p.period > cpus)
		cpus = (p.quota + p.period - 1) / p.period;
	g.cpus = (uint32_t) (cpus > GUEST_CPUS_MAX ? GUEST_CPUS_MAX : cpus ? cpus : 1);
	own = own ? own << 20 : p.memory ? GUEST_POD_OWN : GUEST_MEMORY_DEFAULT;
	g.memory = (p.memory + own + PAGE_2M - 1) & ~(PAGE_2M - 1);
	g.memory = g.memory < GUEST_MEMORY_LEAST ? GUEST_MEMORY_LEAST : g.memory;
	g.memory_max = g.memory;
	if (p.memory) {
		*limit = (struct spec_memory){ .limit = (int64_t) (g.memory + GUEST_OVERHEAD),
					       .limit_set = true };
		host->memory = limit;
	}
	cpu->quota = (int64_t) p.quota;
	cpu->quota_set = p.quota != 0;
	cpu->period = p.period;
	cpu->period_set = p.quota != 0;
	cpu->shares = p.shares;
	cpu->shares_set = p.shares != 0;
	if (p.quota || p.shares)
		host->cpu = cpu;
	g.host = host;
	*ret_g = g;
	return 0;
}

int guest_fit(struct guest *g, const struct groups_bounds *b, uint64_t own, struct err *e)
{
	uint64_t cpus = b->quota ? (b->quota + b->period - 1) / b->period : 0;

	if (cpus)
		g->cpus = (uint32_t) (cpus > GUEST_CPUS_MAX ? GUEST_CPUS_MAX : cpus);
	if (!b->memory)
		return 0;
	if (b->memory < GUEST_MEMORY_LEAST + own)
		return err_set(e, ERR_INVALID, ENOMEM,
			       "a pod with %llu MiB of memory is too small for a microvm, which "
			       "needs %llu MiB",
			       (unsigned long long) b->memory >> 20,
			       (unsigned long long) (GUEST_MEMORY_LEAST + own) >> 20);
	g->memory = g->memory_max = (b->memory - own) & ~(PAGE_2M - 1);
	return 0;
}

int guest_plan(struct arena *a, const struct spec *s, enum pod_role pod, struct guest *ret_g,
	       struct err *e)
{
	struct guest g = { .disk_fd = FD_NONE, .upper_fd = FD_NONE, .pod = pod };
	int r = pod == POD_NONE ? plan_size(a, s, &g, e) : guest_plan_pod(a, s, &g, e);

	g.pod = pod;
	if (r == 0 && pod == POD_MEMBER) { /* of the host it has but its proxies */
		g.host = arena_alloc(a, sizeof(*g.host));
		r = g.host ? 0 : no_memory(e);
	}
	r = r < 0 ? r : plan_shares(a, s, &g, e);
	if (r == 0)
		*ret_g = g;
	return r;
}

static int open_one(struct guest_share *s, const struct bundle *b, struct err *e)
{
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	const char *path = s->source ? s->source : b->spec->root->path;
	auto_fd int at = FD_NONE;
	struct statx stx = {};
	struct stat st;
	int r;

	if (!s->source && b->root_fd >= 0)
		at = fcntl(b->root_fd, F_DUPFD_CLOEXEC, 3);
	else
		at = openat(from, path, O_PATH | O_CLOEXEC | (s->nofollow ? O_NOFOLLOW : 0));
	if (at < 0 || fstat(at, &st) < 0)
		return err_sys(e, errno, "%s '%.200s' (for '%.100s')",
			       s->source ? "mount source" : "root file system", path,
			       s->destination);
	if (!s->source && !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR, "root file system '%.200s': no directory",
			       path);
	r = s->source ? check_source(at, s->source, e) : 0;
	if (r < 0)
		return r;
	r = mount_clone(at, "", s->recursive);
	s->view_fd = r < 0 ? FD_NONE : r;
	/* With all below it or without: as a bind would have it. A detached mount before Linux 6.15
	 * and a user without the right to clone: as it is. */
	r = mount_clone(at, "", s->recursive);
	if (statx(at, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &stx) == 0)
		s->mount = stx.stx_mnt_id;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->cloned = r >= 0;
	s->fd = r < 0 ? take_fd(&at) : r;
	return 0;
}

int guest_open(struct guest *g, const struct bundle *b, struct err *e)
{
	for (size_t i = 0; i < g->shares_n; i++) {
		int r = open_one(&g->shares[i], b, e);

		if (r < 0)
			return r;
	}
	return 0;
}

void guest_close(struct guest *g)
{
	for (size_t i = 0; i < g->shares_n; i++) {
		close_fd(&g->shares[i].fd);
		close_fd(&g->shares[i].view_fd);
	}
}

/* ---- config.json ------------------------------------------------------------------------- */

static void write_mounts(struct json_writer *w, const struct guest *g, const struct spec *s)
{
	size_t share = 1;

	json_w_array(w, "mounts");
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];
		char path[128];

		json_w_object(w, NULL);
		json_w_string(w, "destination", m->destination);
		if (m->type)
			json_w_string(w, "type", m->type);
		if (is_pod_shm(g, m)) {
			json_w_string(w, "source", "/dev/shm");
		} else if (own_kernel_is_bind(m)) {
			(void) snprintf(path, sizeof(path), GUEST_SHARES "/%s",
					g->shares[share++].name);
			json_w_string(w, "source", path);
		} else if (m->source) {
			json_w_string(w, "source", m->source);
		}
		json_w_array(w, "options");
		for (size_t k = 0; k < m->options_n; k++) {
			if (!streq(m->options[k], "src-nofollow"))
				json_w_string(w, NULL, m->options[k]);
		}
		json_w_end(w);
		json_w_end(w);
	}
	json_w_end(w);
}

/*
 * Those of the container in the guest. The agent leaves out the network's: the machine's is its. A
 * pod is the machine, so that its ipc and names are those, too.
 */
static void write_namespaces(struct json_writer *w, const struct guest *g, const struct spec *s)
{
	json_w_array(w, "namespaces");
	for (int t = 0; t < SPEC_NS_N_; t++) {
		if (!s->linux_.ns[t].present && t != SPEC_NS_CGROUP && t != SPEC_NS_NETWORK)
			continue;
		if (g->pod != POD_NONE && (t == SPEC_NS_IPC || t == SPEC_NS_UTS))
			continue;
		json_w_object(w, NULL);
		json_w_string(w, "type", spec_ns_name((enum spec_ns_type) t));
		json_w_end(w);
	}
	json_w_end(w);
}

void guest_cpu(struct json_writer *w, const struct spec_cpu *c)
{
	json_w_object(w, "cpu");
	if (c->shares_set)
		json_w_u64(w, "shares", c->shares);
	if (c->quota_set)
		json_w_i64(w, "quota", c->quota);
	if (c->period_set)
		json_w_u64(w, "period", c->period);
	if (c->burst_set)
		json_w_u64(w, "burst", c->burst);
	if (c->idle_set)
		json_w_i64(w, "idle", c->idle);
	json_w_end(w);
}

static void write_resources(struct json_writer *w, const struct guest *g,
			    const struct spec_resources *r, const struct json *given)
{
	static const char *const same[] = { "devices", "pids", "unified" };

	json_w_object(w, "resources");
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		const struct json *v = json_get(given, same[i]);

		if (v)
			json_w_value(w, same[i], v);
	}
	if (r->memory && r->memory->limit_set && r->memory->limit > 0) {
		json_w_object(w, "memory");
		json_w_i64(w, "limit", r->memory->limit);
		json_w_end(w);
	}
	if (r->cpu && g->pod != POD_NONE)
		guest_cpu(w, r->cpu);
	json_w_end(w);
}

static void write_linux(struct json_writer *w, const struct guest *g, const struct spec *s,
			const struct json *given)
{
	static const char *const same[] = { "sysctl",	   "devices",	    "seccomp",
					    "maskedPaths", "readonlyPaths", "personality",
					    "timeOffsets", "uidMappings",   "gidMappings" };

	json_w_object(w, "linux");
	write_namespaces(w, g, s);
	if (s->linux_.resources)
		write_resources(w, g, s->linux_.resources, json_get(given, "resources"));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		const struct json *v = json_get(given, same[i]);

		if (v)
			json_w_value(w, same[i], v);
	}
	json_w_end(w);
}

static void write_annotations(struct json_writer *w, const struct spec *s)
{
	json_w_object(w, "annotations");
	for (size_t i = 0; i < s->annotations_n; i++) {
		/* Of hooks and receivers on the host. */
		if (strncmp(s->annotations[i].key, "run.oci.hooks.", 14) != 0 &&
		    !streq(s->annotations[i].key, "run.oci.pidfd_receiver"))
			json_w_string(w, s->annotations[i].key, s->annotations[i].value);
	}
	json_w_end(w);
}

/* Programs of the container; the others are the host's. */
static void write_hooks(struct json_writer *w, const struct json *given)
{
	const char *name = spec_hook_name(SPEC_HOOK_START_CONTAINER);
	const struct json *list = given ? json_get(given, name) : NULL;

	if (!list)
		return;
	json_w_object(w, "hooks");
	json_w_value(w, name, list);
	json_w_end(w);
}

void guest_process(struct json_writer *w, const char *key, const struct spec_process *p, bool names)
{
	struct spec_process inside = *p;

	if (!names) {
		inside.user.username = NULL;
		inside.user.group_names_n = 0;
	}
	/* The host's security modules know nothing of processes in there. */
	inside.apparmor_profile = NULL;
	inside.selinux_label = NULL;
	spec_process_write(w, key, &inside);
}

void guest_config(struct buf *out, const struct guest *g, const struct spec *s,
		  const struct json *config)
{
	struct json_writer w = JSON_WRITER(out);
	char root[128];

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", s->oci_version ? s->oci_version : "1.0.0");
	guest_process(&w, "process", s->process, g->names);
	json_w_object(&w, "root");
	(void) snprintf(root, sizeof(root), GUEST_SHARES "/%s", g->shares[0].name);
	json_w_string(&w, "path", root);
	json_w_bool(&w, "readonly", s->root->readonly);
	json_w_end(&w);
	if (s->hostname)
		json_w_string(&w, "hostname", s->hostname);
	if (s->domainname)
		json_w_string(&w, "domainname", s->domainname);
	write_mounts(&w, g, s);
	if (s->annotations_n)
		write_annotations(&w, s);
	write_hooks(&w, json_get(config, "hooks"));
	write_linux(&w, g, s, json_get(config, "linux"));
	json_w_end(&w);
}

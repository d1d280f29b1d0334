/* SPDX-License-Identifier: Apache-2.0 */
/* info, df and prune; repair is a file of its own. */
#include "svc/system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/host.h"
#include "svc/heal.h"
#include "svc/image.h"
#include "svc/snapshot.h"
#include "svc/volume.h"
#include "sys/caps.h"
#include "sys/tree.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* PRETTY_NAME of os-release(5), without its quotes. */
static const char *os_name(struct arena *a)
{
	static const char key[] = "PRETTY_NAME=";
	auto_buf struct buf text = BUF_INIT(64u << 10);
	struct str rest, line;

	if (file_read(AT_FDCWD, "/etc/os-release", &text) < 0)
		return "Linux";
	for (rest = buf_str(&text); rest.n;) {
		line = str_cut(rest, '\n', &rest);
		if (!str_starts(line, key))
			continue;
		line.p += sizeof(key) - 1;
		line.n -= sizeof(key) - 1;
		if (line.n >= 2 && line.p[0] == '"' && line.p[line.n - 1] == '"')
			line = (struct str){ line.p + 1, line.n - 2 };
		return arena_dup(a, line);
	}
	return "Linux";
}

static int add_text(struct arena *a, const char ***list, size_t *n, const char *text, struct err *e)
{
	const char **slot = arena_push(a, list, n, sizeof(*slot));

	if (!slot)
		return no_memory(e);
	*slot = text;
	return 0;
}

static int find_engines(const struct host *h, struct arena *a, struct system_info *ret,
			struct err *e)
{
	for (size_t i = 0; engine_table[i]; i++) {
		struct engine_caps caps = { .usable = false };
		struct system_engine *engine = arena_push(a, &ret->engines, &ret->engines_n,
							  sizeof(*engine));
		struct err why;

		if (!engine)
			return no_memory(e);
		engine->name = engine_table[i]->name;
		if (engine_table[i]->probe(h, &caps, &why) < 0)
			engine->why = arena_strdup(a, why.msg);
		else if (!caps.usable)
			engine->why = arena_strdup(a, caps.why);
		engine->usable = caps.usable;
		engine->emulated = caps.emulated;
	}
	return 0;
}

static int find_warnings(const struct host *h, struct arena *a, struct system_info *ret,
			 struct err *e)
{
	uint64_t bounding;
	int r = caps_bounding(&bounding);

	if (r < 0)
		return err_sys(e, -r, "the bounding set of capabilities");
	if (h->cgroups == HOST_CGROUPS_NONE)
		r = add_text(a, &ret->warnings, &ret->warnings_n,
			     "no control groups are mounted: resources cannot be limited", e);
	/* CAP_SYS_RESOURCE. */
	if (r >= 0 && !(bounding & (UINT64_C(1) << 24)))
		r = add_text(a, &ret->warnings, &ret->warnings_n,
			     "no CAP_SYS_RESOURCE: rlimits cannot be raised and oom_score_adj "
			     "cannot be lowered",
			     e);
	if (r >= 0 && access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0)
		r = add_text(a, &ret->security, &ret->security_n, "seccomp", e);
	if (r >= 0 && access("/sys/kernel/security/apparmor", F_OK) == 0)
		r = add_text(a, &ret->security, &ret->security_n, "apparmor", e);
	return r;
}

static int count(struct svc *s, struct system_info *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(256u << 20);
	struct workload_records workloads;
	struct volume_records volumes;
	struct store_image *images = NULL;
	size_t images_n = 0;
	int r = heal_list(s, 0, &a, &workloads, e);

	if (r >= 0)
		r = store_volume_list(s->store, &a, &volumes, e);
	if (r >= 0)
		r = store_image_list(s->store, &a, &images, &images_n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < workloads.n; i++) {
		switch (workloads.v[i].status.state) {
		case WORKLOAD_RUNNING:
		case WORKLOAD_RESTARTING:
			ret->running++;
			break;
		case WORKLOAD_PAUSED:
			ret->paused++;
			break;
		case WORKLOAD_CREATED:
		case WORKLOAD_EXITED:
		case WORKLOAD_REMOVING:
		case WORKLOAD_DEAD:
			ret->stopped++;
			break;
		}
	}
	ret->workloads = (uint32_t) workloads.n;
	ret->volumes = (uint32_t) volumes.n;
	ret->images = (uint32_t) images_n;
	return 0;
}

int system_info(struct svc *s, struct arena *a, struct system_info *ret, struct err *e)
{
	struct system_info info = { .version = ATOLL_VERSION };
	struct utsname u;
	struct sysinfo memory;
	struct host h;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r = host_probe(&h, e);

	if (r < 0)
		return r;
	if (uname(&u) < 0 || sysinfo(&memory) < 0)
		return err_sys(e, errno, "look at this machine");
	info.kernel = arena_strdup(a, u.release);
	info.architecture = arena_strdup(a, u.machine);
	info.hostname = arena_strdup(a, u.nodename);
	info.os = os_name(a);
	info.root = arena_strdup(a, s->paths.root);
	info.state = arena_strdup(a, s->paths.state);
	info.cgroup = host_cgroups_name(h.cgroups);
	info.cpus = cpus > 0 ? (uint32_t) cpus : 1;
	info.memory = (uint64_t) memory.totalram * memory.mem_unit;
	if (!info.kernel || !info.architecture || !info.hostname || !info.os || !info.root ||
	    !info.state)
		return no_memory(e);
	r = find_engines(&h, a, &info, e);
	if (r >= 0)
		r = find_warnings(&h, a, &info, e);
	if (r >= 0)
		r = count(s, &info, e);
	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

static int df_images(struct svc *s, struct system_usage *ret, struct err *e)
{
	struct svc_image_filter all = { .all = true };
	struct svc_image_list list;
	int r = svc_image_list(s, &all, &list, e);

	if (r < 0)
		return r;
	ret->bytes = list.layers_size;
	for (size_t i = 0; i < list.n; i++) {
		ret->total++;
		if (list.items[i].containers)
			ret->active++;
		else
			ret->reclaimable += list.items[i].unique_size;
	}
	svc_image_list_fini(&list);
	return 0;
}

static int df_workloads(struct svc *s, struct arena *a, struct system_usage *ret, struct err *e)
{
	struct workload_filter all = { .all = true, .size = true };
	struct workload_infos list;
	int r = workload_ps(s, &all, a, &list, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		uint64_t bytes = list.v[i].size_rw > 0 ? (uint64_t) list.v[i].size_rw : 0;

		ret->total++;
		ret->bytes += bytes;
		if (list.v[i].record.status.shim_pid)
			ret->active++;
		else
			ret->reclaimable += bytes;
	}
	return 0;
}

static int df_volumes(struct svc *s, struct arena *a, struct system_usage *ret, struct err *e)
{
	auto_fd int dir = open(paths_volumes(&s->paths).z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct volume_records list;
	int r = store_volume_list(s->store, a, &list, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		uint64_t bytes = 0;

		if (tree_size(dir, list.v[i].name, &bytes) < 0)
			bytes = 0; /* never mounted yet, or going */
		ret->total++;
		ret->bytes += bytes;
		if (list.v[i].users)
			ret->active++;
		else
			ret->reclaimable += bytes;
	}
	return 0;
}

static int df_snapshots(struct svc *s, struct arena *a, struct system_usage *ret, struct err *e)
{
	struct snapshot_infos list;
	int r = snapshot_ls(s, a, &list, e);

	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		ret->total++;
		ret->bytes += list.v[i].bytes;
		ret->reclaimable += list.v[i].bytes; /* none is needed by what runs */
	}
	return r;
}

/* Caches: entries below a directory that may not be there. Whatever is needed is made again. */
static void df_cache(const char *path, struct system_usage *ret)
{
	auto_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *d = dir < 0 ? NULL : dir_open(dir, ".");

	for (struct dirent *de; d && (de = dir_next(d));) {
		uint64_t bytes = 0;

		if (de->d_name[0] == '.' || tree_size(dir, de->d_name, &bytes) < 0)
			continue;
		ret->total++;
		ret->bytes += bytes;
		ret->reclaimable += bytes;
	}
}

int system_df(struct svc *s, struct arena *a, struct system_df *ret, struct err *e)
{
	struct system_df df = {
		.images = { .type = "Images" },
		.workloads = { .type = "Containers" },
		.volumes = { .type = "Local Volumes" },
		.snapshots = { .type = "Snapshots" },
		.disks = { .type = "Image Disks" },
		.kernels = { .type = "Kernels" },
	};
	int r = svc_store(s, e);

	if (r >= 0)
		r = df_images(s, &df.images, e);
	if (r >= 0)
		r = df_workloads(s, a, &df.workloads, e);
	if (r >= 0)
		r = df_volumes(s, a, &df.volumes, e);
	if (r >= 0)
		r = df_snapshots(s, a, &df.snapshots, e);
	if (r < 0)
		return r;
	df_cache(paths_disks(&s->paths).z, &df.disks);
	df_cache(paths_kernels(&s->paths).z, &df.kernels);
	*ret = df;
	return 0;
}

/* Names and sizes of removed images, as a prune has them. */
static int prune_images(struct svc *s, const struct system_prune_options *o, struct arena *a,
			struct prune_result *ret, struct err *e)
{
	struct svc_image_filter filter = { .all = true };
	struct svc_image_removed removed;
	int r = svc_image_prune(s, o->all, &filter, &removed, e);

	if (r < 0)
		return r;
	for (size_t i = 0; r >= 0 && i < removed.n; i++) {
		char *line = arena_printf(a, "%s: %s",
					  removed.items[i].deleted ? "deleted" : "untagged",
					  removed.items[i].what);

		r = line ? add_text(a, &ret->names, &ret->n, line, e) : no_memory(e);
	}
	ret->bytes = removed.reclaimed;
	svc_image_removed_fini(&removed);
	return r;
}

int system_prune(struct svc *s, const struct system_prune_options *o, struct arena *a,
		 struct system_prune *ret, struct err *e)
{
	struct system_prune got = {};
	/* Workloads first: what they held is unused then. */
	int r = workload_prune(s, o->filters, o->filters_n, a, &got.workloads, e);

	if (r >= 0 && o->volumes)
		r = volume_prune(s, false, NULL, 0, a, &got.volumes, e);
	if (r >= 0)
		r = prune_images(s, o, a, &got.images, e);
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}

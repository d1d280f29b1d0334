/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dump by CRIU. Its own part of the work ends at what came into the container from outside:
 * sources of binds, cgroups, device nodes, joined namespaces, the streams. Those are found here
 * where they are now (mountinfo, by mount id: the container may have moved names about), named to
 * CRIU as external, and written down beside its images for the restore.
 */
#include "engine/container/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "engine/container/container.h"
#include "engine/container/criu.h"
#include "engine/container/groups.h"
#include "engine/container/groups_limits.h"
#include "engine/container/options.h"
#include "fmt/mountinfo.h"
#include "fmt/snapshot.h"
#include "fmt/spec.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/pidfd.h"

#define DUMP_ARENA_MAX (128u << 20)
#define CRIU_LOG_LEVEL 4
#define DUMP_LOG       "dump.log"
#define CONFIG_KEY     "org.criu.config"
#define CRUN_CONFIG    "/etc/criu/crun.conf"
#define RUNC_CONFIG    "/etc/criu/runc.conf"
#define ENDED_WITHIN   (30 * NSEC_PER_SEC)

struct dump {
	struct criu_session session;
	struct container *c;
	const struct snapshot_options *o;
	struct arena arena;
	int dirfd;   /* borrowed: of the images */
	int proc_fd; /* owned: /proc/PID of the init */
	int root_fd; /* owned: its root */
	int status_fd;
	const struct mountinfo *mounts;
	size_t mounts_n;
	const struct snapshot_mount **from; /* by index in mounts; NULL: not from outside */
	bool *inner;			    /* made by the engine in the container */
	struct snapshot snap;
	struct criu_pair *keys;
	size_t keys_n;
	const char **externals;
	size_t externals_n;
	const char *links[SNAPSHOT_STREAMS];
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

void snapshot_request(struct criu_request *q, const struct snapshot_options *o)
{
	static const enum criu_cgroups cgroups[] = {
		[SNAPSHOT_CGROUPS_OWN] = CRIU_CGROUPS_IGNORE,
		[SNAPSHOT_CGROUPS_SOFT] = CRIU_CGROUPS_SOFT,
		[SNAPSHOT_CGROUPS_FULL] = CRIU_CGROUPS_FULL,
		[SNAPSHOT_CGROUPS_STRICT] = CRIU_CGROUPS_STRICT,
	};
	static const enum criu_network_lock locks[] = {
		[SNAPSHOT_LOCK_DEFAULT] = CRIU_NETWORK_LOCK_NONE,
		[SNAPSHOT_LOCK_IPTABLES] = CRIU_NETWORK_LOCK_IPTABLES,
		[SNAPSHOT_LOCK_NFTABLES] = CRIU_NETWORK_LOCK_NFTABLES,
		[SNAPSHOT_LOCK_SKIP] = CRIU_NETWORK_LOCK_SKIP,
	};
	const char *config = o->spec ? spec_annotation(o->spec, CONFIG_KEY) : NULL;

	q->has_opts = true;
	q->notify_scripts = true;
	q->orphan_pts_master = true;
	q->log_level = CRIU_LOG_LEVEL;
	q->work_dir_fd = o->work_fd;
	q->cgroups = cgroups[o->cgroups];
	q->network_lock = locks[o->lock];
	q->tcp_established = o->tcp_established;
	q->tcp_close = o->tcp_close;
	q->tcp_skip_in_flight = o->tcp_skip_in_flight;
	q->ext_unix_sk = o->ext_unix_sk;
	q->shell_job = o->shell_job;
	q->file_locks = o->file_locks;
	q->auto_dedup = o->auto_dedup;
	q->link_remap = o->link_remap;
	q->lazy_pages = o->lazy_pages;
	/*
	 * A network namespace of the container's own is made by the engine, as at its start; what
	 * else is in it belongs to who put it there.
	 */
	q->empty_ns = CLONE_NEWNET;
	/* The file that the annotation names; empty: none; without it runc's and crun's own. */
	if (!config)
		q->config_file = access(CRUN_CONFIG, F_OK) == 0 ? CRUN_CONFIG : RUNC_CONFIG;
	else if (config[0])
		q->config_file = config;
}

int container_can_snapshot(const char *program, struct err *e)
{
	int version;

	return criu_usable(program, &version, e);
}

/* ---- mounts ------------------------------------------------------------------------------- */

static int open_container(struct dump *d, struct err *e)
{
	const struct container *c = d->c;
	auto_buf struct buf text = BUF_INIT(MOUNTINFO_MAX);
	char path[32];
	int r;

	(void) snprintf(path, sizeof(path), "/proc/%d", (int) c->in.pid);
	d->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* The pid is still the container's: the pidfd says so after it was opened. */
	if (d->proc_fd < 0 || pidfd_kill(c->in.pidfd, 0) < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	d->root_fd = openat(d->proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (d->root_fd < 0)
		return err_sys(e, errno, "the container's root");
	r = file_read(d->proc_fd, "mountinfo", &text);
	r = r < 0 ? r : mountinfo_parse(&d->arena, buf_str(&text), &d->mounts, &d->mounts_n);
	if (r < 0)
		return err_sys(e, -r, "the container's mounts");
	d->from = arena_array(&d->arena, d->mounts_n + 1, sizeof(*d->from));
	d->inner = arena_array(&d->arena, d->mounts_n + 1, sizeof(*d->inner));
	return d->from && d->inner ? 0 : no_memory(e);
}

/* The index of the mount that (root, path) is the top of; -1: none is there any more. */
static ssize_t mount_at(const struct dump *d, const char *path)
{
	auto_fd int fd = path_open_in(d->root_fd, path, O_PATH, 0);
	uint64_t id;
	bool top;

	if (fd < 0 || mount_id(fd, &id, &top) < 0 || !top)
		return -1;
	for (size_t i = 0; i < d->mounts_n; i++) {
		if (d->mounts[i].id == id)
			return (ssize_t) i;
	}
	return -1;
}

static int add_mount(struct dump *d, size_t i, const char *source, const char *below, struct err *e)
{
	struct snapshot_mount *m;
	struct criu_pair *k;

	if (d->from[i])
		return 0;
	m = arena_alloc(&d->arena, sizeof(*m));
	k = arena_push(&d->arena, &d->keys, &d->keys_n, sizeof(*k));
	if (!m || !k)
		return no_memory(e);
	*m = (struct snapshot_mount){ .at = d->mounts[i].at, .source = source, .below = below };
	*k = (struct criu_pair){ .key = m->at, .value = m->at };
	d->from[i] = m;
	return 0;
}

static bool is_cgroup(const struct mountinfo *m)
{
	return streq(m->fstype, "cgroup") || streq(m->fstype, "cgroup2");
}

static int spec_mounts(struct dump *d, struct err *e)
{
	const struct spec *s = d->o->spec;

	for (size_t k = 0; k < s->mounts_n; k++) {
		struct mount_words words;
		ssize_t i;
		int r = mount_words_parse(&d->arena, &s->mounts[k], &words, e);

		if (r < 0)
			return r;
		i = mount_at(d, s->mounts[k].destination);
		if (i < 0)
			continue;
		if (!words.bind && !is_cgroup(&d->mounts[i])) {
			d->inner[i] = true;
			continue;
		}
		r = words.bind ? add_mount(d, (size_t) i, s->mounts[k].destination, "", e)
			       : add_mount(d, (size_t) i, SNAPSHOT_FROM_CGROUP, "", e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What the engine mounts beside the spec: cgroups in a tmpfs, and nodes: masks and devices. */
static int own_mounts(struct dump *d, struct err *e)
{
	for (size_t i = 0; i < d->mounts_n; i++) {
		const struct mountinfo *m = &d->mounts[i];
		const char *name = strrchr(m->at, '/');
		auto_fd int fd = FD_NONE;
		struct stat st;
		char *text;
		int r = 0;

		if (d->from[i] || streq(m->fstype, "devpts") || !name)
			continue;
		if (is_cgroup(m)) {
			r = add_mount(d, i, SNAPSHOT_FROM_CGROUP, name + 1, e);
			if (r < 0)
				return r;
			continue;
		}
		/* Only mounts of single files can be nodes: the others need not be looked at. */
		if (m->root[0] != '/' || !m->root[1] || mount_at(d, m->at) != (ssize_t) i)
			continue;
		fd = path_open_in(d->root_fd, m->at, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
			continue;
		text = arena_printf(&d->arena, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
		r = text ? add_mount(d, i, SNAPSHOT_FROM_DEVICE, text, e) : no_memory(e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Mounts that came along with a recursive bind are below its source, too. */
static int carried_mounts(struct dump *d, struct err *e)
{
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < d->mounts_n; i++) {
			const struct mountinfo *m = &d->mounts[i], *parent;
			const struct snapshot_mount *from;
			size_t n;
			char *below;
			int r;

			if (d->from[i] || d->inner[i])
				continue;
			parent = mountinfo_find(d->mounts, d->mounts_n, m->parent);
			from = parent ? d->from[parent - d->mounts] : NULL;
			n = parent ? strlen(parent->at) : 0;
			if (!from || streq(from->source, SNAPSHOT_FROM_CGROUP) ||
			    strncmp(m->at, parent->at, n) != 0 || m->at[n] != '/')
				continue;
			below = arena_printf(&d->arena, "%s%s%s", from->below,
					     from->below[0] ? "/" : "", m->at + n + 1);
			r = below ? add_mount(d, i, from->source, below, e) : no_memory(e);
			if (r < 0)
				return r;
			more = true;
		}
	}
	return 0;
}

static int collect_mounts(struct dump *d, struct err *e)
{
	int r = spec_mounts(d, e);

	r = r < 0 ? r : own_mounts(d, e);
	r = r < 0 ? r : carried_mounts(d, e);
	for (size_t i = 0; r == 0 && i < d->mounts_n; i++) {
		struct snapshot_mount *m;

		if (!d->from[i])
			continue;
		m = arena_push(&d->arena, &d->snap.mounts, &d->snap.mounts_n, sizeof(*m));
		if (!m)
			return no_memory(e);
		*m = *d->from[i];
	}
	return r;
}

/* Which cgroups it had: restored into the same ones, what is below them needs no new names. */
static int collect_groups(struct dump *d, struct err *e)
{
	const struct groups *g = d->c->groups;

	for (size_t i = 0; g && i < g->n; i++) {
		struct snapshot_group *s;

		if (g->at[i].dir_fd < 0)
			continue;
		s = arena_push(&d->arena, &d->snap.groups, &d->snap.groups_n, sizeof(*s));
		if (!s)
			return no_memory(e);
		*s = (struct snapshot_group){ .name = g->at[i].name, .path = g->at[i].path };
	}
	return 0;
}

/* ---- streams and namespaces --------------------------------------------------------------- */

static int add_external(struct dump *d, const char *text, struct err *e)
{
	const char **slot =
		text ? arena_push(&d->arena, &d->externals, &d->externals_n, sizeof(*slot)) : NULL;

	if (!slot)
		return no_memory(e);
	*slot = text;
	return 0;
}

static int mount_of_fd(const struct dump *d, int n, uint64_t *ret_id)
{
	auto_buf struct buf text = BUF_INIT(64u << 10);
	char path[32];
	int r;

	(void) snprintf(path, sizeof(path), "fdinfo/%d", n);
	r = file_read(d->proc_fd, path, &text);
	for (struct str rest = buf_str(&text); r == 0 && rest.p && rest.n > 0;) {
		struct str value, key = str_cut(str_cut(rest, '\n', &rest), ':', &value);

		if (str_is(key, "mnt_id") && value.p)
			return num_parse_u64(str_trim(value), 0, UINT64_MAX, ret_id);
	}
	return r < 0 ? r : -ENOENT;
}

/* One of 0, 1, 2: a pipe, or a file or device that is not in the container: handed over anew. */
static int stream(struct dump *d, int n, const char **ret_key, struct err *e)
{
	char path[32], link[4096];
	struct stat st;
	uint64_t id;
	char *key;
	ssize_t len;

	*ret_key = "";
	d->links[n] = "/dev/null";
	(void) snprintf(path, sizeof(path), "fd/%d", n);
	len = readlinkat(d->proc_fd, path, link, sizeof(link) - 1);
	if (len < 0 || fstatat(d->proc_fd, path, &st, 0) < 0)
		return 0; /* closed by the workload */
	link[len] = '\0';
	d->links[n] = arena_strdup(&d->arena, link);
	if (!d->links[n])
		return no_memory(e);
	if (strncmp(link, "pipe:", 5) == 0) {
		*ret_key = d->links[n];
		return 0;
	}
	if (link[0] != '/' || (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) ||
	    (S_ISCHR(st.st_mode) && major(st.st_rdev) != 1) || mount_of_fd(d, n, &id) < 0 ||
	    mountinfo_find(d->mounts, d->mounts_n, id))
		return 0;
	key = arena_printf(&d->arena, "file[%llx:%llx]", (unsigned long long) id,
			   (unsigned long long) st.st_ino);
	*ret_key = key;
	return add_external(d, key, e);
}

static int collect_streams(struct dump *d, struct err *e)
{
	int r = 0;

	d->snap.streams = arena_array(&d->arena, SNAPSHOT_STREAMS, sizeof(*d->snap.streams));
	if (!d->snap.streams)
		return no_memory(e);
	d->snap.streams_n = SNAPSHOT_STREAMS;
	for (int i = 0; i < SNAPSHOT_STREAMS && r == 0; i++)
		r = stream(d, i, &d->snap.streams[i], e);
	return r;
}

/* Joined ones are not the container's to dump: they are expected to be there again. */
static int collect_namespaces(struct dump *d, struct err *e)
{
	static const struct {
		enum spec_ns_type type;
		const char *file, *key;
	} kinds[] = {
		{ SPEC_NS_NETWORK, "net", SNAPSHOT_NET_KEY },
		{ SPEC_NS_PID, "pid", SNAPSHOT_PID_KEY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct spec_ns *ns = &d->o->spec->linux_.ns[kinds[i].type];
		char path[32];
		struct stat st;
		int r;

		if (!ns->present || !ns->path)
			continue;
		(void) snprintf(path, sizeof(path), "ns/%s", kinds[i].file);
		if (fstatat(d->proc_fd, path, &st, 0) < 0)
			return err_sys(e, errno, "the container's %s namespace", kinds[i].file);
		r = add_external(d,
				 arena_printf(&d->arena, "%s[%llu]:%s", kinds[i].file,
					      (unsigned long long) st.st_ino, kinds[i].key),
				 e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the dump ----------------------------------------------------------------------------- */

static int write_file(struct dump *d, const char *name, struct buf *text, struct err *e)
{
	int r = buf_ok(text) ? file_replace(d->dirfd, name, buf_str(text), 0600, false)
			     : buf_error(text);

	return r < 0 ? err_sys(e, -r, "write '%s' of the checkpoint", name) : 0;
}

static int write_files(struct dump *d, struct err *e)
{
	auto_buf struct buf ours = BUF_INIT(SNAPSHOT_TEXT_MAX);
	auto_buf struct buf links = BUF_INIT(SNAPSHOT_TEXT_MAX);
	int r;

	snapshot_encode(&d->snap, &ours);
	snapshot_descriptors_encode(d->links, SNAPSHOT_STREAMS, &links);
	r = write_file(d, SNAPSHOT_FILE, &ours, e);
	return r < 0 ? r : write_file(d, SNAPSHOT_DESCRIPTORS, &links, e);
}

static int answer(struct criu_session *s, const struct criu_response *m, int fd, struct err *)
{
	struct dump *d = (struct dump *) s; /* its first member */

	close_fd(&fd);
	if (str_is(m->script, "status-ready") && d->status_fd >= 0) {
		/* Who waits for the page server may have gone: no concern of the dump's. */
		(void) !write(d->status_fd, "", 1);
		close_fd(&d->status_fd);
	}
	return 0;
}

static const char *freezer_path(struct dump *d)
{
	const struct groups *g = d->c->groups;
	const struct groups_place *p = g ? groups_place_of(g, CGROUP_FREEZER) : NULL;

	if (!p && g)
		p = groups_unified(g);
	/* As it is seen from the other process: no name that somebody could put aside. */
	return p && p->dir_fd >= 0
		       ? arena_printf(&d->arena, "/proc/%d/fd/%d", (int) getpid(), p->dir_fd)
		       : NULL;
}

static int dump(struct dump *d, struct err *e)
{
	const struct snapshot_options *o = d->o;
	struct criu_request q = CRIU_REQUEST(o->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP);
	struct criu_response m;
	int r = 0;

	if (!o->spec->linux_.ns[SPEC_NS_MOUNT].present)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container without a mount namespace cannot be checkpointed");
	r = open_container(d, e);
	snapshot_request(&q, o);
	q.images_dir_fd = d->dirfd;
	q.pid = d->c->in.pid;
	q.log_file = DUMP_LOG;
	q.leave_running = o->leave_running;
	q.parent_img = o->parent;
	q.track_mem = o->parent != NULL || o->pre_dump;
	q.page_server = o->page_server;
	q.page_server_port = o->page_server_port;
	q.freeze_cgroup = freezer_path(d);
	r = r < 0 ? r : collect_namespaces(d, e);
	if (!o->pre_dump) {
		r = r < 0 ? r : collect_mounts(d, e);
		r = r < 0 ? r : collect_streams(d, e);
		r = r < 0 ? r : collect_groups(d, e);
		r = r < 0 ? r : write_files(d, e);
	}
	q.ext_mounts = d->keys;
	q.ext_mounts_n = d->keys_n;
	q.externals = d->externals;
	q.externals_n = d->externals_n;
	r = r < 0 ? r : criu_find(o->program, d->session.path, e);
	r = r < 0 ? r : criu_start(&d->session, e);
	r = r < 0 ? r : criu_ask(&d->session, &q, &m, e);
	if (r < 0 || o->leave_running || o->pre_dump)
		return r;
	/* What is frozen does not die of a kill. */
	if (d->c->in.state == ENGINE_PAUSED && d->c->groups)
		r = groups_freeze(d->c->groups, false, clock_deadline(ENDED_WITHIN), e);
	if (r == 0 && pidfd_poll(d->c->in.pidfd, clock_deadline(ENDED_WITHIN)) != 1)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "the container is dumped, but does not end");
	return r;
}

int container_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
		       struct err *e)
{
	struct dump d = { .session = CRIU_SESSION(o->pre_dump ? "pre-dump" : "dump"),
			  .c = container_of_instance(in),
			  .o = o,
			  .arena = ARENA_INIT(DUMP_ARENA_MAX),
			  .dirfd = dirfd,
			  .proc_fd = FD_NONE,
			  .root_fd = FD_NONE,
			  .status_fd = o->status_fd };
	/* CRIU lets it go on at its end, and its files would be of a moment later. */
	bool pause = o->files_fd >= 0 && o->leave_running && in->state == ENGINE_RUNNING;
	struct err ignored;
	int r = 0;

	if (o->diff)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container's snapshot is always whole: only those of microVMs "
			       "can be on top of another");
	d.session.log_dir_fd = o->work_fd >= 0 ? o->work_fd : dirfd;
	d.session.log_file = DUMP_LOG;
	d.session.notify = answer;
	if (o->pre_dump || o->parent || o->lazy_pages)
		r = criu_need(o->program, o->pre_dump || o->parent, o->lazy_pages, e);
	if (r == 0 && pause)
		r = in->ops->pause(in, e);
	pause = pause && r == 0;
	r = r < 0 ? r : dump(&d, e);
	r = r < 0 ? r : engine_copy_files(o, dirfd, e);
	if (pause && in->ops->resume(in, r < 0 ? &ignored : e) < 0)
		r = -1;
	criu_close(&d.session);
	close_fd(&d.status_fd);
	close_fd(&d.root_fd);
	close_fd(&d.proc_fd);
	arena_fini(&d.arena);
	return r;
}

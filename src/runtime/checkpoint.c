/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint and restore: runc's and crun's flags over the engine's snapshots. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/engine.h"
#include "fmt/spec.h"
#include "runtime/bundle.h"
#include "runtime/delete.h"
#include "runtime/foreground.h"
#include "runtime/state.h"

#define IMAGE_PATH "checkpoint" /* in the current directory: runc's and crun's default */

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path, *page_server, *status_fd, *cgroups_mode,
		*network_lock;
	struct strings empty_ns;
	bool leave_running, pre_dump, tcp_established, tcp_close, tcp_skip_in_flight, link_remap,
		ext_unix_sk, shell_job, lazy_pages, file_locks, auto_dedup;
	/* of restore */
	const char *bundle, *console_socket, *pid_file, *lsm_profile, *lsm_mount_context;
	bool detach, no_subreaper, no_pivot;
};

#define OPT(kind_, name_, letter_, member, value_, help_)                                          \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = (kind_),                             \
		.offset = offsetof(struct checkpoint_options, member), .value = (value_),          \
		.help = (help_)                                                                    \
	}
#define BOTH_OPTIONS                                                                               \
	OPT(OPTION_STRING, "image-path", 0, image_path, "DIR",                                     \
	    "where the images are (" IMAGE_PATH ")"),                                              \
		OPT(OPTION_STRING, "work-path", 0, work_path, "DIR",                               \
		    "where criu writes its log (the image path)"),                                 \
		OPT(OPTION_FLAG, "tcp-established", 0, tcp_established, NULL,                      \
		    "keep TCP connections"),                                                       \
		OPT(OPTION_FLAG, "ext-unix-sk", 0, ext_unix_sk, NULL,                              \
		    "allow unix sockets whose other end is outside"),                              \
		OPT(OPTION_FLAG, "shell-job", 0, shell_job, NULL,                                  \
		    "its terminal is the caller's shell's"),                                       \
		OPT(OPTION_FLAG, "file-locks", 0, file_locks, NULL, "allow held file locks"),      \
		OPT(OPTION_STRING, "manage-cgroups-mode", 0, cgroups_mode,                         \
		    "soft|full|strict|ignore",                                                     \
		    "cgroups that the container made itself (ignore); its own come from "          \
		    "config.json"),                                                                \
		OPT(OPTION_STRING, "network-lock", 0, network_lock, "iptables|nftables|skip",      \
		    "how connections are held still (criu's own choice)"),                         \
		OPT(OPTION_STRINGS, "empty-ns", 0, empty_ns, "network",                            \
		    "do not restore what is in this namespace: always so"),                        \
		OPT(OPTION_FLAG, "auto-dedup", 0, auto_dedup, NULL,                                \
		    "drop pages of the parent's image that changed"),                              \
		OPT(OPTION_FLAG, "lazy-pages", 0, lazy_pages, NULL,                                \
		    "memory follows when it is touched (userfaultfd)")

static const struct option checkpoint_options[] = {
	BOTH_OPTIONS,
	OPT(OPTION_STRING, "parent-path", 0, parent_path, "DIR",
	    "images of an earlier pre-dump, relative to the image path"),
	OPT(OPTION_FLAG, "leave-running", 0, leave_running, NULL, "let it go on afterwards"),
	OPT(OPTION_FLAG, "pre-dump", 0, pre_dump, NULL, "its memory alone; it goes on"),
	OPT(OPTION_FLAG, "tcp-skip-in-flight", 0, tcp_skip_in_flight, NULL,
	    "forget TCP connections that are not accepted yet"),
	OPT(OPTION_FLAG, "link-remap", 0, link_remap, NULL,
	    "give deleted files that are open a name again"),
	OPT(OPTION_STRING, "page-server", 0, page_server, "ADDRESS:PORT",
	    "send the memory to a criu page-server"),
	OPT(OPTION_STRING, "status-fd", 0, status_fd, "N",
	    "descriptor that gets a byte 0 when lazy pages can be asked for"),
};
static const struct option restore_options[] = {
	BOTH_OPTIONS,
	OPT(OPTION_STRING, "bundle", 'b', bundle, "DIR", "the bundle (the current directory)"),
	OPT(OPTION_STRING, "console-socket", 0, console_socket, "PATH",
	    "unix socket that receives the pty's master"),
	OPT(OPTION_STRING, "pid-file", 0, pid_file, "FILE", "write the pid there"),
	OPT(OPTION_FLAG, "detach", 'd', detach, NULL, "do not wait for its end"),
	OPT(OPTION_FLAG, "no-subreaper", 0, no_subreaper, NULL,
	    "do not reap the orphans of its processes"),
	OPT(OPTION_FLAG, "no-pivot", 0, no_pivot, NULL, "criu cannot: an error"),
	OPT(OPTION_FLAG, "tcp-close", 0, tcp_close, NULL, "TCP connections come back closed"),
	OPT(OPTION_STRING, "lsm-profile", 0, lsm_profile, "TYPE:NAME",
	    "another AppArmor profile or SELinux label"),
	OPT(OPTION_STRING, "lsm-mount-context", 0, lsm_mount_context, "CONTEXT",
	    "another SELinux context of mounts"),
};

/* ---- from the command line to the engine's options ---------------------------------------- */

static int choose(const char *flag, const char *value, const char *const *words, int *ret_i,
		  struct err *e)
{
	for (int i = 0; value && value[0] && words[i]; i++) {
		if (streq(value, words[i])) {
			*ret_i = i;
			return 0;
		}
	}
	return !value || !value[0]
		       ? 0
		       : err_set(e, ERR_INVALID, EINVAL, "--%s '%.60s': no such %s", flag, value,
				 flag[0] == 'm' ? "mode (soft, full, strict, ignore)"
						: "way (iptables, nftables, skip)");
}

static int parse_page_server(struct runtime *rt, const char *text, struct snapshot_options *o,
			     struct err *e)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	struct str host = { text, colon ? (size_t) (colon - text) : 0 };
	uint32_t port = 0;

	if (!text || !text[0])
		return 0;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct str){ host.p + 1, host.n - 2 };
	if (!colon || !host.n || num_parse_u32(str_of(colon + 1), 1, 65535, &port) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--page-server '%.100s': must be ADDRESS:PORT", text);
	o->page_server = arena_dup(rt->arena, host);
	o->page_server_port = (int) port;
	return o->page_server ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int parse_status_fd(const char *text, struct snapshot_options *o, struct err *e)
{
	uint32_t fd = 0;
	int flags;

	if (!text || !text[0])
		return 0;
	if (!o->lazy_pages)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--status-fd: it tells when lazy pages are ready: give "
			       "--lazy-pages, too");
	flags = num_parse_u32(str_of(text), 3, 1u << 20, &fd) < 0 ? -1 : fcntl((int) fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return err_set(e, ERR_INVALID, EBADF,
			       "--status-fd '%.20s': no open descriptor that can be written to",
			       text);
	o->status_fd = (int) fd;
	return 0;
}

static int parse_options(struct runtime *rt, const struct checkpoint_options *from,
			 struct snapshot_options *o, struct err *e)
{
	static const char *const modes[] = { "ignore", "soft", "full", "strict", NULL };
	static const char *const locks[] = { "", "iptables", "nftables", "skip", NULL };
	int mode = SNAPSHOT_CGROUPS_OWN, lock = SNAPSHOT_LOCK_DEFAULT;
	int r = choose("manage-cgroups-mode", from->cgroups_mode, modes, &mode, e);

	r = r < 0 ? r : choose("network-lock", from->network_lock, locks, &lock, e);
	for (size_t i = 0; i < from->empty_ns.n && r == 0; i++) {
		if (!streq(from->empty_ns.v[i], "network"))
			r = err_set(e, ERR_INVALID, EINVAL,
				    "--empty-ns '%.40s': criu can leave the network namespace "
				    "empty, and no other",
				    from->empty_ns.v[i]);
	}
	if (r < 0)
		return r;
	o->program = rt->criu && rt->criu[0] ? rt->criu : NULL;
	o->cgroups = (enum snapshot_cgroups) mode;
	o->lock = (enum snapshot_lock) lock;
	o->leave_running = from->leave_running;
	o->pre_dump = from->pre_dump;
	o->tcp_established = from->tcp_established;
	o->tcp_close = from->tcp_close;
	o->tcp_skip_in_flight = from->tcp_skip_in_flight;
	o->ext_unix_sk = from->ext_unix_sk;
	o->shell_job = from->shell_job;
	o->file_locks = from->file_locks;
	o->auto_dedup = from->auto_dedup;
	o->link_remap = from->link_remap;
	o->lazy_pages = from->lazy_pages;
	o->lsm_profile = from->lsm_profile && from->lsm_profile[0] ? from->lsm_profile : NULL;
	o->lsm_mount_context = from->lsm_mount_context && from->lsm_mount_context[0]
				       ? from->lsm_mount_context
				       : NULL;
	r = parse_page_server(rt, from->page_server, o, e);
	return r < 0 ? r : parse_status_fd(from->status_fd, o, e);
}

/* ---- directories -------------------------------------------------------------------------- */

struct places {
	int image_fd, work_fd; /* owned */
};

static void places_close(struct places *p)
{
	close_fd(&p->image_fd);
	close_fd(&p->work_fd);
}

static int open_place(const char *flag, const char *path, bool make, int *ret_fd, struct err *e)
{
	int r = make ? dir_make_all(path, 0700) : 0;

	*ret_fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, r < 0 ? -r : errno, "--%s '%.200s'", flag, path) : 0;
}

static int open_places(const struct checkpoint_options *from, bool make, struct places *p,
		       struct err *e)
{
	const char *image = from->image_path && from->image_path[0] ? from->image_path : IMAGE_PATH;
	struct stat st;
	int r = open_place("image-path", image, make, &p->image_fd, e);

	if (r == 0 && from->work_path && from->work_path[0])
		r = open_place("work-path", from->work_path, true, &p->work_fd, e);
	if (r < 0 || !from->parent_path || !from->parent_path[0])
		return r;
	if (from->parent_path[0] == '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "--parent-path '%.200s': must be relative to the image path",
			       from->parent_path);
	if (fstatat(p->image_fd, from->parent_path, &st, 0) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR,
			       "invalid --parent-path: '%.200s' is no directory in '%.200s'",
			       from->parent_path, image);
	return 0;
}

/* ---- the verbs ---------------------------------------------------------------------------- */

static int run_checkpoint(struct runtime *rt, const void *options, const struct strings *args,
			  struct err *e)
{
	const struct checkpoint_options *from = options;
	__attribute__((cleanup(places_close))) struct places p = { FD_NONE, FD_NONE };
	auto_container struct container c = CONTAINER_INIT;
	struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
	int r = parse_options(rt, from, &o, e);

	r = r < 0 ? r : container_open(rt, args->v[0], CONTAINER_CHANGE, &c, e);
	if (r < 0)
		return r;
	if (!c.in || (c.state != ENGINE_RUNNING && c.state != ENGINE_PAUSED))
		return err_set(e, ERR_CONFLICT, 0,
			       "Container cannot be checkpointed in %s state: '%s'",
			       container_status(&c), c.id);
	r = engine_can_snapshot(c.in->ops, o.program, e);
	r = r < 0 ? r : container_spec(rt, &c, &o.spec, e);
	r = r < 0 ? r : open_places(from, true, &p, e);
	o.work_fd = p.work_fd;
	o.parent = from->parent_path && from->parent_path[0] ? from->parent_path : NULL;
	r = r < 0 ? r : engine_snapshot(c.in, p.image_fd, &o, e);
	if (r < 0)
		return err_ctx(e, "checkpoint '%s'", args->v[0]);
	if (o.leave_running || o.pre_dump)
		return 0;
	return container_delete(rt, &c, true, e);
}

/* As create.c's: everything up to a running container; on failure nothing of it is left. */
static int restore(struct runtime *rt, const struct checkpoint_options *from, const char *id,
		   struct container *ret_c, struct err *e)
{
	__attribute__((cleanup(places_close))) struct places p = { FD_NONE, FD_NONE };
	auto_loaded struct loaded l = LOADED_INIT;
	auto_container struct container c = CONTAINER_INIT;
	auto_passed struct passed passed = { .console_socket = FD_NONE };
	struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
	const struct engine_ops *ops = NULL;
	struct engine_caps caps;
	int r = container_check_id(id, e);

	if (r == 0 && from->no_pivot)
		r = err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			    "--no-pivot: criu restores a container with pivot_root and in no "
			    "other way; leave the flag out");
	r = r < 0 ? r : parse_options(rt, from, &o, e);
	r = r < 0 ? r : bundle_load(rt, from->bundle, NULL, &l, e);
	r = r < 0 ? r : open_places(from, false, &p, e);
	if (r < 0)
		return r;
	struct terminal_request t = { l.process->terminal, from->detach, from->console_socket,
				      NULL };

	o.spec = l.spec;
	o.work_fd = p.work_fd;
	r = passed_open(rt, &t, &passed, e);
	r = r < 0 ? r : engine_for(rt, l.spec, &ops, &caps, e);
	r = r < 0 ? r : engine_can_snapshot(ops, o.program, e);
	r = r < 0 ? r
		  : container_new(rt, id, l.bundle, ops->name, l.spec, l.json, buf_str(&l.text), &c,
				  e);
	if (r < 0)
		return r;
	c.in = instance_new(ops, &caps);
	struct bundle b = {
		.id = id,
		.spec = l.spec,
		.bundle_fd = l.bundle_fd,
		.root_fd = FD_NONE,
		.stdio = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO },
		.console_socket = passed.console_socket,
		.systemd_cgroup = rt->systemd_cgroup,
		.rootless = rt->rootless_mode,
		.no_cgroups = rt->no_cgroups,
		.cache_fd = FD_NONE,
		.pid_file = from->pid_file && from->pid_file[0] ? from->pid_file : NULL,
		.bundle_path = l.bundle,
		.state_fd = c.dir_fd,
		.note = container_note(rt, &c),
	};

	r = c.in ? engine_restore(c.in, &b, p.image_fd, &o, e)
		 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = r < 0 ? r : engine_save(c.in, c.dir_fd, e);
	if (r < 0) {
		if (c.in)
			engine_destroy(c.in);
		container_remove(rt, &c);
		return err_ctx(e, "restore '%s'", id);
	}
	c.state = ENGINE_RUNNING;
	*ret_c = c;
	c = CONTAINER_INIT;
	return 0;
}

static int run_restore(struct runtime *rt, const void *options, const struct strings *args,
		       struct err *e)
{
	const struct checkpoint_options *from = options;
	auto_container struct container c = CONTAINER_INIT;
	struct err again;
	int r;

	if (!from->detach) {
		if (!from->no_subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
			return err_sys(e, errno, "become the reaper of orphans");
		foreground_prepare();
	}
	r = restore(rt, from, args->v[0], &c, e);
	if (r < 0 || from->detach)
		return r;
	r = foreground_wait(c.in->pid, c.in->pidfd, c.in->console_fd, NULL, e);
	engine_exited(c.in);
	c.state = c.in->state;
	if (container_delete(rt, &c, true, &again) < 0)
		log_warn("%s", again.msg);
	return r;
}

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.usage = "CONTAINER",
	.help = "write a running container to disk, with CRIU",
	.options = VERB_OPTIONS(checkpoint_options),
	.size = sizeof(struct checkpoint_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_checkpoint,
};
const struct verb verb_restore = {
	.name = "restore",
	.usage = "CONTAINER",
	.help = "take up a container that checkpoint wrote",
	.options = VERB_OPTIONS(restore_options),
	.size = sizeof(struct checkpoint_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_restore,
	.enters = true,
};

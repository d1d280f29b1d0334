/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface between what supervises a workload and what isolates it. An engine turns a
 * decoded OCI spec and open descriptors into a running workload; it resolves no image, network or
 * volume name. Used by the shim (atoll run) and by atoll-runtime (runc's command line): the same
 * engines behind two doors.
 *
 * Callers use the engine_*() wrappers, never the ops: a wrapper checks the capability and the
 * transition, calls, moves the state, and returns.
 *
 * Hooks are the engine's: create runs prestart, createRuntime and createContainer, start runs
 * startContainer and poststart, destroy runs poststop.
 *
 * A snapshot is everything of a running workload but its files, in a directory; restore takes an
 * instance from CREATING to RUNNING. Its hooks there are prestart and createRuntime.
 *
 *             create           start            pause
 *  (none) --> CREATING --> CREATED --> RUNNING <----> PAUSED       any --> FAILED --> (gone)
 *                |            |           |    resume   |          STOPPED --> (gone)
 * [engine_destroy]
 *                +------------+--- kill --+-- exited ---+--> STOPPING --> STOPPED
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"

struct spec;	       /* fmt/spec.h: a decoded config.json */
struct spec_process;   /* its process section, also of an exec */
struct spec_resources; /* its linux.resources, also of an update */
struct spec_seccomp;   /* its linux.seccomp */
struct host;	       /* engine/host.h: what this machine offers */

enum engine_state {
	ENGINE_NONE,
	ENGINE_CREATING,
	ENGINE_CREATED,
	ENGINE_RUNNING,
	ENGINE_PAUSED,
	ENGINE_STOPPING,
	ENGINE_STOPPED,
	ENGINE_FAILED,
};

enum engine_cap {
	ENGINE_CAP_PAUSE = 1u << 0,
	ENGINE_CAP_EXEC = 1u << 1,
	ENGINE_CAP_UPDATE = 1u << 2,
	ENGINE_CAP_SNAPSHOT = 1u << 3,
	ENGINE_CAP_ROOTLESS = 1u << 4,
};

struct engine_caps {
	bool usable;   /* on this machine, by this caller */
	char why[160]; /* when not: what is missing */
	unsigned caps; /* enum engine_cap */
	bool emulated; /* usable, but its processor is a program: slow */
};

/*
 * Whether a machine that does not let the caller do all that root may do is lived with: control
 * groups that cannot be made are left out where no limit needs them.
 */
enum rootless {
	ROOTLESS_AUTO, /* when the caller is not root, or root of a user namespace only */
	ROOTLESS_TRUE,
	ROOTLESS_FALSE,
};

/* Everything an engine gets. All descriptors are borrowed for the call of create. */
struct bundle {
	const char *id;		 /* 1..128 bytes of [A-Za-z0-9_.+-] */
	const struct spec *spec; /* must outlive the instance */
	int bundle_fd;		 /* the bundle's directory: relative paths of the spec start here */
	int root_fd;	   /* the root file system: O_PATH directory or detached mount (fsmount,
			    * open_tree); FD_NONE: spec->root.path below bundle_fd */
	int root_disk_fd;  /* 0 or FD_NONE: none. The files of root_fd, to which nobody writes, as a
			    * disk of EROFS; where spec->root->readonly, or with: */
	int root_upper_fd; /* 0 or FD_NONE: none. The workload's own disk of ext4, for reading and
			    * writing, with all that differs from root_disk_fd; its names are looked
			    * up in there too (process.user.username). Locked (flock) as long as
			    * anybody has it */
	bool files_only;   /* with root_upper_fd: nothing will be started; for engine_files alone */
	int stdio[3];	   /* given to the workload; with a terminal FD_NONE */
	int console_socket; /* terminal: receives the pty's master (SCM_RIGHTS); or FD_NONE, then
			     * the instance keeps it: in->console_fd */
	const int *preserve_fds; /* passed on as 3, 4, ... */
	size_t preserve_fds_n;
	bool no_pivot;
	bool no_new_keyring;
	bool bound; /* who creates it also starts it: dies with its creator until it is started */
	enum rootless rootless;
	bool at_once; /* start follows, and nothing asks for the workload in between: then create
		       * may leave to start to find out whether all went well, and save */
	bool systemd_cgroup;	 /* scope by D-Bus instead of mkdir */
	bool no_cgroups;	 /* it stays in the caller's: without limits, not pausable */
	const char *pid_file;	 /* written by create, NULL: none */
	const char *bundle_path; /* absolute, for the state that hooks read; NULL: not known */
	const char
		*config_path; /* absolute: where `spec` was read; NULL: the bundle's config.json */
	int cache_fd; /* a directory of the caller's state, below which the engine may keep what is
		       * dear to make and the same for many workloads; FD_NONE: none */
	const char *pods_path; /* absolute: where engines keep what the containers of a pod share,
				* which annotations of the spec name; NULL: there are no pods */
	int state_fd;  /* the workload's state directory, for what must be there before save (a fifo
			* to start it by, where its cgroups are); FD_NONE: none */
	int *spare_fd; /* NULL: none. A descriptor of the caller's that takes the kernel a while to
			* close: none of the workload's keeps it, and an engine that comes to wait
			* for something closes it meanwhile */
	const char *note; /* the caller's own words, which an engine may save and then shows to who
			   * looks; NULL: none */
};

/* What is known before a bundle is complete. */
struct engine_prepare {
	const char *id;
	const char *cgroups_path;		/* linux.cgroupsPath */
	const struct spec_resources *resources; /* linux.resources */
	bool systemd_cgroup;
	bool network; /* it gets a network namespace of its own */
	int state_fd; /* borrowed: see struct bundle */
};

struct usage {	   /* what `stats` shows; unknown is UINT64_MAX */
	nsec_t at; /* CLOCK_REALTIME of the sample */
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
	uint64_t throttled_periods, throttled_ns, periods;
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes;
	uint64_t memory_cache_bytes; /* inactive_file: docker subtracts it */
	uint64_t memory_swap_bytes, memory_failures, oom_kills;
	uint64_t pids, pids_limit;
	uint64_t block_read_bytes, block_write_bytes, block_reads, block_writes;
	uint64_t net_rx_bytes, net_tx_bytes, net_rx_packets, net_tx_packets;
	uint64_t memory_host_bytes; /* what the host spends, where that is another figure */
};

/* A process as lists show it. Texts are never NULL. */
struct engine_process {
	uint64_t pid, ppid, uid; /* of the kernel that it runs on */
	uint64_t cpu_ns;
	uint64_t age_ns;      /* since it began */
	const char *state;    /* "S": as ps shows it */
	const char *terminal; /* "pts/0"; "": none */
	const char *name, *command;
	uint64_t resident_bytes, virtual_bytes;
};
struct engine_processes {
	struct engine_process *v;
	size_t n;
};

struct exec_spec {
	const struct spec_process *process;
	const struct spec_seccomp *seccomp; /* the container's own, or NULL: none */
	int cache_fd;			    /* as of struct bundle; borrowed */
	int stdio[3];			    /* borrowed */
	int console_socket;		    /* borrowed, or FD_NONE */
	const int *preserve_fds;
	size_t preserve_fds_n;
	const char *const *cgroups; /* below the workload's own: "path", "controller:path" */
	size_t cgroups_n;
	bool ignore_paused;
	bool personality_set; /* the container's linux.personality */
	uint32_t personality;
	const struct spec_memory_policy *memory_policy; /* the container's, or NULL */
};

struct exec {
	pid_t pid;
	int pidfd;	/* given; readable once it ended; the caller reaps it with waitid() */
	int console_fd; /* given: the pty's master when process->terminal and no console_socket */
};

/*
 * The files of a workload whose kernel alone can read them, as a file system of this machine's:
 * what is done in there, the workload's kernel does, which may never answer. All owned.
 */
struct engine_files {
	int top_fd;  /* the mount, detached; the others are directories in it (O_PATH) */
	int root_fd; /* what its processes see, with all that is mounted; FD_NONE: there are none */
	int layers_fd; /* its root alone */
	int upper_fd;  /* what it changed of its image, as an overlay's upper directory has it */
	pid_t pid;     /* between this kernel and that one; a child of the caller's */
	int pidfd;
};
#define ENGINE_FILES_INIT                                                                          \
	((struct engine_files){ .top_fd = FD_NONE,                                                 \
				.root_fd = FD_NONE,                                                \
				.layers_fd = FD_NONE,                                              \
				.upper_fd = FD_NONE,                                               \
				.pidfd = FD_NONE })

/* Which of a workload's system calls are told; as proto/sentry.h has it. */
struct engine_trace {
	uint64_t calls[8]; /* a bit for each number, the last for all that follow */
	const uint32_t *pids;
	size_t pids_n; /* 0: all */
	uint32_t text; /* bytes of a text or buffer; 0: of nothing that is behind an argument */
	bool entries, signals;
};

/* Calls that a workload's kernel did not serve, or not in full; nothing of it is checked. */
struct engine_refused {
	uint64_t nr, error, count;
	uint64_t which; /* kernel/syscall/refused.h */
	bool filtered;	/* by a filter of the workload's */
};
struct engine_refusals {
	struct engine_refused *v;
	size_t n;
	uint64_t others; /* of which no more is known */
};

/* What lists show of an instance. */
struct engine_look {
	enum engine_state state; /* now */
	pid_t pid;		 /* 0: it does not run */
	const char *note;	 /* of its bundle, in the arena; NULL: none, or not saved */
};

enum snapshot_cgroups {
	SNAPSHOT_CGROUPS_OWN, /* the workload's own, by its spec; none below it ("ignore") */
	SNAPSHOT_CGROUPS_SOFT,
	SNAPSHOT_CGROUPS_FULL,
	SNAPSHOT_CGROUPS_STRICT,
};
/* How connections are held still meanwhile. */
enum snapshot_lock {
	SNAPSHOT_LOCK_DEFAULT,
	SNAPSHOT_LOCK_IPTABLES,
	SNAPSHOT_LOCK_NFTABLES,
	SNAPSHOT_LOCK_SKIP,
};

/* Of a snapshot and of its restore. All borrowed. */
struct snapshot_options {
	const struct spec *spec; /* the workload's own */
	const char *program;	 /* that does it; NULL: looked for in PATH */
	int work_fd;		 /* directory for logs; FD_NONE: with the images */
	const char *parent;	 /* of an earlier one, relative; NULL: none */
	/*
	 * The workload's own files, a directory: of one moment with the snapshot, they are copied
	 * to SNAPSHOT_FILES in there. What goes back before a restore is the caller's. FD_NONE.
	 */
	int files_fd;
	int disk_fd; /* the same of a disk of its own, a file: to SNAPSHOT_DISK. FD_NONE */
	bool diff;   /* on top of the instance's last snapshot: UNSUPPORTED, CONFLICT without one */
	bool leave_running, pre_dump; /* pre_dump: memory alone, and it goes on */
	bool tcp_established, tcp_close, tcp_skip_in_flight, ext_unix_sk, shell_job, file_locks,
		auto_dedup, link_remap, lazy_pages;
	enum snapshot_cgroups cgroups;
	enum snapshot_lock lock;
	const char *page_server; /* address; NULL: none */
	int page_server_port;
	int status_fd; /* a byte 0 once lazy pages can be asked for; taken; FD_NONE */
	const char *lsm_profile, *lsm_mount_context;
};
#define SNAPSHOT_OPTIONS_INIT                                                                      \
	((struct snapshot_options){ .work_fd = FD_NONE,                                            \
				    .status_fd = FD_NONE,                                          \
				    .files_fd = FD_NONE,                                           \
				    .disk_fd = FD_NONE })
#define SNAPSHOT_FILES "files"
#define SNAPSHOT_DISK  "disk"

struct instance;
struct arena;

struct engine_ops {
	const char *
		name; /* "container" "sandbox" "microvm" "vm" "unikernel"; on disk, never renamed */
	size_t instance_size; /* bytes; the first member is struct instance */
	bool own_kernel; /* its processes are another kernel's: no namespace of theirs is here */
	bool root_disk;	 /* it can use bundle.root_disk_fd */
	bool files_here; /* with `files`: they are directories of this machine, of any that runs */
	/* Optional: whether it can use bundle.root_upper_fd here and now: UNSUPPORTED says what is
	 * missing. Not part of probe: it may make a kernel ready. */
	int (*can_root_upper)(nsec_t deadline, struct err *e);
	/* Optional: of a workload with a root_upper_fd. hold: it stands still meanwhile. */
	int (*files)(struct instance *in, bool hold, nsec_t deadline, struct engine_files *ret,
		     struct err *e);
	/* Pure: change nothing. check() makes every refusal known beforehand. */
	int (*probe)(const struct host *h, struct engine_caps *ret, struct err *e);
	int (*check)(const struct engine_caps *caps, const struct spec *s, struct err *e);
	/* Optional: make what needs no more than this, so that create, with a bundle that says the
	 * same, takes less time. Before check(): destroy undoes it, also where create never comes.
	 */
	int (*prepare)(struct instance *in, const struct engine_prepare *p, struct err *e);
	/* One at a time. create runs none of the user's code. */
	int (*create)(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e);
	int (*start)(struct instance *in, struct err *e);
	int (*signal)(struct instance *in, int signo, struct err *e);
	/* Optional: to all of its processes, where those of its cgroups on the host are others. */
	int (*signal_all)(struct instance *in, int signo, struct err *e);
	/* 0: nothing of it can run any more. */
	int (*kill)(struct instance *in, nsec_t deadline, struct err *e);
	int (*usage)(struct instance *in, struct usage *ret, struct err *e);
	/* Optional: of one that has ended, and not by itself or a signal to it. */
	const char *(*why_ended)(struct instance *in, struct arena *a);
	void (*destroy)(
		struct instance *in); /* any state, twice, half-created; keeps nothing behind */
	/* Processes of the workload: pids as the host sees them, in the caller's array. */
	int (*processes)(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n,
			 struct err *e);
	/* Optional: what the processes are that the workload sees, where another kernel's processes
	 * tell nothing of it to who looks at the host's. In the arena. */
	int (*list)(struct instance *in, struct arena *a, struct engine_processes *ret,
		    struct err *e);
	/*
	 * Optional: of a workload whose kernel is ours, by its state directory. trace: a socket
	 * whose messages are records (kernel/syscall/list/record.h) until it ends; gives. CONFLICT:
	 * it does not run. refused: also of one that has ended, from `keeps`.
	 */
	int (*trace)(int state_fd, const struct engine_trace *t, int *ret_fd, struct err *e);
	int (*refused)(int state_fd, struct arena *a, struct engine_refusals *ret, struct err *e);
	/* Optional: a file of the state directory that is to stay there when the workload has
	 * ended, until it is started again or removed. */
	const char *keeps;
	/* Optional, each tied to a capability bit. */
	int (*pause)(struct instance *in, struct err *e);
	int (*resume)(struct instance *in, struct err *e);
	int (*exec)(struct instance *in, const struct exec_spec *x, struct exec *ret,
		    struct err *e);
	int (*update)(struct instance *in, const struct spec_resources *r, struct err *e);
	/*
	 * Whether snapshots can be made here and now. Not part of probe: it may run a program.
	 * UNSUPPORTED says what is missing.
	 */
	int (*can_snapshot)(const char *program, struct err *e);
	/* Into the directory dirfd. The workload has ended afterwards, unless it was left running;
	 * on failure it goes on as before. */
	int (*snapshot)(struct instance *in, int dirfd, const struct snapshot_options *o,
			struct err *e);
	/* In place of create and start; the caller is the parent of its init. */
	int (*restore)(struct instance *in, const struct bundle *b, int dirfd,
		       const struct snapshot_options *o, struct err *e);
	/* Persist to, and take up again from, a state directory: for atoll-runtime, whose verbs are
	 * separate processes, and for repair. Small text files, written atomically, not fsynced. */
	int (*save)(struct instance *in, int state_fd, struct err *e);
	/* The spec is not given again: what start, exec, kill and destroy need of it (hooks, paths)
	 * is part of what was saved. Sets state (from what is so now: running, paused, stopped),
	 * pid and pidfd. After a crash within create: what was left so far, as FAILED, so that
	 * destroy cleans it up; ERR_NOT_FOUND when there is nothing. */
	int (*load)(struct instance *in, int state_fd, struct err *e);
	/* The state and pid that load would find in the state directory `name` of parent_fd, and no
	 * more: for many in a row. */
	int (*look)(int parent_fd, const char *name, struct arena *a, struct engine_look *ret,
		    struct err *e);
	/* Close and free what the instance holds in this process; the workload lives on. */
	void (*forget)(struct instance *in);
};

struct instance {
	const struct engine_ops *ops;
	enum engine_state state;
	struct engine_caps caps;
	pid_t pid;	/* of the workload's init as the host sees it; 0 before create */
	int pidfd;	/* owned; readable when init ended; the creator may reap it with waitid() */
	int console_fd; /* owned: the pty's master when the spec asks for a terminal and no socket
			   was given */
};

/* The engines of this build, NULL-terminated, in the order pick tries them. */
extern const struct engine_ops *const engine_table[];
const struct engine_ops *engine_find(const char *name); /* NULL: not in this build */

/*
 * The engine for an isolation name (NULL or "": the default, container), probed and checked.
 * NOT_FOUND: no such name, the message lists those there are. UNSUPPORTED: this machine or this
 * spec, the message says why and which would serve.
 */
[[nodiscard]] int engine_pick(const char *name, const struct host *h, const struct spec *s,
			      const struct engine_ops **ret_ops, struct engine_caps *ret_caps,
			      struct err *e);

/* A zeroed instance of the engine's size, in ENGINE_NONE. Gives; NULL: out of memory. */
struct instance *instance_new(const struct engine_ops *ops, const struct engine_caps *caps);
void instance_free(struct instance *in); /* engine_destroy, then the memory; NULL is fine */
/* The memory and descriptors alone: the workload lives on. NULL is fine. After engine_save. */
void instance_forget(struct instance *in);

/* At most once, before create; nothing to an engine that can prepare nothing. */
[[nodiscard]] int engine_prepare(struct instance *in, const struct engine_prepare *p,
				 struct err *e);
[[nodiscard]] int engine_create(struct instance *in, const struct bundle *b, nsec_t deadline,
				struct err *e);
[[nodiscard]] int engine_start(struct instance *in, struct err *e);
[[nodiscard]] int engine_signal(struct instance *in, int signo, struct err *e);
[[nodiscard]] int engine_kill(struct instance *in, nsec_t deadline, struct err *e);
[[nodiscard]] int engine_usage(struct instance *in, struct usage *ret, struct err *e);
/* A sentence, in the arena; NULL: its code says it all. */
const char *engine_why_ended(struct instance *in, struct arena *a);
[[nodiscard]] int engine_processes(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n,
				   struct err *e);
/* False: `processes` says it all, and *ret is empty. */
bool engine_lists(const struct instance *in);
[[nodiscard]] int engine_list(struct instance *in, struct arena *a, struct engine_processes *ret,
			      struct err *e);
[[nodiscard]] int engine_pause(struct instance *in, struct err *e);
[[nodiscard]] int engine_resume(struct instance *in, struct err *e);
[[nodiscard]] int engine_exec(struct instance *in, const struct exec_spec *x, struct exec *ret,
			      struct err *e);
[[nodiscard]] int engine_update(struct instance *in, const struct spec_resources *r, struct err *e);
[[nodiscard]] int engine_save(struct instance *in, int state_fd, struct err *e);
[[nodiscard]] int engine_load(struct instance *in, int state_fd, struct err *e);
[[nodiscard]] int engine_look(const struct engine_ops *ops, int parent_fd, const char *name,
			      struct arena *a, struct engine_look *ret, struct err *e);
/* Whether the engine can make and restore snapshots on this machine; runs a program to find out. */
[[nodiscard]] int engine_can_snapshot(const struct engine_ops *ops, const char *program,
				      struct err *e);
[[nodiscard]] int engine_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
				  struct err *e);
[[nodiscard]] int engine_restore(struct instance *in, const struct bundle *b, int dirfd,
				 const struct snapshot_options *o, struct err *e);
/* For engines: the files of the options into the snapshot's directory; none is fine. */
[[nodiscard]] int engine_copy_files(const struct snapshot_options *o, int dirfd, struct err *e);
[[nodiscard]] int engine_can_root_upper(const struct engine_ops *ops, nsec_t deadline,
					struct err *e);
/* CREATED or RUNNING. CONFLICT: it does not run, or is paused. */
[[nodiscard]] int engine_files(struct instance *in, bool hold, nsec_t deadline,
			       struct engine_files *ret, struct err *e);
/* When nobody else has a descriptor of it any more: what was written is on its disk then. */
void engine_files_close(struct engine_files *f);
void engine_exited(
	struct instance *in); /* the creator saw the pidfd: RUNNING/PAUSED/CREATED -> STOPPED */
void engine_destroy(struct instance *in);

const char *engine_state_name(
	enum engine_state s); /* OCI's words: creating created running paused stopped */
/* What a recorded word says; of any other, ENGINE_FAILED: what there is can be destroyed. */
enum engine_state engine_state_of(const char *name);

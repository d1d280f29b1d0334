/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the container's init will do, worked out by its parent while everything of the host is
 * still in reach: sources opened and cloned, options parsed, seccomp compiled, texts formatted.
 * The init (the *_child.c files) then walks through it with system calls alone; it never allocates
 * and resolves no name of the host.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/container/options.h"
#include "engine/engine.h"
#include "fmt/spec.h"
#include "sys/ns.h"

struct groups;

enum plan_mount_kind {
	PLAN_MOUNT_BIND,   /* tree_fd: a detached clone that has its attributes */
	PLAN_MOUNT_NEW,	   /* a new instance of fstype, made in the container's namespaces */
	PLAN_MOUNT_CGROUP, /* a tmpfs with one clone per hierarchy */
};

/* When what a mount is was made: its place in mountinfo (turn_child.c). */
enum plan_made {
	PLAN_MADE_BEFORE, /* by the creator, in the order of the list */
	PLAN_MADE_AHEAD,  /* by the creator, later, in that order as well: ahead.h */
	PLAN_MADE_INSIDE, /* by the init, in its turn */
};

struct plan_cgroup {
	const char *name; /* of its directory; "a,b" gets links a and b */
	int tree_fd;
	const char *path;  /* late: absolute */
	size_t place;	   /* in struct groups */
	bool only_to_look; /* none of the container's: read-only whatever was asked */
};

struct plan_mount {
	enum plan_mount_kind kind;
	const char *destination;
	const char *fstype; /* for NEW and messages */
	struct mount_words words;
	int tree_fd;
	const struct spec_mount *spec;
	const char *source; /* late: absolute; NULL when it is no bind */
	bool source_is_dir;
	const char *link_target; /* copy-symlink: make this link instead of a mount */
	const char *late_source; /* a bind of something in the container itself: path below root */
	int idmap_fd;		 /* the user namespace of an idmapped mount, or FD_NONE */
	bool late_readonly;	 /* read-only once all is in it: tree_fd is the mount */
	struct plan_cgroup *cgroups;
	size_t cgroups_n;
	const char *label; /* linux.mountLabel, where it says something; NULL: it does not */
	bool relabel;	   /* it is given to the mount's root once that is there */
	bool ahead;	   /* the creator makes it (ahead.h): then sent, unless it failed */
	int ahead_fd;	   /* in the init: that mount, detached, or its file system, to be mounted
			    * (NEW, but for ahead_dev); FD_NONE: to be made there */
};

struct plan_process {
	const struct spec_process *spec;
	char **env; /* NULL-terminated, last value of a name wins, one free slot for HOME */
	size_t env_n;
	bool home_missing;
	const char *path_list;	   /* the value of PATH */
	struct sock_fprog seccomp; /* len 0: none */
	unsigned seccomp_flags;
	bool oom_done;	   /* from outside: the child's user namespace could not */
	int stdio[3];	   /* FD_NONE: the terminal */
	int *preserve_fds; /* the child renumbers its copy */
	size_t preserve_fds_n;
	struct spec_caps caps;
	const struct spec_memory_policy *memory_policy; /* the container's, of `exec`, too */
	uint64_t *memory_nodes; /* a bit mask, memory_nodes_max bits; NULL: none */
	size_t memory_nodes_max;
	int lsm_fd; /* /proc/self/attr/... of the process itself, opened before the pivot */
	const char *lsm_text;
	bool keep_groups; /* the caller's supplementary groups stay */
	bool personality_set;
	uint32_t personality;
	bool new_keyring;
	bool signals_reset; /* none is ignored, and none has a handler that exec would leave */
	bool joined_user;   /* runs in another user namespace than the parent */
};

struct plan {
	struct arena *a;
	const struct spec *spec;
	const char *id;
	unsigned clone_flags;	/* namespaces made by clone3 */
	unsigned unshare_flags; /* made by the child itself: cgroup, time */
	unsigned all_flags;	/* every namespace that is not the caller's: what an exec joins */
	int join_fd[SPEC_NS_N_];
	bool new_user, join_user;
	bool fork_inside; /* a helper joins what there is, and forks the init in it */
	struct ns_map *uid_maps, *gid_maps;
	size_t uid_maps_n, gid_maps_n;
	int proc_fd;		 /* the host's procfs, verified */
	int root_fd;		 /* a detached clone of the root file system */
	const char *host_root;	 /* the root's path on the host, NULL: none that means it */
	bool host_mounts;	 /* no mount namespace: hostroot.h; root_path is set */
	const char *root_path;	 /* where hooks look for it: mounted there, else on "/" */
	const char *bundle_path; /* working directory of createContainer hooks */
	unsigned root_mounts;	 /* mounts on "/" itself, over that; counted by the child */
	int host_dev_null;
	/*
	 * An ordinary user may clone mounts in a user namespace of his only: the init opens root
	 * and sources by their paths, with the rights it has there.
	 */
	bool late;
	const char *root_source; /* late: absolute */
	bool unprivileged;	 /* the creator has no power over processes that hide from him */
	bool no_pivot;
	bool bind_devices; /* nodes cannot be made here: bind the host's */
	bool make_dev;	   /* fill /dev: nobody bound one */
	int *device_trees; /* of each of linux.devices: a node made outside to be bound, FD_NONE:
			    * the host's; NULL: nodes are made inside */
	struct plan_mount *mounts;
	size_t mounts_n;
	bool turns;	     /* the init sees to it that they are in their order in mountinfo */
	enum plan_made turn; /* of those there are by now, the latest */
	const char *const *sysctl_files; /* below /proc/sys */
	const char *const *sysctl_values;
	size_t sysctls_n;
	const char *time_offsets; /* text of timens_offsets, or NULL */
	int time_fd;		  /* that file, opened by the child while it is still its owner */
	struct groups *groups;	  /* borrowed */
	/*
	 * The cgroups are finished while the init is at work: it is born with few namespaces, makes
	 * the others itself, and receives its way into the cgroups (groups_child.c) when it needs
	 * them.
	 */
	bool groups_due;
	bool groups_born; /* clone3 put it into the unified one */
	bool groups_sent; /* the init has received them, and what was made ahead */
	size_t ahead_dev; /* the mount whose devices are made ahead, too; mounts_n: none */
	bool dev_filled;  /* they were made */
	struct plan_process process;
	/* OCI state for hooks run by the init: before and after the varying status and pid. */
	const char *state_head, *state_tail;
	int hook_output[2]; /* their standard output and error; FD_NONE: as usual */
	int sync_fd;	    /* the child's end */
	bool bound;	    /* see struct bundle */
	bool answers;	    /* the creator hears the init (child.h) until that is ready */
	bool at_once;	    /* started without being asked whether it is ready */
	int creator_fd;	    /* a pidfd of who clones the init, for the time of the clone */
	int gate_fd;	    /* the parent's end, kept open in the child for whoever starts it */
	int *fds;	    /* owned: closed by plan_close */
	size_t fds_n;
};

/* Work it out. On failure what was opened is closed by plan_close all the same. */
[[nodiscard]] int plan_make(struct plan *ret_p, struct arena *a, const struct bundle *b,
			    struct groups *g, struct err *e);
/* The process part alone, for an exec. */
[[nodiscard]] int plan_process_make(struct plan *p, const struct spec_process *s, struct err *e);
[[nodiscard]] int plan_preserve(struct plan *p, const int *fds, size_t n, struct err *e);
void plan_close(struct plan *p);

/* The plan owns fd from now on; gives it back. -ENOMEM closes it. */
int plan_own(struct plan *p, int fd);

/* The absolute path of an open directory, in the arena; NULL: none. */
const char *plan_path_of(struct plan *p, int fd);

/* After groups_finish: the sources of mounts of cgroups. */
[[nodiscard]] int plan_cgroups(struct plan *p, struct err *e);

/* Mounts and root, in plan_mounts.c. */
[[nodiscard]] int plan_root(struct plan *p, const struct bundle *b, struct err *e);
[[nodiscard]] int plan_mounts(struct plan *p, const struct bundle *b, struct err *e);
/* System calls alone, for the init as well: a clone gets its attributes before anybody sees it. */
[[nodiscard]] int plan_root_ready(const struct plan *p, int fd, const char *path, struct err *e);
[[nodiscard]] int plan_bind_ready(const struct plan *p, const struct plan_mount *pm, struct err *e);
/* The idmap of a bind's clone: before anybody sees it, and only once. */
[[nodiscard]] int plan_idmap(const struct plan_mount *pm, int tree_fd, struct err *e);
/* Whether the init may not do that itself, and asks its creator. */
bool plan_idmap_asked(const struct plan *p, const struct plan_mount *pm);
[[nodiscard]] int plan_cgroup_ready(const struct plan_mount *pm, const struct plan_cgroup *pc,
				    struct err *e);
/* All are there: settles what kind of a mount it is. */
void plan_cgroups_done(const struct plan *p, struct plan_mount *pm);

/* plan_devices.c: nodes for a container that may not make any. */
[[nodiscard]] int plan_devices(struct plan *p, struct err *e);

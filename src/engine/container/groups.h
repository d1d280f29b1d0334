/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control groups of one container: from linux.cgroupsPath and linux.resources of its spec to
 * directories and limits in every hierarchy of the machine, and back to figures. Controllers that
 * a v1 hierarchy has are used there, the others in the unified one; v1 values are converted where
 * only v2 has the controller.
 *
 * Where it is: an absolute cgroupsPath counts from each hierarchy's root, a relative one (or none:
 * then the id) from the caller's own cgroup, so that the caller's limits hold for it as well. With
 * `systemd` it names a scope that systemd makes (groups_systemd.h).
 *
 *	groups_make -> [clone3 with groups_clone_fd] -> groups_place, when groups_placed
 *	            -> groups_enter in the child, or groups_attach -> groups_arrived
 *	            -> update, freeze, usage ... -> groups_kill -> groups_remove -> groups_free
 *
 * groups_save and groups_load carry it over to another process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "sys/cgroup.h"

struct groups_unit;
struct spec;
struct spec_resources;
struct usage;

struct groups_place {
	unsigned controllers; /* enum cgroup_controller this hierarchy serves for the container */
	bool unified;
	bool made;	  /* ours: removed with the container */
	int dir_fd;	  /* owned, O_PATH */
	int enter_fd;	  /* owned: cgroup.procs for writing; FD_NONE after groups_load */
	const char *name; /* borrowed from layout: "memory", "name=systemd", "" */
	const char *dir;  /* borrowed from layout: the name of its directory in /sys/fs/cgroup */
	char *path;	  /* owned; below the hierarchy's root: "a/b" */
};

struct groups {
	struct cgroup_layout layout;
	enum rootless rootless;
	bool denied;		  /* some hierarchy was left out */
	bool begun;		  /* and not finished */
	bool saved;		  /* a state directory knows where it is: that never changes */
	struct groups_unit *unit; /* owned: the scope it is; NULL: made without systemd */
	size_t n;
	struct groups_place at[CGROUP_HIERARCHIES_MAX]; /* one of each hierarchy, same index */
};

struct groups_options {
	const char *id;				/* names the cgroup when there is no path */
	const char *path;			/* linux.cgroupsPath, or NULL */
	const struct spec_resources *resources; /* or NULL: no limit */
	bool systemd;				/* by a scope of systemd's */
	const struct spec *spec;		/* for its annotations, or NULL; systemd alone */
	int state_fd; /* for a note of the scope before it is made; up to 2: none; systemd alone */
	enum rootless rootless; /* hierarchies that cannot be written are left out when no limit
				 * needs them */
};

/*
 * Make the directories and set the limits. On failure nothing is left behind. CONFLICT: the cgroup
 * exists and has processes or is frozen. INVALID: a bad path or a value the kernel refuses; the
 * message names the file and the value. UNSUPPORTED: a limit no controller here can enforce.
 */
[[nodiscard]] int groups_make(const struct groups_options *o, struct groups **ret_g, struct err *e);

/*
 * The same in two parts, so that an init can be built between them: what clone3 must find (the
 * unified hierarchy's), then all others and the limits. What was made of it is there to be removed
 * when the second part fails.
 */
[[nodiscard]] int groups_begin(const struct groups_options *o, struct groups **ret_g,
			       struct err *e);
[[nodiscard]] int groups_finish(struct groups *g, const struct groups_options *o, struct err *e);

/*
 * The cgroups that groups_make would have made, as far as they exist: for what a crash left before
 * anything was saved.
 */
[[nodiscard]] int groups_find(const struct groups_options *o, struct groups **ret_g, struct err *e);

/* Whether the caller's lack of rights is lived with. Looks at /proc for root: not for nothing. */
bool groups_tolerant(enum rootless r);

/* None of its own, and no limits: it stays in its caller's. */
[[nodiscard]] int groups_none(struct groups **ret_g, struct err *e);

void groups_free(struct groups *g); /* closes only; NULL is fine */
static inline void groups_freep(struct groups **g)
{
	groups_free(*g);
}
#define auto_groups __attribute__((cleanup(groups_freep)))

/* Whether there is any at all: an ordinary user's container may have none. */
bool groups_any(const struct groups *g);

/*
 * A systemd scope may have to be entered by the parent's doing: then the child waits to be told,
 * and is told after groups_place. groups_arrived: the init is in it, and what held the place may
 * go.
 */
bool groups_placed(const struct groups *g);
[[nodiscard]] int groups_place(const struct groups *g, pid_t pid, struct err *e);
void groups_arrived(struct groups *g);

/* For CLONE_INTO_CGROUP: the unified cgroup's directory (borrowed), or FD_NONE. */
int groups_clone_fd(const struct groups *g);

/*
 * The calling process enters all of them (but the unified one when `cloned_into`). Safe in a child
 * after clone: only write(2). -errno, *ret_place says where it failed. To be called before
 * unshare(CLONE_NEWCGROUP), which takes the cgroups of that moment as its roots.
 */
[[nodiscard]] int groups_enter(const struct groups *g, bool cloned_into, size_t *ret_place);
/*
 * Open what groups_enter writes to, after groups_load. False: not all can be entered this way, and
 * groups_attach does it.
 */
bool groups_open(struct groups *g);
/*
 * Another process enters. `subs` name cgroups below the container's own: "a/b" where it exists,
 * "memory,cpu:a" in those hierarchies of v1; none: the container's own, or on v2, when that takes
 * no processes any more, the one of `init`.
 */
[[nodiscard]] int groups_attach(const struct groups *g, pid_t pid, pid_t init,
				const char *const *subs, size_t subs_n, struct err *e);

/* The controllers these resources cannot do without. r may be NULL. */
unsigned groups_needed(const struct spec_resources *r);

/* Change what `r` names and nothing else; restores nothing on failure. */
[[nodiscard]] int groups_update(const struct groups *g, const struct spec_resources *r,
				struct err *e);

/*
 * A thread of the kernel that works for a process of a cgroup is in it as well (KVM's, before Linux
 * 6.13). It cannot be frozen, so the cgroup never would be, with it: it goes to the root cgroup.
 */
void groups_dismiss_kernel_threads(const struct groups *g);
[[nodiscard]] int groups_freeze(const struct groups *g, bool frozen, nsec_t deadline,
				struct err *e);
bool groups_frozen(const struct groups *g);
/*
 * To freeze processes that wait for one of their own where only SIGKILL wakes them (seccomp's
 * notifications), which never come to stop: it is done when none of their threads runs, as whatever
 * wakes stops first. groups_freeze() thaws them.
 */
[[nodiscard]] int groups_hold(const struct groups *g, nsec_t deadline, struct err *e);

/*
 * The usual name of its directory in the hierarchy of this controller (0: the unified one), which
 * spares the way through groups_load; false: it is in none, or not found under that name.
 */
#define GROUPS_PATH_MAX (CGROUP_PATH_MAX + 64)
bool groups_path(const struct groups *g, unsigned controller,
		 char ret_path[static GROUPS_PATH_MAX]);

/* Thaw the v1 cgroup in which that process is frozen, whosever it is: it could not even die. */
void groups_thaw_process(pid_t pid);

/* A signal to every process in it (of all processes in one sweep, frozen meanwhile). */
[[nodiscard]] int groups_signal(const struct groups *g, int signo, struct err *e);
/* SIGKILL to all, thawed, until none is left. */
[[nodiscard]] int groups_kill(const struct groups *g, nsec_t deadline, struct err *e);

/* Pids as the caller's pid namespace sees them; *ret_n counts all, at most max are stored. */
[[nodiscard]] int groups_pids(const struct groups *g, pid_t *ret_pids, size_t max, size_t *ret_n,
			      struct err *e);

/* All fields but at and net_*; what is not known becomes UINT64_MAX. */
void groups_usage(const struct groups *g, struct usage *ret_u);

/* What the cgroups that these are in let all of them have together. */
struct groups_bounds {
	uint64_t memory;	/* bytes; 0: no limit */
	uint64_t quota, period; /* microseconds of processors; a quota of 0: no limit */
};
void groups_bounds(const struct groups *g, struct groups_bounds *ret_b);

/*
 * Remove the directories, with what the container made below them. Waits for processes that are
 * on their way out until the deadline. Parents that groups_make made go when they are empty. 0 also
 * when all are gone. Frees nothing.
 */
[[nodiscard]] int groups_remove(struct groups *g, nsec_t deadline, struct err *e);

/* Write where it is, once, to the file "cgroups" of a state directory, and take it up from there.
 */
[[nodiscard]] int groups_save(struct groups *g, int state_fd, struct err *e);
[[nodiscard]] int groups_load(int state_fd, struct groups **ret_g, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's control groups as directories: which hierarchies there are (v1, v2, or both beside
 * each other), where the caller is in them, making, entering, listing, freezing, killing and
 * removing one. Not what a container wants limited: engine/container/groups.h.
 *
 * Everything goes through directory descriptors: a hierarchy is opened once. Mechanism: 0 or more,
 * or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/str.h"

enum cgroup_controller {
	CGROUP_CPU = 1u << 0,
	CGROUP_CPUACCT = 1u << 1, /* v1 only; on v2 part of cpu */
	CGROUP_CPUSET = 1u << 2,
	CGROUP_MEMORY = 1u << 3,
	CGROUP_IO = 1u << 4, /* "blkio" on v1 */
	CGROUP_PIDS = 1u << 5,
	CGROUP_DEVICES = 1u << 6, /* v1; on v2 an eBPF program, any cgroup takes one */
	CGROUP_FREEZER = 1u << 7, /* v1; on v2 every cgroup but the root freezes */
	CGROUP_HUGETLB = 1u << 8,
	CGROUP_RDMA = 1u << 9,
	CGROUP_NET_CLS = 1u << 10,  /* v1 only */
	CGROUP_NET_PRIO = 1u << 11, /* v1 only */
	CGROUP_PERF = 1u << 12,
	CGROUP_MISC = 1u << 13,
};

#define CGROUP_HIERARCHIES_MAX 20
#define CGROUP_PATH_MAX	       1024

struct cgroup_hierarchy {
	unsigned controllers; /* enum cgroup_controller; on v2: those the root offers */
	bool unified;	      /* the v2 hierarchy */
	int root_fd;	      /* owned: the mount's root, O_PATH */
	char name[48];	      /* "cpu,cpuacct", "name=systemd", "" on v2: as in /proc/PID/cgroup */
	char dir[48]; /* its directory's name below /sys/fs/cgroup: "cpu,cpuacct", "systemd" */
	char *own;    /* owned: the caller's cgroup below root_fd: "" or "a/b" */
};

struct cgroup_layout {
	size_t n;
	struct cgroup_hierarchy at[CGROUP_HIERARCHIES_MAX];
};

#define CGROUP_LAYOUT_INIT ((struct cgroup_layout){ .n = 0 })

/* All hierarchies mounted and usable from here; n is 0 when there is none. */
[[nodiscard]] int cgroup_layout_open(struct cgroup_layout *ret_l);
void cgroup_layout_fini(struct cgroup_layout *l);
#define auto_cgroup_layout __attribute__((cleanup(cgroup_layout_fini)))

/* The bit of a name such as "memory" or "blkio" or "io"; 0: none we know. */
unsigned cgroup_controller_of(struct str name);
const char *cgroup_controller_name(enum cgroup_controller c, bool unified);

/*
 * Normalise a cgroups path to "a/b": no leading or doubled slashes. -EINVAL: a ".." or "."
 * component, or nothing left; -ENAMETOOLONG.
 */
[[nodiscard]] int cgroup_path_clean(struct str path, char ret_path[static CGROUP_PATH_MAX]);

/*
 * Make `path` ("a/b") below the hierarchy's root with all its parents, which get a mark; v1 cpusets
 * get their parent's cpus and mems, v2 parents get the wanted controllers enabled (those that
 * cannot be are left out). Gives the directory's descriptor. *ret_made: how many components did not
 * exist.
 */
[[nodiscard]] int cgroup_make(const struct cgroup_hierarchy *h, const char *path, unsigned want,
			      size_t *ret_made);

/* Open an existing one; -ENOENT. */
[[nodiscard]] int cgroup_open(const struct cgroup_hierarchy *h, const char *path);

/*
 * Whether the kernel lets a caller who is not root move himself from his own cgroup to `path` of
 * the v2 hierarchy: he must be able to write the cgroup.procs of the one that is above both.
 */
bool cgroup_may_enter(const struct cgroup_hierarchy *h, const char *path);

/* One write(2) to a control file. */
[[nodiscard]] int cgroup_write(int dir_fd, const char *file, const char *text);
[[nodiscard]] int cgroup_write_u64(int dir_fd, const char *file, uint64_t v);
/* The file's text, NUL-terminated; more than size - 1 bytes are cut. Gives the length. */
[[nodiscard]] int cgroup_read(int dir_fd, const char *file, char *ret_text, size_t size);
/* A file of one number; "max" and "-1" are UINT64_MAX. */
[[nodiscard]] int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret_v);
/* The number after `key` in text of "key value" lines (memory.stat, cpu.stat). -ENOENT. */
[[nodiscard]] int cgroup_stat_get(const char *text, const char *key, uint64_t *ret_v);

/*
 * The processes of the cgroup and, deep, of those below it, at most max of them in the array.
 * *ret_n counts all there are.
 */
[[nodiscard]] int cgroup_pids(int dir_fd, bool deep, pid_t *ret_pids, size_t max, size_t *ret_n);

/* Freeze or thaw (v1 freezer hierarchy, or any v2 one) and wait until it is so. -ETIMEDOUT. */
[[nodiscard]] int cgroup_freeze(int dir_fd, bool unified, bool frozen, nsec_t deadline);
/* 1 frozen or freezing, 0 not. */
[[nodiscard]] int cgroup_frozen(int dir_fd, bool unified);

/* Remove `path` and every cgroup below it; 0 also when there is none. -EBUSY: processes in it. */
[[nodiscard]] int cgroup_remove(const struct cgroup_hierarchy *h, const char *path);
/* Remove the parents of `path` that cgroup_make made and that are empty, from the innermost. */
void cgroup_remove_parents(const struct cgroup_hierarchy *h, const char *path);

/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs about the installation as a whole: info, df, prune, repair. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "svc/svc.h"
#include "svc/workload.h"

struct system_engine {
	const char *name;
	bool usable, emulated;
	const char *why; /* when not */
};

struct system_info {
	const char *version, *kernel, *os, *architecture, *hostname;
	const char *root, *state, *cgroup; /* "v1" "hybrid" "v2" */
	uint32_t cpus;
	uint64_t memory;
	uint32_t workloads, running, paused, stopped, images, volumes;
	struct system_engine *engines;
	size_t engines_n;
	const char **security; /* "seccomp" "apparmor" ... */
	size_t security_n;
	const char **warnings; /* what this machine lacks */
	size_t warnings_n;
};
[[nodiscard]] int system_info(struct svc *s, struct arena *a, struct system_info *ret,
			      struct err *e);

struct system_usage {	  /* a row of df */
	const char *type; /* "Images" "Containers" "Local Volumes" "Snapshots", ... */
	uint32_t total, active;
	uint64_t bytes, reclaimable;
};
struct system_df {
	struct system_usage images, workloads, volumes;
	/* Of machines: files of images as disks, and what was prepared of kernels. */
	struct system_usage snapshots, disks, kernels;
};
[[nodiscard]] int system_df(struct svc *s, struct arena *a, struct system_df *ret, struct err *e);

struct system_prune_options {
	bool all;     /* unused images too, not only untagged */
	bool volumes; /* anonymous ones too */
	const char *const *filters;
	size_t filters_n;
};
struct system_prune {
	struct prune_result workloads, volumes, images;
};
[[nodiscard]] int system_prune(struct svc *s, const struct system_prune_options *o, struct arena *a,
			       struct system_prune *ret, struct err *e);

struct repair_finding {
	const char *what; /* one sentence: what was found, and what was done about it */
	bool mended;
};
struct repair {
	struct repair_finding *v;
	size_t n;
};
/*
 * Find and mend what a crash left: records whose shim is gone, workloads without a shim, run
 * directories, workload directories, volumes and layers without a record, half-written files,
 * mounts and cgroups of workloads that are gone. Then start again what its restart policy wants.
 * dry_run: only tell.
 */
[[nodiscard]] int system_repair(struct svc *s, bool dry_run, struct arena *a, struct repair *ret,
				struct err *e);

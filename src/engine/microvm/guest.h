/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spec becomes inside of the machine. Paths of the host turn into shares (directories and
 * files that the device server shows to the guest), what the host does for the workload (control
 * groups of processors and disks, hooks of the host) is left out, and what is left is a config.json
 * for the container engine in the guest. Pure but for guest_open, which opens the shares.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "engine/microvm/rates.h"
#include "engine/pod.h"

struct bundle;
struct groups_bounds;
struct json;
struct json_writer;
struct spec;
struct spec_cpu;
struct spec_mount;
struct spec_process;
struct spec_resources;
struct spec_cpu;

#define GUEST_SHARES "/run/atoll/shares" /* where the agent mounts them */
#define GUEST_ROOT   "root"		 /* the share of the root file system */

struct guest_share {
	const char *name;
	const char *source; /* a path of the host, relative ones from the bundle; NULL: the root */
	const char *destination;
	bool read_only; /* enforced by the device server, whatever the guest does */
	bool recursive, nofollow;
	bool copy;   /* after a restore: not the very directory that the guest had, but its like */
	bool cloned; /* fd is */
	uint64_t dev, ino, mount; /* of the source */
	int fd; /* owned: a clone of the mount, or O_PATH where that is not allowed */
	/* Owned: another clone, for the host's view of the workload. What is attached on it must
	 * not be on the server's: to a guest the directories below would become other ones, and
	 * its own mounts on them would fall off. FD_NONE: none could be had. */
	int view_fd;
};

struct guest {
	struct guest_share *shares; /* in the arena; the first is the root */
	size_t shares_n;
	int disk_fd;  /* borrowed: the root instead of the first share; FD_NONE: none */
	int upper_fd; /* borrowed: a disk over that, which can be written; FD_NONE: none */
	bool names;   /* users are looked up in there */
	enum pod_role pod;
	uint64_t memory;     /* bytes that the guest has at first */
	uint64_t memory_max; /* bytes of the machine: the rest is in its balloon */
	uint32_t cpus;	     /* that the guest uses at first */
	uint32_t cpus_max;   /* of the machine; 0: whatever costs nothing */
	struct rates rates;
	/* What the host limits: its processes are the machine. In the arena. */
	struct spec_resources *host;
};

#define GUEST_MEMORY_DEFAULT (UINT64_C(512) << 20)
#define GUEST_MEMORY_LEAST   (UINT64_C(128) << 20)
#define GUEST_CPUS_MAX	     64
/* Of a machine whose guest has so much. */
uint64_t guest_memory_of(int64_t limit);
/* Of a machine that may use so much of the host's processors; `else_` where that says nothing. */
uint32_t guest_cpus_of(const struct spec_cpu *c, uint32_t else_);
/* Of a pod's machine beside what its containers may have. */
#define GUEST_POD_OWN (UINT64_C(128) << 20)
/* Of the machine's processes beside the guest's memory. */
#define GUEST_OVERHEAD (UINT64_C(256) << 20)

/* What of the spec becomes what; opens nothing. */
[[nodiscard]] int guest_plan(struct arena *a, const struct spec *s, enum pod_role pod,
			     struct guest *ret_g, struct err *e);
/* Only how large a pod's machine is to be, by the annotations of a spec. */
[[nodiscard]] int guest_plan_pod(struct arena *a, const struct spec *s, struct guest *ret_g,
				 struct err *e);
/*
 * A pod's machine that has to live within so much memory and so many processors of the host, with
 * `own` bytes for its processes (GUEST_POD_OWN; emulated GUEST_OVERHEAD). INVALID: too little.
 */
[[nodiscard]] int guest_fit(struct guest *g, const struct groups_bounds *b, uint64_t own,
			    struct err *e);
/* Open the shares' sources. guest_close also after a failure. */
[[nodiscard]] int guest_open(struct guest *g, const struct bundle *b, struct err *e);
void guest_close(struct guest *g);

/*
 * config.json for the guest: of the spec, and of the document it was decoded from where the guest
 * gets it as it is.
 */
void guest_config(struct buf *out, const struct guest *g, const struct spec *s,
		  const struct json *config);
/* A process alone, for an exec. names: users' are looked up in there. */
void guest_process(struct json_writer *w, const char *key, const struct spec_process *p,
		   bool names);

/* Its share of the machine's processors, where the guest's cgroups are to see to it. */
void guest_cpu(struct json_writer *w, const struct spec_cpu *c);

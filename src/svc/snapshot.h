/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: a running workload kept under a name, with its memory, its own files and its
 * configuration, as what new workloads begin with. Unlike a checkpoint (svc/checkpoint.h) it
 * outlives its workload, which goes on, and every workload made from it is another one: id, name,
 * host name and, in a machine, network addresses and randomness are its own. Volumes and bind
 * mounts are no part of it: all that are made from it share them.
 *
 *	ROOT/snapshots/NAME/snapshot.json	fmt/kept.h
 *	                   /state/		what engine_snapshot writes
 *	                   /state/files/	the workload's own files
 *	ROOT/snapshots/.part-HEX/		one that is being written or removed; who does so
 *						holds its lock
 *
 * It becomes visible, and vanishes, by one rename. A machine that runs from one has its memory file
 * mapped: it is never written to, and may be removed meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/config.h"
#include "svc/svc.h"

struct attach_options; /* svc/attach.h */
struct prune_result;   /* svc/workload.h */
struct shim_conn;      /* svc/supervise.h */

struct snapshot_make {
	bool stop; /* the workload ends with it */
	bool diff; /* only what changed in its memory since its last snapshot, which is kept */
	bool tcp_established, ext_unix_sk, file_locks; /* of a container: as of a checkpoint */
};
/*
 * Fails: CONFLICT the name is in use, it does not run, no snapshot to differ from; UNSUPPORTED;
 * REMOTE what CRIU says. The workload goes on as before then, and nothing is left.
 */
[[nodiscard]] int snapshot_create(struct svc *s, const char *ref, const char *name,
				  const struct snapshot_make *o, struct err *e);

struct snapshot_info {
	const char *name, *workload, *workload_id, *image, *image_id, *isolation;
	const char *base; /* NULL: it is whole */
	nsec_t created;
	uint64_t bytes; /* on disk */
};
struct snapshot_infos {
	struct snapshot_info *v; /* newest first */
	size_t n;
};
[[nodiscard]] int snapshot_ls(struct svc *s, struct arena *a, struct snapshot_infos *ret,
			      struct err *e);
/* One object: what ls shows, and the configuration. NOT_FOUND. */
[[nodiscard]] int snapshot_inspect(struct svc *s, const char *name, struct buf *ret_json,
				   struct err *e);
/* CONFLICT: another is on top of it, or a workload that was created from it has not begun. */
[[nodiscard]] int snapshot_rm(struct svc *s, const char *name, struct err *e);
/* Those that no workload was made from; all: the others, too. And what was left half. */
[[nodiscard]] int snapshot_prune(struct svc *s, bool all, struct arena *a, struct prune_result *ret,
				 struct err *e);

/*
 * The configuration that a workload from it begins with: the one it is of, without its name, its
 * host name and --rm. Lives in the arena.
 */
[[nodiscard]] int snapshot_config(struct svc *s, const char *name, struct arena *a,
				  struct workload_config *ret, struct err *e);
/*
 * A workload that was created from such a configuration goes on from there; as workload_start(),
 * which does this for one that has not begun. Later it begins at the beginning.
 */
[[nodiscard]] int snapshot_start(struct svc *s, const char *name, const char *id,
				 const struct attach_options *attach, struct shim_conn *ret_conn,
				 int *ret_exit_code, struct err *e);

/*
 * A running workload into more of its kind, without a snapshot that stays. each: called for every
 * one that runs. Those before a failure stay.
 */
[[nodiscard]] int workload_clone(struct svc *s, const char *ref, const char *const *names,
				 size_t names_n, const struct snapshot_make *o,
				 void (*each)(void *ctx, const char *id), void *ctx, struct err *e);
/* What was left half by who is gone; how many there were. dry_run: they stay. */
[[nodiscard]] int snapshot_sweep(struct svc *s, bool dry_run, size_t *ret_n, struct err *e);
/* The same of images that are held for snapshots which are not there. */
[[nodiscard]] int snapshot_sweep_pins(struct svc *s, bool dry_run, size_t *ret_n, struct err *e);

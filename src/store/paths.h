/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every path of Atoll's own on disk, named once. Nothing else in the tree spells one.
 *
 *	ROOT  (lasting; --root, ATOLL_ROOT, default /var/lib/atoll); all
 *	  below it is closed to others of the host
 *	  atoll.db, atoll.db-wal, atoll.db-shm	the state store
 *	  atoll.lock				the queue of its writers (flock)
 *	  blobs/sha256/HEX			content by digest
 *	  layers/HEX/				an unpacked layer, HEX = chain id
 *	  disks/HEX				the files of an image as one disk, HEX = the
 *						chain id of its topmost layer
 *	  disks/ext4-BYTES			an empty disk of this size (svc/own_disk.h)
 *	  tmp/					what is being written or removed; swept by repair
 *	  snapshots/NAME/			snapshot.json, state/: the engine's files
 *	  volumes/NAME/_data/
 *	  kernels/				kernels of machines: engine/kernel.h
 *	  advisories/NAME			a data base of `image scan`: fmt/advisory.h
 *	  workloads/ID/				config.json, hosts, hostname, resolv.conf, shm/,
 *						upper/, work/, disk, workload.log[.N],
 *						checkpoints/NAME/, CRIU's logs
 *	STATE  (until reboot; --state, ATOLL_STATE, default /run/atoll)
 *	  user, user.lock			an ordinary user's namespaces (svc/user.c)
 *	  workloads/ID/				0700: shim.sock, pid, the engine's state
 *	  @seccomp/				0700: the container engine's compiled filters
 */
#pragma once

#include "base/err.h"

#define PATHS_MAX 256 /* bytes of ROOT or STATE with the NUL: leaves room below for sun_path */

struct paths {
	char root[PATHS_MAX];
	char state[PATHS_MAX];
};

/* Of an ordinary user the defaults are ~/.local/share/atoll and XDG_RUNTIME_DIR/atoll. */

/* In STATE. */
#define PATHS_USER "user"

/* In ROOT/workloads/ID: what a workload with a kernel of its own has written. */
#define PATHS_DISK     "disk"
#define PATHS_DISK_NEW "disk.new"

/* Names in ROOT/tmp of what is left of removed workloads. */
#define PATHS_ASIDE "workload-"

/* A path below one of the two, with room for an id and a file name. */
#define PATHS_FULL_MAX (PATHS_MAX + 256)
struct path_text {
	char z[PATHS_FULL_MAX];
};

/*
 * root, state: NULL takes the environment, then the default. Relative ones are made absolute.
 * Changes nothing on disk. Fails: INVALID too long, not a clean path.
 */
[[nodiscard]] int paths_init(struct paths *p, const char *root, const char *state, struct err *e);
/* Make both directories and their fixed subdirectories; cheap when they are there. */
[[nodiscard]] int paths_make(const struct paths *p, struct err *e);

struct path_text paths_db(const struct paths *p);
struct path_text paths_lock(const struct paths *p);
struct path_text paths_tmp(const struct paths *p);
struct path_text paths_blobs(const struct paths *p);		      /* ROOT/blobs/sha256 */
struct path_text paths_layers(const struct paths *p);		      /* ROOT/layers */
struct path_text paths_layer(const struct paths *p, const char *hex); /* of a chain id */
struct path_text paths_disks(const struct paths *p);	 /* ROOT/disks, made at first use */
struct path_text paths_snapshots(const struct paths *p); /* made at first use */
struct path_text paths_volumes(const struct paths *p);
struct path_text paths_volume(const struct paths *p, const char *name); /* ROOT/volumes/NAME */
struct path_text paths_kernels(const struct paths *p);			/* made at first use */
struct path_text paths_advisories(const struct paths *p);		/* made at first use */
struct path_text paths_workloads(const struct paths *p);
struct path_text paths_workload(const struct paths *p, const char *id);	   /* ROOT/workloads/ID */
struct path_text paths_aside(const struct paths *p, const char *id);	   /* see store/discard.h */
struct path_text paths_log(const struct paths *p, const char *id);	   /* .../workload.log */
struct path_text paths_checkpoints(const struct paths *p, const char *id); /* .../checkpoints */
struct path_text paths_runs(const struct paths *p);			   /* STATE/workloads */
struct path_text paths_run(const struct paths *p, const char *id);	   /* STATE/workloads/ID */

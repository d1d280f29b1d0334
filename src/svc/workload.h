/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of a workload's life. Every verb that takes `ref` resolves id, name or unique id
 * prefix, heals the record first when its shim is gone, and says so through svc->notice.
 * Attached streams and exec are svc/attach.h and svc/exec.h; logs are svc/logs.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "store/workload.h"
#include "svc/config.h"
#include "svc/svc.h"

struct shim_conn;      /* svc/supervise.h: a session's streams */
struct attach_options; /* svc/attach.h */
struct ahead;	       /* svc/ahead.h: for those who start what they make */

/*
 * Resolve the image, fill what the user left open, write the record and the workload's directory.
 * foreground: nothing is acknowledged until the run ends, so nothing is synced. ahead: to be given
 * to workload_start() too, or NULL; what c points to must then last as long. Fails: INVALID;
 * NOT_FOUND no such image; CONFLICT the name is in use; UNSUPPORTED.
 */
[[nodiscard]] int workload_create(struct svc *s, const struct workload_config *c, bool foreground,
				  struct ahead *ahead, char ret_id[static WORKLOAD_ID_MAX],
				  struct err *e);

/*
 * Plan, bundle, spawn the shim, create and start. With attach the streams are joined before the
 * first instruction of the workload and *ret_conn is the session (attach.h), and nothing is synced:
 * nothing is acknowledged before it ends. NULL, NULL: detached. Starting what runs already succeeds
 * without effect; with attach it is CONFLICT.
 * Fails: as its parts; *ret_exit_code (may be NULL) is then what `run` exits with: 125, 126 the
 * command cannot be executed (DENIED), 127 it is not there (NOT_FOUND).
 */
[[nodiscard]] int workload_start(struct svc *s, const char *ref, struct ahead *ahead,
				 const struct attach_options *attach, struct shim_conn *ret_conn,
				 int *ret_exit_code, struct err *e);

/* timeout_s: -1 takes the workload's own (10 s), then SIGKILL. signal: NULL, its own. */
[[nodiscard]] int workload_stop(struct svc *s, const char *ref, int64_t timeout_s,
				const char *signal, struct err *e);
[[nodiscard]] int workload_restart(struct svc *s, const char *ref, int64_t timeout_s,
				   const char *signal, struct err *e);
[[nodiscard]] int workload_kill(struct svc *s, const char *ref, const char *signal, struct err *e);
[[nodiscard]] int workload_pause(struct svc *s, const char *ref, struct err *e);
[[nodiscard]] int workload_unpause(struct svc *s, const char *ref, struct err *e);
/* force: kill first. volumes: its anonymous volumes too. */
[[nodiscard]] int workload_rm(struct svc *s, const char *ref, bool force, bool volumes,
			      struct err *e);
[[nodiscard]] int workload_rename(struct svc *s, const char *ref, const char *name, struct err *e);

enum wait_for { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
/* Block until then; *ret_code the exit code. No deadline: the caller may be interrupted. */
[[nodiscard]] int workload_wait(struct svc *s, const char *ref, enum wait_for until, int *ret_code,
				struct err *e);

/* What `update` changes: the members whose bit is set in `what`. */
enum update_what {
	UPDATE_MEMORY = 1u << 0,
	UPDATE_MEMORY_SWAP = 1u << 1,
	UPDATE_MEMORY_RESERVATION = 1u << 2,
	UPDATE_CPUS = 1u << 3,
	UPDATE_CPU_SHARES = 1u << 4,
	UPDATE_CPU_PERIOD = 1u << 5,
	UPDATE_CPU_QUOTA = 1u << 6,
	UPDATE_CPUSET_CPUS = 1u << 7,
	UPDATE_CPUSET_MEMS = 1u << 8,
	UPDATE_PIDS_LIMIT = 1u << 9,
	UPDATE_BLKIO_WEIGHT = 1u << 10,
	UPDATE_RESTART = 1u << 11,
	UPDATE_READ_BPS = 1u << 12, /* these replace what was said of the same device */
	UPDATE_WRITE_BPS = 1u << 13,
	UPDATE_READ_IOPS = 1u << 14,
	UPDATE_WRITE_IOPS = 1u << 15,
	UPDATE_NETWORK_RX_BPS = 1u << 16,
	UPDATE_NETWORK_RX_PPS = 1u << 17,
	UPDATE_NETWORK_TX_BPS = 1u << 18,
	UPDATE_NETWORK_TX_PPS = 1u << 19,
};
struct workload_update {
	unsigned what;
	struct resources_config resources;
	uint32_t restart, restart_max;
};
[[nodiscard]] int workload_update(struct svc *s, const char *ref, const struct workload_update *u,
				  struct err *e);

/* ---- looking ---------------------------------------------------------------------------- */

enum { WORKLOAD_SIZE_UNKNOWN = -1 };

struct workload_info { /* a row of ps */
	struct workload_record record;
	int64_t size_rw, size_root; /* bytes, WORKLOAD_SIZE_UNKNOWN unless asked for */
};
struct workload_infos {
	struct workload_info *v; /* newest first */
	size_t n;
};
struct workload_filter { /* AND between kinds, OR within one; all views borrowed */
	bool all;	 /* not only those running */
	bool size;	 /* fill the sizes: walks the file trees */
	bool brief;	 /* only ids and names are wanted: the rest may be empty */
	uint32_t last;	 /* the n newest, 0: no bound */
	/* "key=value": id name label status ancestor exited health isolation network volume
	 * before since */
	const char *const *filters;
	size_t filters_n;
};
[[nodiscard]] int workload_ps(struct svc *s, const struct workload_filter *f, struct arena *a,
			      struct workload_infos *ret, struct err *e);
/* "Up 5 minutes (healthy)", "Exited (1) 2 hours ago": docker's STATUS column. */
#define WORKLOAD_STATUS_MAX 96
void workload_status_text(const struct workload_status *st, nsec_t created, nsec_t now,
			  char ret_text[static WORKLOAD_STATUS_MAX]);

struct workload_detail {
	struct workload_info info;
	struct workload_config config;
};
[[nodiscard]] int workload_look(struct svc *s, const char *ref, bool size, struct arena *a,
				struct workload_detail *ret, struct err *e);
/* One object of docker's `inspect`, with Atoll's own under "Atoll". For inspect and the API. */
[[nodiscard]] int workload_inspect(struct svc *s, const char *ref, bool size, struct buf *ret_json,
				   struct err *e);

struct top_row {
	const char **columns;
};
struct top {
	const char **titles; /* "UID" "PID" "PPID" "C" "STIME" "TTY" "TIME" "CMD" */
	size_t titles_n;
	struct top_row *rows;
	size_t rows_n;
};
/* ps_args: NULL for docker's "-ef". Reads /proc itself, no ps needed: -ef, aux, -o LIST. */
[[nodiscard]] int workload_top(struct svc *s, const char *ref, const char *const *ps_args,
			       size_t ps_args_n, struct arena *a, struct top *ret, struct err *e);

struct stats {
	const char *id, *name;
	bool running;
	struct usage now;
	uint64_t system_cpu_ns; /* of the whole host at `now` */
	uint32_t online_cpus;
};
/* One sample; the caller computes rates from two. refs NULL: all that run. */
[[nodiscard]] int workload_stats(struct svc *s, const char *const *refs, size_t refs_n,
				 struct arena *a, struct stats **ret, size_t *ret_n, struct err *e);

/* ---- its files -------------------------------------------------------------------------- */

struct diff_entry {
	char kind;	  /* 'A' added, 'C' changed, 'D' deleted */
	const char *path; /* absolute, in the workload */
};
struct diff {
	struct diff_entry *v; /* by path */
	size_t n;
};
[[nodiscard]] int workload_diff(struct svc *s, const char *ref, struct arena *a, struct diff *ret,
				struct err *e);

struct path_stat {	  /* what cp needs to know of the other end */
	const char *name; /* last component */
	uint64_t size;
	mode_t mode;
	nsec_t mtime;
	const char *link_target; /* or NULL */
};
[[nodiscard]] int workload_path_stat(struct svc *s, const char *ref, const char *path,
				     struct arena *a, struct path_stat *ret, struct err *e);
/*
 * docker cp's two ends as tar streams. Out: the file or directory `path` under its own last name;
 * follow: what a symlink at the end points to. In: unpack into the directory `path`, never
 * leaving the workload's root whatever links it changes meanwhile.
 */
[[nodiscard]] int workload_archive_out(struct svc *s, const char *ref, const char *path,
				       bool follow, int out_fd, struct err *e);
struct archive_in_options {
	bool keep_owner;       /* -a */
	bool no_overwrite_dir; /* refuse directory over file and file over directory */
};
[[nodiscard]] int workload_archive_in(struct svc *s, const char *ref, const char *path,
				      const struct archive_in_options *o, int in_fd, struct err *e);
/* The whole root as a tar. */
[[nodiscard]] int workload_export(struct svc *s, const char *ref, int out_fd, struct err *e);

struct commit_options {
	const char *reference; /* NULL: untagged */
	const char *author, *message;
	const char *const *changes; /* Dockerfile lines: CMD, ENV, ... */
	size_t changes_n;
	bool no_pause;
};
#define IMAGE_ID_TEXT_MAX 80 /* "sha256:" and 64 digits with the NUL, rounded */
[[nodiscard]] int workload_commit(struct svc *s, const char *ref, const struct commit_options *o,
				  char ret_image_id[static IMAGE_ID_TEXT_MAX], struct err *e);

struct prune_result {
	const char **names;
	size_t n;
	uint64_t bytes;
};
/* Removes all that do not run. filters: "label=..", "label!=..", "until=..". */
[[nodiscard]] int workload_prune(struct svc *s, const char *const *filters, size_t filters_n,
				 struct arena *a, struct prune_result *ret, struct err *e);

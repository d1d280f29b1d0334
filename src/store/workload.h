/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of workloads. The row has two halves with two writers: identity and configuration are
 * written by svc (create, rename, update, rm), the state by the workload's shim alone while it
 * lives, and by healing once it is gone. Names are unique; ids are 64 hex digits.
 *
 *  CREATED --> RUNNING <--> PAUSED,   RUNNING --> RESTARTING --> RUNNING
 *  RUNNING, PAUSED, RESTARTING --> EXITED --> RUNNING (start again);   any --> REMOVING --> gone
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "store/store.h"

#define WORKLOAD_ID_LEN	   64
#define WORKLOAD_ID_MAX	   (WORKLOAD_ID_LEN + 1)
#define WORKLOAD_SHORT_LEN 12

/* On disk by number: append only. */
enum workload_state {
	WORKLOAD_CREATED,
	WORKLOAD_RUNNING,
	WORKLOAD_PAUSED,
	WORKLOAD_RESTARTING, /* waiting for its back-off */
	WORKLOAD_EXITED,
	WORKLOAD_REMOVING,
	WORKLOAD_DEAD, /* could not be cleaned up; rm tries again */
};

enum workload_health { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

const char *workload_state_name(enum workload_state s); /* "created" "running" ...: docker's */
const char *workload_health_name(enum workload_health h);

/* The half the shim writes. A process is its pid and its ident (sys/process.h): pids recur. */
struct workload_status {
	enum workload_state state;
	enum workload_health health;
	pid_t pid;	    /* of the workload's init on the host, 0 when not running */
	uint64_t pid_ident; /* process_ident() of it */
	pid_t shim_pid;	    /* 0: none */
	uint64_t shim_ident;
	int exit_code;
	bool oom_killed;
	bool emulated;	      /* the last start's machine: its processor is a program */
	bool stopped_by_user; /* unless-stopped: not started again by repair */
	uint32_t restarts;
	nsec_t started, finished; /* wall; 0: never */
	const char *error;	  /* why it could not run, or NULL */
	const char *health_log;	  /* JSON array of the last checks, or NULL */
};

/* The size of `ps`: all but the configuration's text. */
struct workload_record {
	int64_t seq; /* grows with every create: docker's order of ps is descending */
	const char *id, *name;
	const char *image;    /* as the user named it */
	const char *image_id; /* "sha256:HEX" of the image's configuration, or "" */
	const char *isolation;
	const char *command; /* entry point and arguments for people, one line */
	const char *network; /* "none" "host" */
	const char *labels;  /* JSON object, or NULL */
	const char *mounts;  /* JSON array of volume names and paths, or NULL */
	const char *boot_id; /* the boot that the status' pids are of */
	nsec_t created;
	bool auto_remove;
	struct workload_status status;
};

/* In a write. Fails: CONFLICT the name or id is in use (the message names the holder). */
[[nodiscard]] int store_workload_add(struct store *s, const struct workload_record *w,
				     const char *config_json, struct err *e);
[[nodiscard]] int store_workload_rename(struct store *s, const char *id, const char *name,
					struct err *e);
[[nodiscard]] int store_workload_set_config(struct store *s, const char *id,
					    const char *config_json, struct err *e);
/*
 * Its row, its volume references; *ret_found false: there was none (not an error). ret_attributes
 * (NULL: not wanted): of the event that tells of it.
 */
[[nodiscard]] int store_workload_remove(struct store *s, const char *id, struct buf *ret_attributes,
					bool *ret_found, struct err *e);

/*
 * The shim's write: the whole status, this boot's id, and an event (action NULL: none) with
 * attributes as a JSON object or NULL. Inside a write of the caller. NOT_FOUND: removed meanwhile.
 */
[[nodiscard]] int store_workload_set_status(struct store *s, const char *id,
					    const struct workload_status *st, const char *action,
					    const char *attributes, struct err *e);
/*
 * By full id, name ("/name" too) or unique prefix of the id, in this order.
 * Fails: NOT_FOUND; CONFLICT the prefix fits more than one.
 */
[[nodiscard]] int store_workload_find(struct store *s, const char *ref, struct arena *a,
				      struct workload_record *ret, struct err *e);
[[nodiscard]] int store_workload_config(struct store *s, const char *id, struct arena *a,
					const char **ret_json, struct err *e);

struct workload_records {
	struct workload_record *v; /* newest first */
	size_t n;
};
enum {
	WORKLOAD_LIST_RUNNING = 1u << 0, /* those whose state has a process */
	/* Of the texts only id, name and boot_id; the others are empty. Four times as fast. */
	WORKLOAD_LIST_BRIEF = 1u << 1,
};
/* what: WORKLOAD_LIST_* flags. One query, one pass. */
[[nodiscard]] int store_workload_list(struct store *s, unsigned what, struct arena *a,
				      struct workload_records *ret, struct err *e);

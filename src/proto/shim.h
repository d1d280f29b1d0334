/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What svc and a workload's shim say to each other over a unix seqpacket socket: one typed message
 * per datagram, descriptors beside it (SCM_RIGHTS). The first connection is inherited by the shim
 * and begins with CREATE; later ones come in over STATE/workloads/ID/shim.sock. Not a public
 * interface: both ends are of one build, and a message of another version is refused. PREPARE may
 * come before CREATE, with what is known by then: what cannot be prepared CREATE meets again.
 *
 * A connection serves one request after the other: each is answered by its own reply, OK or ERROR.
 * CREATE (with attach), ATTACH and EXEC (not detached) are answered by STARTED or OK and make a
 * session of the connection, from then on:
 *
 *	client: STDIN* STDIN_END? RESIZE* SIGNAL*       unanswered but for TAKEN
 *	shim:   OUTPUT* GAP* TAKEN* SINK_CLOSED* RECORD? EXITED
 *
 * EXITED is the last; then the shim hangs up. The client answers RECORD with RECORDED.
 *
 * A client sends at most SHIM_STDIN_WINDOW bytes of STDIN that are not TAKEN yet: so what follows
 * them (a signal, a new size) is not held up by a workload that does not read.
 *
 * Hanging up detaches; the workload runs on. Wire form: a header {version, type, field count},
 * then fields {tag, length, bytes}, little-endian; unknown tags are refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/fields.h"
#include "proto/process.h"
#include "proto/usage.h"

#define SHIM_MESSAGE_MAX  (192u << 10) /* bytes of one datagram; below the default wmem_max */
#define SHIM_DATA_MAX	  (16u << 10)  /* bytes of STDIN and OUTPUT */
#define SHIM_STDIN_WINDOW (64u << 10)
#define SHIM_FDS_MAX	  FIELD_FDS_MAX
#define SHIM_ID_MAX	  64 /* hex digits of an id */
#define SHIM_FD		  3  /* the descriptor number of the first connection in a new shim */

enum shim_type {
	SHIM_NONE,
	/* requests */
	SHIM_CREATE, /* struct shim_create: set up and start; STARTED */
	SHIM_SIGNAL, /* struct shim_signal; OK */
	SHIM_STOP,   /* struct shim_stop: signal, then kill at the timeout; OK once it has ended */
	SHIM_PAUSE,  /* OK */
	SHIM_RESUME, /* OK */
	SHIM_UPDATE, /* struct shim_update; OK */
	SHIM_EXEC,   /* struct shim_exec; STARTED */
	SHIM_CHECKPOINT, /* struct shim_checkpoint; OK; it has ended then unless left running */
	SHIM_ATTACH,	 /* struct shim_attach; OK */
	SHIM_RESIZE,	 /* struct shim_resize; OK outside of a session */
	SHIM_STDIN,	 /* struct shim_data */
	SHIM_STDIN_END,	 /* nothing more to read; closes the workload's stdin if stdin-once */
	SHIM_WAIT,	 /* struct shim_wait; EXITED */
	SHIM_USAGE,	 /* USAGE_IS */
	SHIM_TOP,	 /* PROCESSES_ARE */
	SHIM_STATUS,	 /* STATUS_IS */
	SHIM_RENAME,	 /* struct shim_rename: the name used in logs and events from now on; OK */
	/* replies and what a session brings */
	SHIM_OK,
	SHIM_ERROR,	    /* struct shim_error */
	SHIM_STARTED,	    /* struct shim_started */
	SHIM_OUTPUT,	    /* struct shim_data */
	SHIM_GAP,	    /* struct shim_gap: this client was too slow for so many bytes */
	SHIM_TAKEN,	    /* struct shim_taken: so many bytes of stdin went to the workload */
	SHIM_SINK_CLOSED,   /* struct shim_data: nobody reads the caller's own stream any more */
	SHIM_EXITED,	    /* struct shim_exited */
	SHIM_USAGE_IS,	    /* struct usage_fields */
	SHIM_PROCESSES_ARE, /* struct shim_processes */
	SHIM_STATUS_IS,	    /* struct shim_status */
	/* the end of a session whose client keeps the record (shim_create.records) */
	SHIM_RECORD,   /* struct shim_record; to the client: RECORDED */
	SHIM_RECORDED, /* struct shim_recorded; to the shim */
	/* before CREATE */
	SHIM_PREPARE, /* struct shim_prepare; unanswered */
	SHIM_TYPES_N
};

enum shim_restart {
	SHIM_RESTART_NO,
	SHIM_RESTART_ON_FAILURE,
	SHIM_RESTART_ALWAYS,
	SHIM_RESTART_UNLESS_STOPPED
};
enum shim_log_driver { SHIM_LOG_JSON_FILE, SHIM_LOG_NONE, SHIM_LOG_JOURNALD };
enum shim_stream { SHIM_STREAM_STDIN, SHIM_STREAM_STDOUT, SHIM_STREAM_STDERR };

/* The descriptors of a decoded message belong to the receiver (shim_msg_close_fds). */

struct shim_health {		   /* test.n == 0: no health check */
	struct field_strings test; /* argv; a shell form is already "/bin/sh -c ..." */
	uint64_t interval_ns, timeout_ns, start_period_ns,
		start_interval_ns; /* 0: docker's default */
	uint64_t retries;	   /* 0: 3 */
};

struct shim_create {
	const char *id, *name, *image; /* image: the reference, for events and the journal */
	const char *root, *state;      /* absolute --root and --state directories, for the store */
	const char *isolation;	       /* "" is the default engine */
	bool attach;	   /* this connection becomes the session, from the first byte of output on,
			    * and is waited for: it loses nothing, the workload waits instead */
	bool stdin_open;   /* -i: a pipe (or the terminal); else /dev/null */
	bool stdin_once;   /* the first session's STDIN_END or hang-up closes it */
	bool auto_remove;  /* --rm: after the last exit remove record, log and files */
	bool acknowledged; /* the caller will tell the user: answer once the record is durable */
	bool records;	   /* with attach and auto_remove: the client has the store open, and may be
			    * asked to remove the record at the end (RECORD) */
	uint64_t rows, cols;	  /* of the terminal; 0: unknown */
	uint64_t stop_signal;	  /* 0: SIGTERM */
	uint64_t stop_timeout_ns; /* 0: 10 s */
	uint64_t restart;	  /* enum shim_restart */
	uint64_t restart_max;	  /* on-failure: 0 is no limit */
	uint64_t log_driver;	  /* enum shim_log_driver */
	uint64_t log_max_bytes;	  /* per file; 0: no limit */
	uint64_t log_max_files;	  /* at least 1 */
	const char *log_tag;	  /* journald: SYSLOG_IDENTIFIER and CONTAINER_TAG; "" is the id */
	struct shim_health health;
	int bundle_fd;	   /* ROOT/workloads/ID: config.json is read and the log written here */
	int root_fd;	   /* detached mount of the root file system; cloned for every start */
	int root_disk_fd;  /* the same as a disk, while nothing of it was changed; FD_NONE: none */
	int root_upper_fd; /* the workload's own disk over that, locked; FD_NONE: none */
	/*
	 * Sinks: the caller's own stdio (no terminal among them), used instead of OUTPUT and STDIN
	 * messages; made non-blocking without touching the caller's (see supervise.h).
	 */
	int sink[3];
	/* The first start is a restore of this checkpoint's images; FD_NONE: it is none. */
	int checkpoint_fd;
	struct shim_restore {
		const char *program; /* CRIU; "" is looked for in PATH */
		bool tcp_established, tcp_close, ext_unix_sk, file_locks;
	} restore;
};

struct shim_prepare {
	const char *id, *isolation;
	const char *cgroups_path; /* as config.json will have it, and the JSON of linux.resources */
	const char *resources;
	bool network; /* a network namespace of its own */
};

struct shim_signal {
	uint64_t signo;
};

struct shim_stop {
	uint64_t signo;	     /* 0: the workload's */
	uint64_t timeout_ns; /* until SIGKILL */
	bool use_timeout;    /* else the workload's */
	bool restarting; /* the caller starts it again: no `stop` is counted as the user's will */
};

struct shim_update {
	const char *resources; /* JSON of linux.resources, "" when unchanged */
	bool set_restart;
	uint64_t restart, restart_max;
};

struct shim_checkpoint {
	const char *program; /* CRIU; "" is looked for in PATH */
	bool leave_running, tcp_established, ext_unix_sk, file_locks, link_remap;
	int dir_fd; /* gets the images */
	bool files; /* and the workload's own files: engine.h */
	bool diff;
};

struct shim_exec {
	const char *process; /* JSON of a spec's process section: args, env, cwd, user, terminal */
	bool stdin_open, detach;
	uint64_t rows, cols; /* of its terminal */
	int sink[3];	     /* as in shim_create; a pipe goes straight to the process */
};

struct shim_attach {
	bool stdin_open, output; /* what is wanted */
	bool lossless;		 /* the workload waits for this client; else gaps are reported */
};

struct shim_resize {
	uint64_t rows, cols;
};

struct shim_data {
	uint64_t stream; /* enum shim_stream */
	struct str bytes;
};

struct shim_gap {
	uint64_t stream, bytes;
};

struct shim_taken {
	uint64_t bytes;
};

enum shim_wait_for {
	SHIM_WAIT_NOT_RUNNING, /* ended for good: no restart follows */
	SHIM_WAIT_NEXT_EXIT,   /* the next end of the process, also when a restart follows */
	SHIM_WAIT_REMOVED,     /* the record is gone too; for --rm, else as NOT_RUNNING */
};
struct shim_wait {
	uint64_t condition; /* enum shim_wait_for */
};

/*
 * The pen lent to the client of a run that is removed at its end: it has the store open and waits,
 * where the shim would need a process for it. A client that hangs up, fails or takes too long has
 * not done it, and the shim does.
 */
struct shim_record {
	const char *id;
	bool durable;		     /* somebody was told that it is gone */
	struct field_strings events; /* pairs: action, attributes as JSON */
};
struct shim_recorded {
	bool failed;	     /* it is the shim's again */
	bool checkpoint_due; /* the store's log has grown long */
};

struct shim_rename {
	const char *name;
};

struct shim_error {
	uint64_t kind, sys; /* enum err_kind, errno */
	const char *message;
	uint64_t
		exit_code; /* what the CLI exits with: 125, 126 (not executable), 127 (not found) */
};

struct shim_started {
	uint64_t pid; /* of the workload's init, or of the exec's process */
};

struct shim_exited {
	uint64_t code; /* 0..255; 128 + signal when a signal ended it */
	bool oom;      /* the kernel killed for lack of memory */
	bool removed;  /* --rm: the record is gone */
};

struct shim_processes {
	struct field_strings pids; /* decimal, as the host sees them */
	/* Instead of them: of an engine whose processes the host does not see. */
	struct {
		struct process_fields *v;
		size_t n;
	} list;
	bool listed; /* they are, though there may be none */
};

struct shim_status {
	uint64_t state;		/* enum engine_state */
	uint64_t pid, shim_pid; /* pid 0: none at the moment */
	uint64_t exit_code;	/* of the last end */
	uint64_t restarts;	/* since CREATE */
	bool restarting;	/* waiting for the next start */
	uint64_t health;	/* enum health_status of store/workload.h's text: 0 none,
				 * 1 starting, 2 healthy, 3 unhealthy */
};

struct shim_msg {
	enum shim_type type;
	union {
		struct shim_create create;
		struct shim_signal signal;
		struct shim_stop stop;
		struct shim_update update;
		struct shim_exec exec;
		struct shim_checkpoint checkpoint;
		struct shim_attach attach;
		struct shim_resize resize;
		struct shim_data data;
		struct shim_gap gap;
		struct shim_taken taken;
		struct shim_wait wait;
		struct shim_rename rename;
		struct shim_error error;
		struct shim_started started;
		struct shim_exited exited;
		struct usage_fields usage;
		struct shim_processes processes;
		struct shim_status status;
		struct shim_record record;
		struct shim_recorded recorded;
		struct shim_prepare prepare;
	};
};

/* An empty message of the type: all zero, strings "", descriptors FD_NONE. */
struct shim_msg shim_msg_of(enum shim_type type);
/* Close the descriptors a decoded message holds and mark them unset. */
void shim_msg_close_fds(struct shim_msg *m);

/*
 * The datagram of a message, appended to *out (whose maximum should be SHIM_MESSAGE_MAX), and its
 * descriptors, borrowed, into ret_fds. 0, -EMSGSIZE when it does not fit, -ENOMEM, -EINVAL for a
 * type that is none.
 */
[[nodiscard]] int shim_encode(const struct shim_msg *m, struct buf *out,
			      int ret_fds[static SHIM_FDS_MAX], size_t *ret_fds_n);
/*
 * The message of a datagram. Strings and bytes borrow from `bytes`, lists live in the arena. Takes
 * the descriptors: on failure all are closed, on success those the message does not name.
 * -EBADMSG when malformed, -EPROTO for another version, -ENOMEM.
 */
[[nodiscard]] int shim_decode(struct arena *a, struct str bytes, const int *fds, size_t fds_n,
			      struct shim_msg *ret_m);

/*
 * Send one message. Blocks unless the socket is non-blocking: then -EAGAIN, nothing sent.
 * -EMSGSIZE, -EPIPE (no signal), -ENOMEM.
 */
[[nodiscard]] int shim_send(int sock, const struct shim_msg *m);
/*
 * Receive one message into the arena. 1; 0 when the peer hung up; -EAGAIN; -EBADMSG, -EPROTO for
 * nonsense. Descriptors are given, close-on-exec.
 */
[[nodiscard]] int shim_recv(int sock, struct arena *a, struct shim_msg *ret_m);

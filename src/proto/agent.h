/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host and a microVM's agent (PROGRAM atoll-agent, the guest's PID 1) say to each other
 * over vsock streams. Each side treats the other as hostile.
 *
 * The guest connects to port AGENT_HELLO_PORT of the host once and sends HELLO: from then on it
 * listens on its own AGENT_PORT. That connection stays; its end is the guest's.
 *
 * A connection from the host is one request, its first frame. All but CREATE and EXEC are answered
 * by one frame, their own or OK, or ERROR; then the agent hangs up. These two are sessions:
 *
 *	host:   CREATE{id, config}       EXEC{id, process}
 *	agent:  CREATED{pid} | ERROR     STARTED{pid} | ERROR
 *	host:   START
 *	agent:  STARTED{pid} | ERROR
 *	both:   DATA* EOF* WINDOW*;  host: SIGNAL* RESIZE*
 *	agent:  EXITED, the last: everything the process wrote has been sent before
 *
 * START may be sent at once, without waiting for CREATED; so may DATA of stdin. An ERROR ends the
 * session. The host hangs up before EXITED: the agent kills the container, or the exec's process.
 *
 * Streams 0, 1 and 2 are stdin, stdout and stderr; a process with a terminal has no 2. A sender of
 * DATA starts with a credit of AGENT_WINDOW bytes for each stream and gets more by WINDOW; to send
 * past it is an error, and the end of the connection. EOF from a stream's sender: nothing more
 * comes; from its receiver: nothing more is wanted (nobody reads, as EPIPE says).
 *
 * HOLD is for a snapshot of the machine: its connection stays, and from OK on nothing of any
 * container runs, no DATA is on its way in any session, and the loss of a connection ends no
 * session. Each session is told to (HOLD), and answers HELD after its last DATA. RELEASE on that
 * connection, or its end, undoes it all; sessions whose connection was lost meanwhile end then.
 *
 *	host:   HOLD				within each session, agent: HOLD, later RELEASE
 *	agent:  OK | ERROR					    host:  HELD
 *	host:   RELEASE
 *	agent:  OK
 *
 * A machine that was restored from the snapshot has lost all connections, which it learns from the
 * kernel as their failure, and not as their end. It says HELLO again, and stays held; ATTACH on a
 * new connection takes over the session of a container's first process, kills the processes of
 * its other sessions, and lets it go on. Windows are as the answer says: whole for what it writes.
 *
 *	host:   ATTACH{id, as, hostname}
 *	agent:  ATTACHED{pid, stdin_open, stdin_credit} | ERROR
 *	both:   as in a session after STARTED
 *
 * A connection to AGENT_FORWARD_PORT is one to a port of the guest's loopback, over IPv4 or, where
 * nobody listens there, IPv6: it begins with "CONNECT <port>\n", and all else is the server's and
 * the host's own. It ends without an end of the file where there is no server, or that one is lost.
 *
 * The network of the machine is its containers': a network namespace in a config is left out.
 * SIGNAL within a session has no id and no answer.
 *
 * Wire form: frames {length:u32 of the payload, type:u16, stream:u16}, little-endian. The payload
 * of DATA is the bytes, that of WINDOW a u32, that of EOF nothing; of others a count:u16 and that
 * many fields (proto/fields.h). stream is 0 but for these three.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "proto/fields.h"
#include "proto/process.h"
#include "proto/usage.h"

#define AGENT_VERSION	   1
#define AGENT_PORT	   1024		/* of the guest */
#define AGENT_HELLO_PORT   1025		/* of the host */
#define AGENT_FORWARD_PORT 1026		/* of the guest */
#define AGENT_WINDOW	   (64u << 10)	/* bytes of a stream on their way */
#define AGENT_DATA_MAX	   (16u << 10)	/* bytes of one DATA that we send */
#define AGENT_FRAME_MAX	   (256u << 10) /* bytes of a payload */
#define AGENT_TEXT_MAX	   (8u << 20)	/* of one with a config or process in it */
#define AGENT_HEADER	   8u		/* bytes before the payload */

#define AGENT_STREAMS 3
enum agent_stream { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR };

enum agent_type {
	AGENT_NONE,
	/* from the guest, unasked */
	AGENT_HELLO, /* struct agent_hello */
	/* requests */
	AGENT_SETUP,	 /* struct agent_setup; OK */
	AGENT_CREATE,	 /* struct agent_create; CREATED */
	AGENT_START,	 /* of this session's container; STARTED */
	AGENT_EXEC,	 /* struct agent_exec; STARTED */
	AGENT_SIGNAL,	 /* struct agent_signal; OK */
	AGENT_STATE,	 /* struct agent_id; STATE_IS */
	AGENT_PAUSE,	 /* struct agent_id; OK */
	AGENT_RESUME,	 /* struct agent_id; OK */
	AGENT_UPDATE,	 /* struct agent_update; OK */
	AGENT_USAGE,	 /* struct agent_id; USAGE_IS */
	AGENT_PROCESSES, /* struct agent_id; PROCESSES_ARE */
	AGENT_DELETE,	 /* struct agent_id: kill what runs of it; OK, also when there is none */
	AGENT_MACHINE_USAGE, /* MACHINE_USAGE_IS */
	AGENT_RESEED,	     /* struct agent_reseed; OK */
	AGENT_POWER_OFF,     /* kill all, write all, and off: OK comes before it is so */
	/* answers */
	AGENT_OK,
	AGENT_ERROR,		/* struct agent_error */
	AGENT_CREATED,		/* struct agent_started */
	AGENT_STARTED,		/* struct agent_started */
	AGENT_STATE_IS,		/* struct agent_state */
	AGENT_USAGE_IS,		/* struct usage_fields */
	AGENT_PROCESSES_ARE,	/* struct agent_processes */
	AGENT_MACHINE_USAGE_IS, /* struct agent_machine_usage */
	/* within a session */
	AGENT_DATA,	   /* data, of stream */
	AGENT_EOF,	   /* of stream */
	AGENT_WINDOW_MORE, /* window, of stream: so many bytes more may come */
	AGENT_RESIZE,	   /* struct agent_resize */
	AGENT_EXITED,	   /* struct agent_exited */
	/* around a snapshot */
	AGENT_HOLD,	/* a request, and within a session */
	AGENT_HELD,	/* the answer within a session */
	AGENT_RELEASE,	/* the end of both */
	AGENT_ATTACH,	/* struct agent_attach; ATTACHED */
	AGENT_ATTACHED, /* struct agent_attached */
	/* the machine, changed while it runs */
	AGENT_PROCESSORS, /* a request: struct agent_processors; OK */
	/* a request, too: of the files of a container */
	AGENT_FILES, /* struct agent_files; OK, and then FUSE: see there */
	AGENT_TYPES_N
};

struct agent_hello {
	uint64_t version;	    /* AGENT_VERSION */
	const char *build, *kernel; /* ATOLL_VERSION; uname -r */
	uint64_t boot_ns;	    /* since the kernel began */
	/* What did not go as it should on the way here ("module x: ..."), one sentence each. */
	struct field_strings problems;
};

struct agent_address {
	const char *address;	      /* "10.0.0.2/24" */
	const char *peer, *broadcast; /* "": none */
};
struct agent_route {
	const char *to; /* "10.0.0.0/8"; "": the default route of the gateway's family */
	const char *gateway, *source; /* "": none */
	uint64_t metric;
	uint64_t scope; /* RT_SCOPE_*; 0: global */
	bool on_link;	/* the gateway is reached without a route to it */
};
struct agent_interface {
	const char *mac;  /* which one, or what it shall be: "02:00:00:00:00:01" */
	const char *name; /* that it shall have; "": the kernel's */
	uint64_t mtu;	  /* 0: as it is */
	struct {
		struct agent_address *v;
		size_t n;
	} addresses;
	struct {
		struct agent_route *v;
		size_t n;
	} routes;
	/* Which one it was in the snapshot, whose addresses and routes are not its any more; "":
	 * it is new. */
	const char *was;
};

/* May come again: what is absent stays as it is. */
struct agent_setup {
	uint64_t version; /* the host's AGENT_VERSION */
	const char *hostname;
	uint64_t realtime_ns; /* since 1970 */
	struct str entropy;   /* secret, of this guest alone */
	struct {
		struct agent_interface *v;
		size_t n;
	} interfaces;
};

/*
 * config: a config.json whose root.path and mount sources are the guest's paths, such as
 * /run/atoll/shares/NAME. With `lower` the root is made here: that file system, read-only, and
 * where `upper` and `work` are given (directories of one share) an overlay of upper on lower; with
 * `scratch` one of a file system in the guest's memory: for mount points that a read-only root
 * lacks; with `upper_disk` one of the ext4 there, whose directories "upper" and "work" are made
 * when they are missing. A config's namespaces of ipc and uts may be missing: they are the
 * machine's, and what the config sets in them is set there.
 *
 * Where process.user of the config, or of an exec's process, has a username ("user[:group]", names
 * or numbers) that and groupNames are looked up in the root's own files; HOME is the user's where
 * the environment has none.
 */
struct agent_create {
	const char *id, *config;
	uint64_t rows, cols;	/* of its terminal; 0: unknown */
	bool stdin_open;	/* else it reads /dev/null */
	const char *lower;	/* a block device, "/dev/vda"; "": root.path is the root */
	const char *lower_type; /* its file system; "": erofs */
	const char *upper, *work;
	bool scratch;
	const char *pids_of;	/* the container whose pid namespace it joins; "": the config's */
	const char *upper_disk; /* a block device, "/dev/vdb"; "": none */
	bool files_only;	/* the root alone is made, for FILES; nothing can be started */
};
struct agent_exec {
	const char *id;
	const char *process; /* JSON of a spec's process section */
	uint64_t rows, cols;
	bool stdin_open;
	struct field_strings cgroups; /* below the container's: struct exec_spec */
};
struct agent_id {
	const char *id;
};
struct agent_signal {
	const char *id; /* "": this session's process */
	uint64_t signo;
	bool all; /* every process of the container */
};
struct agent_update {
	const char *id;
	const char *resources; /* JSON of a spec's linux.resources */
};
struct agent_processors {
	uint64_t online; /* so many of those that there are are used from now on */
};
/*
 * After OK the connection is a FUSE device's (linux/fuse.h), the host being the kernel's side of
 * it: requests as they are read from /dev/fuse one way, answers the other, nothing between them.
 * The file system has a directory "root", what the container's processes see, as long as there are
 * any; and where its root was made here of a disk "layers", the same without what is mounted in it,
 * and "upper", the changes alone. What was written is synchronised when the host hangs up, before
 * the agent does.
 */
struct agent_files {
	const char *id;
	bool hold; /* none of its processes runs meanwhile */
};
struct agent_reseed {
	struct str entropy;
	uint64_t realtime_ns; /* 0: the clock is right */
};

struct agent_attach {
	const char *id;	      /* that it had in the snapshot */
	const char *as;	      /* that it has from now on; "": the same */
	const char *hostname; /* "": as it was */
	uint64_t rows, cols;  /* of its terminal; 0: as they were */
};

struct agent_error {
	uint64_t kind, sys; /* enum err_kind, errno */
	const char *message;
};
struct agent_started {
	uint64_t pid; /* the guest's */
};
struct agent_attached {
	uint64_t pid;	       /* the guest's */
	uint64_t stdin_credit; /* bytes that may be sent */
	bool stdin_open;
};
struct agent_state {
	uint64_t state; /* enum engine_state */
	uint64_t pid;	/* the guest's; 0: it does not run */
	uint64_t code;	/* of its end */
	bool oom;
};
struct agent_processes {
	struct {
		struct process_fields *v;
		size_t n;
	} list;
};
struct agent_machine_usage {
	uint64_t uptime_ns, cpu_ns, cpus;
	uint64_t memory_total_bytes, memory_free_bytes, memory_available_bytes;
	uint64_t memory_cache_bytes, swap_total_bytes, swap_free_bytes;
	uint64_t processes, load_milli; /* load average of a minute, in thousandths */
};
struct agent_resize {
	uint64_t rows, cols;
};
struct agent_exited {
	uint64_t code; /* 0..255; 128 + signal when a signal ended it */
	bool oom;      /* the kernel killed for lack of memory */
};

struct agent_msg {
	enum agent_type type;
	enum agent_stream stream; /* DATA, EOF, WINDOW_MORE */
	union {
		struct agent_hello hello;
		struct agent_setup setup;
		struct agent_create create;
		struct agent_exec exec;
		struct agent_id id;
		struct agent_signal signal;
		struct agent_update update;
		struct agent_processors processors;
		struct agent_reseed reseed;
		struct agent_error error;
		struct agent_started started;
		struct agent_state state;
		struct usage_fields usage;
		struct agent_processes processes;
		struct agent_machine_usage machine_usage;
		struct agent_resize resize;
		struct agent_exited exited;
		struct agent_attach attach;
		struct agent_attached attached;
		struct agent_files files;
		struct str data;
		uint32_t window;
	};
};

/* An empty message of the type: all zero, strings "". */
struct agent_msg agent_msg_of(enum agent_type type);

/*
 * Append the frame of a message. 0; -EMSGSIZE: it is too long, or does not fit into out; -ENOMEM;
 * -EINVAL for a type that is none. After a failure out is as it was, unless it is failed.
 */
[[nodiscard]] int agent_encode(const struct agent_msg *m, struct buf *out);

/*
 * Whether a whole frame is at the front of the bytes: 1, and its length; 0: more must come, and
 * the length if it is known by now, else AGENT_HEADER; -EBADMSG: this is none.
 */
[[nodiscard]] int agent_frame(struct str bytes, size_t *ret_len);

/* The message of a whole frame. Strings borrow from it, lists live in the arena. -EBADMSG, -ENOMEM.
 */
[[nodiscard]] int agent_decode(struct arena *a, struct str frame, struct agent_msg *ret_m);

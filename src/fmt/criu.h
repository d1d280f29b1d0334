/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of `criu swrk` (CRIU's images/rpc.proto, protocol buffers version 2): the requests
 * this house makes, and what of the answers it reads. Pure. One message is one datagram of a
 * seqpacket socket; fields that are not set are left out, unknown ones of an answer are skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define CRIU_MESSAGE_MAX (1u << 20) /* bytes; criu's own receive buffer grows with the message */

enum criu_type { /* enum criu_req_type */
		 CRIU_EMPTY = 0,
		 CRIU_DUMP = 1,
		 CRIU_RESTORE = 2,
		 CRIU_PRE_DUMP = 4,
		 CRIU_NOTIFY = 6,
		 CRIU_FEATURE_CHECK = 9,
		 CRIU_VERSION = 10,
};

enum criu_cgroups { /* enum criu_cg_mode */
		    CRIU_CGROUPS_IGNORE = 0,
		    CRIU_CGROUPS_SOFT = 3,
		    CRIU_CGROUPS_FULL = 4,
		    CRIU_CGROUPS_STRICT = 5,
};

enum criu_network_lock { /* enum criu_network_lock_method; NONE: criu's own default */
			 CRIU_NETWORK_LOCK_NONE = 0,
			 CRIU_NETWORK_LOCK_IPTABLES = 1,
			 CRIU_NETWORK_LOCK_NFTABLES = 2,
			 CRIU_NETWORK_LOCK_SKIP = 3,
};

struct criu_pair { /* ext_mount_map, cgroup_root, join_namespace */
	const char *key, *value;
};

struct criu_fd { /* inherit_fd */
	const char *key;
	int fd; /* its number in criu's process */
};

/* struct criu_opts: numbers that are negative and texts that are NULL are not sent. */
struct criu_request {
	enum criu_type type;
	bool notify_success;		    /* of NOTIFY: go on */
	bool ask_mem_track, ask_lazy_pages; /* of FEATURE_CHECK */
	bool has_opts;
	int images_dir_fd, work_dir_fd, pid; /* descriptors of the process that made the socket */
	int log_level;
	const char *log_file; /* a name in the work directory */
	const char *root, *parent_img, *freeze_cgroup, *lsm_profile, *lsm_mount_context,
		*config_file;
	bool leave_running, ext_unix_sk, tcp_established, tcp_close, tcp_skip_in_flight,
		evasive_devices, shell_job, file_locks, notify_scripts, track_mem, auto_dedup,
		link_remap, rst_sibling, lazy_pages, orphan_pts_master;
	enum criu_cgroups cgroups;
	enum criu_network_lock network_lock;
	uint32_t empty_ns;	 /* CLONE_NEW* */
	const char *page_server; /* address; NULL: none */
	int page_server_port;
	const struct criu_pair *ext_mounts, *cgroup_roots, *join_ns;
	size_t ext_mounts_n, cgroup_roots_n, join_ns_n;
	const char *const *externals;
	size_t externals_n;
	const struct criu_fd *inherit;
	size_t inherit_n;
};
#define CRIU_REQUEST(type_)                                                                        \
	((struct criu_request){ .type = (type_),                                                   \
				.images_dir_fd = -1,                                               \
				.work_dir_fd = -1,                                                 \
				.pid = -1,                                                         \
				.log_level = -1 })

struct criu_response {
	uint64_t type; /* enum criu_type, or one we do not know */
	bool success;
	struct str script;		  /* of NOTIFY, "" otherwise; borrowed from the message */
	int32_t notify_pid, restored_pid; /* 0: none */
	int32_t sys;			  /* cr_errno */
	struct str message;		  /* cr_errmsg */
	bool mem_track, lazy_pages;
	int32_t major, minor, sublevel;
};

/* Appended to *out; its failure sticks there. */
void criu_encode(const struct criu_request *q, struct buf *out);
/* -EBADMSG: not such a message. */
[[nodiscard]] int criu_decode(struct str message, struct criu_response *ret_r);
